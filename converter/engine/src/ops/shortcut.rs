//! The parameter-free shortcut: mean over `pool × pool` pixels, channels
//! repeated where they grow and averaged in groups where they shrink.

use super::sweep::update;
use crate::simd::vectorised;
use crate::vector::V;
use bitat_graph::Shape;
use pulp::Simd;

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

    /// The offsets of the input pixels that make output pixels `first..`, counted over
    /// all images: that of the window's corner, and its rows and columns.
    #[inline(always)]
    fn windows(&self, first: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
        let Map { from, to, pool } = *self;
        let (mut image, at) = (first / (to.h * to.w), first % (to.h * to.w));
        let (mut y, mut x) = (at / to.w, at % to.w);
        std::iter::repeat_with(move || {
            let (row, column) = (y * pool, x * pool);
            let corner = ((image * from.h + row) * from.w + column) * from.c;
            let size = [pool.min(from.h - row), pool.min(from.w - column)];
            x += 1;
            if x == to.w {
                (x, y) = (0, y + 1);
            }
            if y == to.h {
                (y, image) = (0, image + 1);
            }
            (corner, size)
        })
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
        for (y, (corner, [rows, columns])) in y.chunks_exact_mut(co).zip(map.windows(first)) {
            if rows * columns == 1 && ci <= co {
                copies(s, &x[corner..corner + ci], y);
                continue;
            }
            let scale = 1.0 / (rows * columns) as f32;
            mean.fill(0.0);
            for row in 0..rows {
                for column in 0..columns {
                    let at = corner + (row * map.from.w + column) * ci;
                    update(s, mean, [&x[at..at + ci]], #[inline(always)] |m, [x]| m + x * V::all(s, scale));
                }
            }
            if ci <= co {
                copies(s, mean, y);
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
        for (d, (corner, [rows, columns])) in d.chunks_exact(co).zip(map.windows(first)) {
            let scale = 1.0 / (rows * columns) as f32;
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
            for row in 0..rows {
                for column in 0..columns {
                    let at = corner + (row * map.from.w + column) * ci;
                    let into = &mut into[at..at + ci];
                    if accumulate {
                        update(s, into, [&*mean], #[inline(always)] |into, [m]| into + m);
                    } else {
                        copies(s, mean, into);
                    }
                }
            }
        }
    }
}

/// Fills `y` with `x` again and again, a register at a time: a call to copy 16 floats
/// would take longer than copying them.
#[inline(always)]
fn copies<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
    for y in y.chunks_mut(x.len()) {
        let mut at = 0;
        while at < y.len() {
            let width = S::F32_LANES.min(y.len() - at);
            V::<S>::load(s, x, at, width).store(y, at, width);
            at += width;
        }
    }
}
