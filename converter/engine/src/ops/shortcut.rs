//! The parameter-free shortcut: mean over `pool × pool` pixels, channels
//! repeated where they grow and averaged in groups where they shrink.

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
    pub(super) fn windows(&self, first: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
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
        let row = map.from.w * ci;
        for (y, (corner, [rows, columns])) in y.chunks_exact_mut(co).zip(map.windows(first)) {
            let x = &x[corner..];
            if ci <= co {
                average(s, x, row, ci, [rows, columns], #[inline(always)] |mean, at, width| {
                    for start in (at..co).step_by(ci) {
                        mean.store(y, start, width.min(co - start));
                    }
                });
            } else {
                let mean = &mut mean[..ci];
                average(s, x, row, ci, [rows, columns], #[inline(always)] |m, at, width| {
                    m.store(mean, at, width);
                });
                for (c, y) in y.iter_mut().enumerate() {
                    let sum: f32 = mean.iter().skip(c).step_by(co).sum();
                    *y = sum / map.share(c) as f32;
                }
            }
        }
    }

    /// Gives the gradient `d` at output pixels `first..` to the input's gradient
    /// `into`, which begins with the image that pixel 0 belongs to. Every input
    /// pixel belongs to exactly one output pixel. `mean` is scratch of `from.c` floats.
    fn give_back[s](
        map: &Map, d: &[f32], first: usize, into: &mut [f32], accumulate: bool, mean: &mut [f32],
    ) {
        let (ci, co) = (map.from.c, map.to.c);
        let mean = &mut mean[..ci];
        for (d, (corner, [rows, columns])) in d.chunks_exact(co).zip(map.windows(first)) {
            let scale = 1.0 / (rows * columns) as f32;
            if ci > co {
                for (c, mean) in mean.iter_mut().enumerate() {
                    *mean = d[c % co] * (scale / map.share(c % co) as f32);
                }
            }
            let into = &mut into[corner..];
            for at in (0..ci).step_by(S::F32_LANES) {
                let width = S::F32_LANES.min(ci - at);
                let mut share = V::<S>::all(s, 0.0);
                if ci > co {
                    share = V::load(s, mean, at, width);
                } else {
                    for start in (at..co).step_by(ci) {
                        let d = V::load(s, d, start, width.min(co - start));
                        share = share + d * V::all(s, scale);
                    }
                }
                for row in 0..rows {
                    for column in 0..columns {
                        let at = (row * map.from.w + column) * ci + at;
                        let old = if accumulate { V::load(s, into, at, width) + share } else { share };
                        old.store(into, at, width);
                    }
                }
            }
        }
    }
}

/// Calls `f(mean, channel, count)` for a register of channels after the other: their
/// mean over a window that begins at `x`, whose rows of `ci` channels are `row` apart.
#[inline(always)]
fn average<S: Simd>(
    s: S,
    x: &[f32],
    row: usize,
    ci: usize,
    [rows, columns]: [usize; 2],
    mut f: impl FnMut(V<S>, usize, usize),
) {
    let scale = V::all(s, 1.0 / (rows * columns) as f32);
    for at in (0..ci).step_by(S::F32_LANES) {
        let width = S::F32_LANES.min(ci - at);
        let mut mean = V::all(s, 0.0);
        for y in 0..rows {
            for x_at in 0..columns {
                mean = mean + V::load(s, x, y * row + x_at * ci + at, width) * scale;
            }
        }
        f(mean, at, width);
    }
}
