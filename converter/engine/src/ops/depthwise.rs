//! Depthwise convolution on zero-padded bands: a register of channels at a time
//! runs over all pixels of the band with its weights (or weight gradients) held
//! in registers. Weights are tap-major, `[ky][kx][c]`.

use crate::simd::arch;
use pulp::{Simd, WithSimd};

/// Geometry of one band.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    /// Columns of a padded row.
    pub(crate) width: usize,
    pub(crate) c: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Output rows and columns.
    pub(crate) out: [usize; 2],
}

/// `y = x * weights`.
pub(crate) fn convolve(band: &Band, x: &[f32], weights: &[f32], y: &mut [f32]) {
    arch().dispatch(Convolve { band, x, weights, y });
}

/// `dw += Σ d·x` over the band's pixels.
pub(crate) fn weight_gradient(band: &Band, x: &[f32], d: &[f32], dw: &mut [f32]) {
    arch().dispatch(WeightGradient { band, x, d, dw });
}

struct Convolve<'a> {
    band: &'a Band,
    x: &'a [f32],
    weights: &'a [f32],
    y: &'a mut [f32],
}

struct WeightGradient<'a> {
    band: &'a Band,
    x: &'a [f32],
    d: &'a [f32],
    dw: &'a mut [f32],
}

#[inline(always)]
fn load<S: Simd>(simd: S, from: &[f32], at: usize, width: usize) -> S::f32s {
    let from = &from[at..at + width];
    match S::as_simd_f32s(from).0 {
        [whole] => *whole,
        _ => simd.partial_load_f32s(from),
    }
}

#[inline(always)]
fn store<S: Simd>(simd: S, to: &mut [f32], at: usize, width: usize, value: S::f32s) {
    let to = &mut to[at..at + width];
    if let [whole] = S::as_mut_simd_f32s(to).0 {
        *whole = value;
        return;
    }
    simd.partial_store_f32s(to, value);
}

impl WithSimd for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Convolve { band, x, weights, y } = self;
        let mut channel = 0;
        while channel < band.c {
            let width = S::F32_LANES.min(band.c - channel);
            if band.kernel == [3, 3] {
                convolve_3x3(simd, band, x, weights, y, channel, width);
            } else {
                convolve_any(simd, band, x, weights, y, channel, width);
            }
            channel += width;
        }
    }
}

#[inline(always)]
fn convolve_3x3<S: Simd>(
    simd: S,
    band: &Band,
    x: &[f32],
    weights: &[f32],
    y: &mut [f32],
    channel: usize,
    width: usize,
) {
    let c = band.c;
    let w: [S::f32s; 9] = std::array::from_fn(|tap| load(simd, weights, tap * c + channel, width));
    for oy in 0..band.out[0] {
        let first = oy * band.stride[0] * band.width * c + channel;
        let row_len = (band.width - 1) * c + width;
        let rows: [&[f32]; 3] =
            std::array::from_fn(|ky| &x[first + ky * band.width * c..][..row_len]);
        for ox in 0..band.out[1] {
            let at = ox * band.stride[1] * c;
            let mut sums = [simd.splat_f32s(0.0); 3];
            for ky in 0..3 {
                for kx in 0..3 {
                    let x = load(simd, rows[ky], at + kx * c, width);
                    sums[ky] = simd.mul_add_e_f32s(x, w[3 * ky + kx], sums[ky]);
                }
            }
            let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), sums[2]);
            store(simd, y, (oy * band.out[1] + ox) * c + channel, width, sum);
        }
    }
}

#[inline(always)]
fn convolve_any<S: Simd>(
    simd: S,
    band: &Band,
    x: &[f32],
    weights: &[f32],
    y: &mut [f32],
    channel: usize,
    width: usize,
) {
    let c = band.c;
    for oy in 0..band.out[0] {
        for ox in 0..band.out[1] {
            let mut sum = simd.splat_f32s(0.0);
            for ky in 0..band.kernel[0] {
                let row = (oy * band.stride[0] + ky) * band.width + ox * band.stride[1];
                for kx in 0..band.kernel[1] {
                    let x = load(simd, x, (row + kx) * c + channel, width);
                    let tap = ky * band.kernel[1] + kx;
                    let w = load(simd, weights, tap * c + channel, width);
                    sum = simd.mul_add_e_f32s(x, w, sum);
                }
            }
            store(simd, y, (oy * band.out[1] + ox) * c + channel, width, sum);
        }
    }
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let WeightGradient { band, x, d, dw } = self;
        let mut channel = 0;
        while channel < band.c {
            let width = S::F32_LANES.min(band.c - channel);
            if band.kernel == [3, 3] {
                weight_gradient_3x3(simd, band, x, d, dw, channel, width);
            } else {
                weight_gradient_any(simd, band, x, d, dw, channel, width);
            }
            channel += width;
        }
    }
}

#[inline(always)]
fn weight_gradient_3x3<S: Simd>(
    simd: S,
    band: &Band,
    x: &[f32],
    d: &[f32],
    dw: &mut [f32],
    channel: usize,
    width: usize,
) {
    let c = band.c;
    let mut sums = [simd.splat_f32s(0.0); 9];
    for oy in 0..band.out[0] {
        let first = oy * band.stride[0] * band.width * c + channel;
        let row_len = (band.width - 1) * c + width;
        let rows: [&[f32]; 3] =
            std::array::from_fn(|ky| &x[first + ky * band.width * c..][..row_len]);
        for ox in 0..band.out[1] {
            let at = ox * band.stride[1] * c;
            let d = load(simd, d, (oy * band.out[1] + ox) * c + channel, width);
            for ky in 0..3 {
                for kx in 0..3 {
                    let x = load(simd, rows[ky], at + kx * c, width);
                    sums[3 * ky + kx] = simd.mul_add_e_f32s(x, d, sums[3 * ky + kx]);
                }
            }
        }
    }
    for (tap, sum) in sums.into_iter().enumerate() {
        let old = load(simd, dw, tap * c + channel, width);
        store(simd, dw, tap * c + channel, width, simd.add_f32s(old, sum));
    }
}

#[inline(always)]
fn weight_gradient_any<S: Simd>(
    simd: S,
    band: &Band,
    x: &[f32],
    d: &[f32],
    dw: &mut [f32],
    channel: usize,
    width: usize,
) {
    let c = band.c;
    for ky in 0..band.kernel[0] {
        for kx in 0..band.kernel[1] {
            let tap = ky * band.kernel[1] + kx;
            let mut sum = load(simd, dw, tap * c + channel, width);
            for oy in 0..band.out[0] {
                let row = (oy * band.stride[0] + ky) * band.width + kx;
                for ox in 0..band.out[1] {
                    let x = load(simd, x, (row + ox * band.stride[1]) * c + channel, width);
                    let d = load(simd, d, (oy * band.out[1] + ox) * c + channel, width);
                    sum = simd.mul_add_e_f32s(x, d, sum);
                }
            }
            store(simd, dw, tap * c + channel, width, sum);
        }
    }
}
