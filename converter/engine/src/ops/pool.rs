//! Average pools over one image.

use bitat_graph::{Shape, Window};

/// Mean over all pixels: `x` is `pixels × c`.
pub(crate) fn global(x: &[f32], y: &mut [f32]) {
    let c = y.len();
    let scale = 1.0 / (x.len() / c) as f32;
    y.fill(0.0);
    for x in x.chunks_exact(c) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
    y.iter_mut().for_each(|y| *y *= scale);
}

/// Writes the gradient of every pixel.
pub(crate) fn global_back(d: &[f32], pixels: usize, dx: &mut [f32]) {
    let scale = 1.0 / pixels as f32;
    for dx in dx.chunks_exact_mut(d.len()) {
        for (dx, d) in dx.iter_mut().zip(d) {
            *dx = d * scale;
        }
    }
}

/// An average pool's geometry.
#[derive(Clone, Copy)]
pub(crate) struct Average {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) window: Window,
    pub(crate) include_pad: bool,
}

impl Average {
    /// Calls `f(output pixel, input pixel, 1 / count)` for every pair in a window.
    fn each(&self, mut f: impl FnMut(usize, usize, f32)) {
        let Window { kernel, stride, pads } = self.window;
        let range = |at: usize, axis: usize, size: usize| {
            let start = at * stride[axis];
            let (before, end) = (pads[axis], start + kernel[axis]);
            start.saturating_sub(before)..end.saturating_sub(before).min(size)
        };
        for oy in 0..self.to.h {
            for ox in 0..self.to.w {
                let (ys, xs) = (range(oy, 0, self.from.h), range(ox, 1, self.from.w));
                let count = if self.include_pad {
                    kernel[0] * kernel[1]
                } else {
                    (ys.len() * xs.len()).max(1)
                };
                for y in ys {
                    for x in xs.clone() {
                        f(oy * self.to.w + ox, y * self.from.w + x, 1.0 / count as f32);
                    }
                }
            }
        }
    }

    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32]) {
        let c = self.from.c;
        y.fill(0.0);
        self.each(|to, from, scale| {
            for (y, x) in y[to * c..][..c].iter_mut().zip(&x[from * c..][..c]) {
                *y += x * scale;
            }
        });
    }

    /// Writes the gradient of the whole input image.
    pub(crate) fn backward(&self, d: &[f32], dx: &mut [f32]) {
        let c = self.from.c;
        dx.fill(0.0);
        self.each(|to, from, scale| {
            for (dx, d) in dx[from * c..][..c].iter_mut().zip(&d[to * c..][..c]) {
                *dx += d * scale;
            }
        });
    }
}
