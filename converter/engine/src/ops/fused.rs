//! The element-wise chains that MobileNets are made of, each in one pass forward
//! and one back. They compute exactly what the single operations would.
//!
//! `norm` is the batch norm's scale and shift, `mean` its mean (tiles). Backward
//! functions write the gradient at the batch norm's *output* to `out` and add the
//! parameters' sums in the order of the chain's steps.

use super::elementwise::{bend, between, parts, parts_mut, sign_slope};
use super::sweep::{map, sweep};
use crate::simd::vectorised;
use crate::vector::V;

vectorised! {
    fn norm_sign[s](x: &[f32], y: &mut [f32], norm: &[f32], threshold: &[f32]) {
        let [a, b] = parts(norm);
        map(s, [x], y, [a, b, threshold], #[inline(always)] |[x], [a, b, t]| {
            (x * a + b).ge(t).pick(V::all(s, 1.0), V::all(s, -1.0))
        });
    }

    fn norm_sign_back[s](
        x: &[f32], d: &[f32], out: &mut [f32], norm: &[f32], mean: &[f32], threshold: &[f32],
        sums: &mut [f64],
    ) {
        let [a, b] = parts(norm);
        let params = [a, b, threshold, mean];
        sweep(s, [x, d], [out], mean.len(), params, parts_mut(sums), #[inline(always)] |[x, d], _, [a, b, t, m]| {
            let d = d * sign_slope(s, x * a + b - t);
            ([d], [d, d * (x - m), -d])
        });
    }

    fn norm_clip[s](x: &[f32], y: &mut [f32], norm: &[f32], lo: f32, hi: f32) {
        map(s, [x], y, parts(norm), #[inline(always)] |[x], [a, b]| (x * a + b).clamp(lo, hi));
    }

    fn norm_clip_back[s](
        x: &[f32], d: &[f32], out: &mut [f32], norm: &[f32], mean: &[f32], lo: f32, hi: f32,
        sums: &mut [f64],
    ) {
        let [a, b] = parts(norm);
        let (lo, hi) = (V::all(s, lo), V::all(s, hi));
        let params = [a, b, mean];
        sweep(s, [x, d], [out], mean.len(), params, parts_mut(sums), #[inline(always)] |[x, d], _, [a, b, m]| {
            let d = between(x * a + b, lo, hi, d);
            ([d], [d, d * (x - m)])
        });
    }

    fn norm_prelu[s](x: &[f32], y: &mut [f32], norm: &[f32], prelu: &[f32]) {
        let ([a, b], [t, c, e]) = (parts(norm), parts(prelu));
        map(s, [x], y, [a, b, t, c, e], #[inline(always)] |[x], [a, b, t, c, e]| bend(s, x * a + b, t, c, e));
    }

    fn norm_add_prelu[s](x: &[f32], other: &[f32], y: &mut [f32], norm: &[f32], prelu: &[f32]) {
        let ([a, b], [t, c, e]) = (parts(norm), parts(prelu));
        map(s, [x, other], y, [a, b, t, c, e], #[inline(always)] |[x, o], [a, b, t, c, e]| {
            bend(s, (x * a + b) + o, t, c, e)
        });
    }

    /// `side` is written with the gradient of `other`, or added to.
    fn norm_add_prelu_back[s](
        x: &[f32], other: &[f32], d: &[f32], out: &mut [f32], side: &mut [f32], accumulate: bool,
        norm: &[f32], mean: &[f32], prelu: &[f32], sums: &mut [f64],
    ) {
        let ([a, b], [t, c, _]) = (parts(norm), parts(prelu));
        let params = [a, b, t, c, mean];
        let (tile, sums) = (mean.len(), parts_mut(sums));
        let outs = [out, side];
        sweep(s, [x, other, d], outs, tile, params, sums, #[inline(always)] |[x, o, d], [_, side], [a, b, t, c, m]| {
            let p = (x * a + b) + o - t;
            let bent = p.lt(V::all(s, 0.0));
            let through = bent.pick(d * c, d);
            let side = if accumulate { side + through } else { through };
            ([through, side], [through, through * (x - m), -through, bent.keep(d * p), d])
        });
    }

    /// As [`norm_add_prelu_back`] where nobody wants the gradient of `other`, or where
    /// it takes more than adding.
    fn norm_add_prelu_back_alone[s](
        x: &[f32], other: &[f32], d: &[f32], out: &mut [f32],
        norm: &[f32], mean: &[f32], prelu: &[f32], sums: &mut [f64],
    ) {
        let ([a, b], [t, c, _]) = (parts(norm), parts(prelu));
        let params = [a, b, t, c, mean];
        let (tile, sums) = (mean.len(), parts_mut(sums));
        sweep(s, [x, other, d], [out], tile, params, sums, #[inline(always)] |[x, o, d], _, [a, b, t, c, m]| {
            let p = (x * a + b) + o - t;
            let bent = p.lt(V::all(s, 0.0));
            let through = bent.pick(d * c, d);
            ([through], [through, through * (x - m), -through, bent.keep(d * p), d])
        });
    }

    fn norm_prelu_back[s](
        x: &[f32], d: &[f32], out: &mut [f32], norm: &[f32], mean: &[f32], prelu: &[f32],
        sums: &mut [f64],
    ) {
        let ([a, b], [t, c, _]) = (parts(norm), parts(prelu));
        let params = [a, b, t, c, mean];
        sweep(s, [x, d], [out], mean.len(), params, parts_mut(sums), #[inline(always)] |[x, d], _, [a, b, t, c, m]| {
            let p = (x * a + b) - t;
            let bent = p.lt(V::all(s, 0.0));
            let through = bent.pick(d * c, d);
            ([through], [through, through * (x - m), -through, bent.keep(d * p), d])
        });
    }
}
