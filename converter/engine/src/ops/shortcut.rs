//! The parameter-free shortcut: mean over `pool × pool` pixels, channels
//! repeated where they grow and averaged in groups where they shrink.

use super::sweep::update;
use crate::simd::vectorised;
use crate::vector::V;
use bitat_graph::Shape;
use std::ops::Range;

/// From one activation's geometry to another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Map {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) pool: usize,
}

impl Map {
    /// Whether values pass through unchanged.
    pub(crate) fn identity(&self) -> bool {
        self.pool == 1 && self.from.c == self.to.c
    }

    /// Image, input rows and input columns of output pixel `at` over all images.
    fn window(&self, at: usize) -> (usize, Range<usize>, Range<usize>) {
        let pixels = self.to.h * self.to.w;
        let (image, at) = (at / pixels, at % pixels);
        let (y, x) = (at / self.to.w * self.pool, at % self.to.w * self.pool);
        (image, y..(y + self.pool).min(self.from.h), x..(x + self.pool).min(self.from.w))
    }

    /// How many input channels make output channel `c`.
    fn share(&self, c: usize) -> usize {
        if self.from.c > self.to.c { (self.from.c - c).div_ceil(self.to.c) } else { 1 }
    }
}

vectorised! {
    /// Writes the shortcut's values at output pixels `first..`, counted over all
    /// images of `x`. `mean` is scratch of `from.c` floats.
    fn read[s](map: &Map, x: &[f32], first: usize, y: &mut [f32], mean: &mut [f32]) {
        let (ci, co) = (map.from.c, map.to.c);
        let mean = &mut mean[..ci];
        for (i, y) in y.chunks_exact_mut(co).enumerate() {
            let (image, rows, columns) = map.window(first + i);
            let scale = 1.0 / (rows.len() * columns.len()) as f32;
            mean.fill(0.0);
            for row in rows {
                for column in columns.clone() {
                    let at = ((image * map.from.h + row) * map.from.w + column) * ci;
                    update(s, mean, [&x[at..at + ci]], #[inline(always)] |m, [x]| m + x * V::all(s, scale));
                }
            }
            if ci <= co {
                for y in y.chunks_mut(ci) {
                    y.copy_from_slice(&mean[..y.len()]);
                }
            } else {
                for (c, y) in y.iter_mut().enumerate() {
                    let sum: f32 = mean.iter().skip(c).step_by(co).sum();
                    *y = sum / map.share(c) as f32;
                }
            }
        }
    }

    /// Gives the gradient `d` at output pixels `first..` to the input's gradient
    /// `into`, which begins with the image that pixel 0 belongs to. Every input
    /// pixel belongs to exactly one output pixel.
    fn give_back[s](
        map: &Map, d: &[f32], first: usize, into: &mut [f32], accumulate: bool, mean: &mut [f32],
    ) {
        let (ci, co) = (map.from.c, map.to.c);
        let mean = &mut mean[..ci];
        for (i, d) in d.chunks_exact(co).enumerate() {
            let (image, rows, columns) = map.window(first + i);
            let scale = 1.0 / (rows.len() * columns.len()) as f32;
            if ci <= co {
                mean.fill(0.0);
                for d in d.chunks(ci) {
                    let len = d.len();
                    update(s, &mut mean[..len], [d], #[inline(always)] |m, [d]| m + d * V::all(s, scale));
                }
            } else {
                for (c, mean) in mean.iter_mut().enumerate() {
                    *mean = d[c % co] * (scale / map.share(c % co) as f32);
                }
            }
            for row in rows {
                for column in columns.clone() {
                    let at = ((image * map.from.h + row) * map.from.w + column) * ci;
                    let into = &mut into[at..at + ci];
                    if accumulate {
                        update(s, into, [&*mean], #[inline(always)] |into, [m]| into + m);
                    } else {
                        into.copy_from_slice(mean);
                    }
                }
            }
        }
    }
}
