//! The parameter-free shortcut: mean over `pool × pool` pixels, channels
//! repeated where they grow and averaged in groups where they shrink.

use super::elementwise::{add, give};
use bitat_graph::Shape;

/// From one activation's geometry to another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Map {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) pool: usize,
}

impl Map {
    fn identity(&self) -> bool {
        self.pool == 1 && self.from.c == self.to.c
    }

    /// Rows and columns of the input that make output pixel `at` of its image.
    fn window(&self, at: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (y, x) = (at / self.to.w * self.pool, at % self.to.w * self.pool);
        (y..(y + self.pool).min(self.from.h), x..(x + self.pool).min(self.from.w))
    }

    /// How many input channels make output channel `c`.
    fn share(&self, c: usize) -> usize {
        if self.from.c > self.to.c { (self.from.c - c).div_ceil(self.to.c) } else { 1 }
    }
}

/// `y = x + shortcut(other)` for output pixels `first..` counted over all images
/// of `other`. `mean` is scratch of `from.c` floats.
pub(crate) fn add_shortcut(
    map: &Map,
    other: &[f32],
    first: usize,
    x: &[f32],
    y: &mut [f32],
    mean: &mut [f32],
) {
    let (ci, co) = (map.from.c, map.to.c);
    if map.identity() {
        add(x, &other[first * ci..][..x.len()], y);
        return;
    }
    let pixels = map.to.h * map.to.w;
    for (i, (x, y)) in x.chunks_exact(co).zip(y.chunks_exact_mut(co)).enumerate() {
        let (image, at) = ((first + i) / pixels, (first + i) % pixels);
        let other = &other[image * map.from.len()..][..map.from.len()];
        let (rows, columns) = map.window(at);
        let scale = 1.0 / (rows.len() * columns.len()) as f32;
        let mean = &mut mean[..ci];
        mean.fill(0.0);
        for row in rows {
            for column in columns.clone() {
                let from = &other[(row * map.from.w + column) * ci..][..ci];
                for (mean, from) in mean.iter_mut().zip(from) {
                    *mean += from;
                }
            }
        }
        mean.iter_mut().for_each(|m| *m *= scale);
        if ci <= co {
            for (x, y) in x.chunks(ci).zip(y.chunks_mut(ci)) {
                for ((x, y), m) in x.iter().zip(y).zip(mean.iter()) {
                    *y = x + m;
                }
            }
        } else {
            for (c, (x, y)) in x.iter().zip(y).enumerate() {
                let sum: f32 = mean.iter().skip(c).step_by(co).sum();
                *y = x + sum / map.share(c) as f32;
            }
        }
    }
}

/// Gives the gradient `d` at output pixels `first..` to the input's gradient
/// `into`, which begins with the image that pixel 0 belongs to. Every input
/// pixel belongs to exactly one output pixel.
pub(crate) fn give_shortcut(
    map: &Map,
    d: &[f32],
    first: usize,
    into: &mut [f32],
    accumulate: bool,
    mean: &mut [f32],
) {
    let (ci, co) = (map.from.c, map.to.c);
    if map.identity() {
        give(d, &mut into[first * ci..][..d.len()], accumulate);
        return;
    }
    let pixels = map.to.h * map.to.w;
    for (i, d) in d.chunks_exact(co).enumerate() {
        let (image, at) = ((first + i) / pixels, (first + i) % pixels);
        let into = &mut into[image * map.from.len()..][..map.from.len()];
        let (rows, columns) = map.window(at);
        let scale = 1.0 / (rows.len() * columns.len()) as f32;
        let mean = &mut mean[..ci];
        if ci <= co {
            mean.fill(0.0);
            for d in d.chunks(ci) {
                for (mean, d) in mean.iter_mut().zip(d) {
                    *mean += d;
                }
            }
            mean.iter_mut().for_each(|m| *m *= scale);
        } else {
            for (c, mean) in mean.iter_mut().enumerate() {
                *mean = d[c % co] * (scale / map.share(c % co) as f32);
            }
        }
        for row in rows {
            for column in columns.clone() {
                let into = &mut into[(row * map.from.w + column) * ci..][..ci];
                for (into, mean) in into.iter_mut().zip(mean.iter()) {
                    *into = if accumulate { *into + mean } else { *mean };
                }
            }
        }
    }
}
