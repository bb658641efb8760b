//! Element-wise operations on a block of whole pixels. Per-channel parameters
//! come as tiles (see [`crate::simd::tile`]).
//!
//! Backward functions take the operation's *input* `x` and turn the gradient at
//! its output, `d`, into that at its input, in place; parameter gradients are
//! added to `sums`, one f64 per channel.

use super::sweep::{map, sweep, update};
use crate::simd::vectorised;
use crate::vector::{Mask, V};
use pulp::Simd;

vectorised! {
    /// `x·scale + shift`; `table` is the two tiles.
    fn affine[s](x: &[f32], y: &mut [f32], table: &[f32]) {
        map(s, [x], y, parts(table), #[inline(always)] |[x], [a, b]| x * a + b);
    }

    fn relu[s](x: &[f32], y: &mut [f32]) {
        map(s, [x], y, [], #[inline(always)] |[x], []| x.ge(V::all(s, 0.0)).keep(x));
    }

    fn relu_back[s](x: &[f32], d: &mut [f32]) {
        update(s, d, [x], #[inline(always)] |d, [x]| V::all(s, 0.0).lt(x).keep(d));
    }

    fn clip[s](x: &[f32], y: &mut [f32], lo: f32, hi: f32) {
        map(s, [x], y, [], #[inline(always)] |[x], []| x.clamp(lo, hi));
    }

    fn clip_back[s](x: &[f32], d: &mut [f32], lo: f32, hi: f32) {
        update(s, d, [x], #[inline(always)] |d, [x]| between(x, V::all(s, lo), V::all(s, hi), d));
    }

    fn prelu[s](x: &[f32], y: &mut [f32], slope: &[f32]) {
        map(s, [x], y, [slope], #[inline(always)] |[x], [a]| x.ge(V::all(s, 0.0)).pick(x, x * a));
    }

    fn prelu_back[s](x: &[f32], d: &mut [f32], slope: &[f32], sums: &mut [f64]) {
        sweep(s, [x], [d], slope.len(), [slope], [sums], #[inline(always)] |[x], [d], [a]| {
            let bent = x.lt(V::all(s, 0.0));
            ([bent.pick(d * a, d)], [bent.keep(d * x)])
        });
    }

    /// `p = x − before; (p ≥ 0 ? p : slope·p) + after`; `table` is the three tiles.
    fn shifted_prelu[s](x: &[f32], y: &mut [f32], table: &[f32]) {
        map(s, [x], y, parts(table), #[inline(always)] |[x], [b, a, c]| bend(s, x, b, a, c));
    }

    /// `sums` is those of before, slope and after, one behind the other.
    fn shifted_prelu_back[s](x: &[f32], d: &mut [f32], table: &[f32], sums: &mut [f64]) {
        let [before, slope, _] = parts(table);
        let sums: [&mut [f64]; 3] = parts_mut(sums);
        sweep(s, [x], [d], slope.len(), [before, slope], sums, #[inline(always)] |[x], [d], [b, a]| {
            let p = x - b;
            let bent = p.lt(V::all(s, 0.0));
            let through = bent.pick(d * a, d);
            ([through], [-through, bent.keep(d * p), d])
        });
    }

    /// `sign(x − threshold)` in ±1.
    fn sign[s](x: &[f32], y: &mut [f32], threshold: &[f32]) {
        map(s, [x], y, [threshold], #[inline(always)] |[x], [t]| x.ge(t).pick(V::all(s, 1.0), V::all(s, -1.0)));
    }

    /// Straight through a piecewise quadratic: the derivative of sign is taken as
    /// `2 − 2|u|` for `|u| < 1`, else 0, with `u = x − threshold`.
    fn sign_back[s](x: &[f32], d: &mut [f32], threshold: &[f32], sums: &mut [f64]) {
        sweep(s, [x], [d], threshold.len(), [threshold], [sums], #[inline(always)] |[x], [d], [t]| {
            let d = d * sign_slope(s, x - t);
            ([d], [-d])
        });
    }

    /// `clamp(round(x·2^frac), −128, 127)·2^−frac`; ties round up, as the integer
    /// runtime's shift does.
    fn narrow[s](x: &[f32], y: &mut [f32], frac: i32) {
        let (up, down) = ((frac as f32).exp2(), (-frac as f32).exp2());
        map(s, [x], y, [], #[inline(always)] |[x], []| {
            let level = x * V::all(s, up) + V::all(s, 0.5);
            level.clamp(-128.0, 127.5).floor() * V::all(s, down)
        });
    }

    /// Passes the gradient where the rounded value lies inside the range.
    fn narrow_back[s](x: &[f32], d: &[f32], frac: i32, into: &mut [f32]) {
        let up = (frac as f32).exp2();
        map(s, [x, d], into, [], #[inline(always)] |[x, d], []| narrow_passes(s, x, up, d));
    }

    /// As [`narrow_back`], added to what is there.
    fn narrow_back_to[s](x: &[f32], d: &[f32], frac: i32, into: &mut [f32]) {
        let up = (frac as f32).exp2();
        update(s, into, [x, d], #[inline(always)] |into, [x, d]| into + narrow_passes(s, x, up, d));
    }

    fn narrow_back_in_place[s](x: &[f32], d: &mut [f32], frac: i32) {
        let up = (frac as f32).exp2();
        update(s, d, [x], #[inline(always)] |d, [x]| narrow_passes(s, x, up, d));
    }

    /// `y = x + other`.
    fn add[s](x: &[f32], other: &[f32], y: &mut [f32]) {
        map(s, [x, other], y, [], #[inline(always)] |[x, o], []| x + o);
    }

    fn add_to[s](d: &[f32], into: &mut [f32]) {
        update(s, into, [d], #[inline(always)] |into, [d]| into + d);
    }

    /// Adds `bias[c]` to every pixel; `bias` is a tile.
    fn add_bias[s](y: &mut [f32], bias: &[f32]) {
        for y in y.chunks_mut(bias.len()) {
            let bias = &bias[..y.len()];
            update(s, y, [bias], #[inline(always)] |y, [b]| y + b);
        }
    }

    /// Adds each channel's gradients to `sums`.
    fn sum_channels[s](d: &[f32], tile: usize, sums: &mut [f64]) {
        sweep(s, [d], [], tile, [], [sums], #[inline(always)] |[d], [], []| ([], [d]));
    }
}

/// Adds or copies `d` to `into`.
pub(crate) fn give(d: &[f32], into: &mut [f32], accumulate: bool) {
    if accumulate {
        add_to(d, into);
    } else {
        into.copy_from_slice(d);
    }
}

/// The shifted PReLU.
#[inline(always)]
pub(crate) fn bend<S: Simd>(s: S, x: V<S>, before: V<S>, slope: V<S>, after: V<S>) -> V<S> {
    let p = x - before;
    p.ge(V::all(s, 0.0)).pick(p, p * slope) + after
}

/// `d` where `lo < x < hi`, else 0.
#[inline(always)]
pub(crate) fn between<S: Simd>(x: V<S>, lo: V<S>, hi: V<S>, d: V<S>) -> V<S> {
    x.lt(hi).keep(lo.lt(x).keep(d))
}

#[inline(always)]
pub(crate) fn sign_slope<S: Simd>(s: S, u: V<S>) -> V<S> {
    let two = V::all(s, 2.0);
    let slope = two - two * u.abs();
    V::all(s, 0.0).lt(slope).keep(slope)
}

#[inline(always)]
fn narrow_passes<S: Simd>(s: S, x: V<S>, up: f32, d: V<S>) -> V<S> {
    let level = x * V::all(s, up) + V::all(s, 0.5);
    let inside: Mask<S> = level.lt(V::all(s, 128.0));
    inside.keep(level.ge(V::all(s, -128.0)).keep(d))
}

/// A table's `N` tiles.
#[inline(always)]
pub(crate) fn parts<const N: usize>(table: &[f32]) -> [&[f32]; N] {
    let len = table.len() / N;
    std::array::from_fn(|i| &table[i * len..(i + 1) * len])
}

/// A run of sums cut into `N` equal ones.
#[inline(always)]
pub(crate) fn parts_mut<const N: usize>(sums: &mut [f64]) -> [&mut [f64]; N] {
    let mut chunks = sums.chunks_exact_mut((sums.len() / N).max(1));
    std::array::from_fn(|_| chunks.next().unwrap_or_default())
}
