//! Element-wise operations on a block of whole pixels. Per-channel parameters
//! come as tiles (see [`crate::simd::tile`]).
//!
//! Backward functions take the operation's *input* `x` and turn the gradient at
//! its output, `d`, into that at its input, in place; parameter gradients are
//! added to `sums`, one f64 per channel.

use crate::simd::{LANES, vectorised};

/// Applies `f` to each element and the `P` parameters of its channel.
#[inline(always)]
fn map<const P: usize>(
    x: &[f32],
    y: &mut [f32],
    params: [&[f32]; P],
    f: impl Fn(f32, [f32; P]) -> f32,
) {
    let tile = params.first().map_or(x.len().max(1), |p| p.len());
    for (x, y) in x.chunks(tile).zip(y.chunks_mut(tile)) {
        let len = x.len();
        let y = &mut y[..len];
        let params = params.map(|p| &p[..len]);
        for i in 0..len {
            y[i] = f(x[i], params.map(|p| p[i]));
        }
    }
}

/// Applies `f` to each gradient, input and the `P` parameters of its channel.
#[inline(always)]
fn map_back<const P: usize>(
    x: &[f32],
    d: &mut [f32],
    params: [&[f32]; P],
    f: impl Fn(f32, f32, [f32; P]) -> f32,
) {
    let tile = params.first().map_or(x.len().max(1), |p| p.len());
    for (x, d) in x.chunks(tile).zip(d.chunks_mut(tile)) {
        let len = x.len();
        let d = &mut d[..len];
        let params = params.map(|p| &p[..len]);
        for i in 0..len {
            d[i] = f(d[i], x[i], params.map(|p| p[i]));
        }
    }
}

/// Adds `f(d, x, params)` of every element to the `N` sums of its channel. Lane
/// sums run in f32 over one block (a few dozen rows), then in f64.
#[inline(always)]
pub(crate) fn reduce<const P: usize, const N: usize>(
    x: &[f32],
    d: &[f32],
    tile: usize,
    params: [&[f32]; P],
    mut sums: [&mut [f64]; N],
    f: impl Fn(f32, f32, [f32; P]) -> [f32; N],
) {
    let whole = x.len() / tile * tile;
    let channels = sums[0].len();
    let mut column = 0;
    let mut channel = 0;
    while column < tile {
        let width = LANES.min(tile - column);
        let mut totals = [[0.0f32; LANES]; N];
        if width == LANES {
            let params = params.map(|p| lanes(p, column));
            let mut at = column;
            while at < whole {
                let (x, d) = (lanes(x, at), lanes(d, at));
                for l in 0..LANES {
                    let terms = f(d[l], x[l], std::array::from_fn(|p| params[p][l]));
                    for n in 0..N {
                        totals[n][l] += terms[n];
                    }
                }
                at += tile;
            }
        } else {
            for at in (column..whole).step_by(tile) {
                for l in 0..width {
                    let terms = f(d[at + l], x[at + l], params.map(|p| p[column + l]));
                    for n in 0..N {
                        totals[n][l] += terms[n];
                    }
                }
            }
        }
        // The last, partial tile.
        for l in 0..width.min((x.len() - whole).saturating_sub(column)) {
            let at = whole + column + l;
            let terms = f(d[at], x[at], params.map(|p| p[column + l]));
            for n in 0..N {
                totals[n][l] += terms[n];
            }
        }
        for l in 0..width {
            for (sums, totals) in sums.iter_mut().zip(&totals) {
                sums[channel] += f64::from(totals[l]);
            }
            channel = if channel + 1 == channels { 0 } else { channel + 1 };
        }
        column += width;
    }
}

#[inline(always)]
fn lanes(x: &[f32], at: usize) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    out.copy_from_slice(&x[at..at + LANES]);
    out
}

vectorised! {
    /// `x·scale + shift`.
    fn affine(x: &[f32], y: &mut [f32], scale: &[f32], shift: &[f32]) {
        map(x, y, [scale, shift], |x, [a, b]| x * a + b);
    }

    fn relu(x: &[f32], y: &mut [f32]) {
        map(x, y, [], |x, []| if x > 0.0 { x } else { 0.0 });
    }

    fn relu_back(x: &[f32], d: &mut [f32]) {
        map_back(x, d, [], |d, x, []| if x > 0.0 { d } else { 0.0 });
    }

    fn clip(x: &[f32], y: &mut [f32], lo: f32, hi: f32) {
        map(x, y, [], |x, []| {
            let x = if x < lo { lo } else { x };
            if x > hi { hi } else { x }
        });
    }

    fn clip_back(x: &[f32], d: &mut [f32], lo: f32, hi: f32) {
        map_back(x, d, [], |d, x, []| if x > lo && x < hi { d } else { 0.0 });
    }

    fn prelu(x: &[f32], y: &mut [f32], slope: &[f32]) {
        map(x, y, [slope], |x, [s]| if x >= 0.0 { x } else { x * s });
    }

    fn prelu_back(x: &[f32], d: &mut [f32], slope: &[f32], sums: &mut [f64]) {
        reduce(x, d, slope.len(), [], [sums], |d, x, []| [if x < 0.0 { d * x } else { 0.0 }]);
        map_back(x, d, [slope], |d, x, [s]| if x >= 0.0 { d } else { d * s });
    }

    /// `p = x − before; (p ≥ 0 ? p : slope·p) + after`; `table` is the three tiles.
    fn shifted_prelu(x: &[f32], y: &mut [f32], table: &[f32]) {
        map(x, y, thirds(table), |x, [b, s, a]| {
            let p = x - b;
            (if p >= 0.0 { p } else { p * s }) + a
        });
    }

    /// `sums` is those of before, slope and after, one behind the other.
    fn shifted_prelu_back(x: &[f32], d: &mut [f32], table: &[f32], sums: &mut [f64]) {
        let [before, slope, _] = thirds(table);
        let c = sums.len() / 3;
        let (d_before, rest) = sums.split_at_mut(c);
        let (d_slope, d_after) = rest.split_at_mut(c);
        let sums = [d_before, d_slope, d_after];
        reduce(x, d, slope.len(), [before, slope], sums, |d, x, [b, s]| {
            let p = x - b;
            let negative = p < 0.0;
            let through = if negative { d * s } else { d };
            [-through, if negative { d * p } else { 0.0 }, d]
        });
        map_back(x, d, [before, slope], |d, x, [b, s]| if x >= b { d } else { d * s });
    }

    /// `sign(x − threshold)` in ±1.
    fn sign(x: &[f32], y: &mut [f32], threshold: &[f32]) {
        map(x, y, [threshold], |x, [t]| if x >= t { 1.0 } else { -1.0 });
    }

    /// Straight through a piecewise quadratic: the derivative of sign is taken as
    /// `2 − 2|u|` for `|u| < 1`, else 0, with `u = x − threshold`.
    fn sign_back(x: &[f32], d: &mut [f32], threshold: &[f32], sums: &mut [f64]) {
        map_back(x, d, [threshold], |d, x, [t]| {
            let slope = 2.0 - 2.0 * (x - t).abs();
            if slope > 0.0 { d * slope } else { 0.0 }
        });
        reduce(x, d, threshold.len(), [], [sums], |d, _, []| [-d]);
    }

    /// `clamp(round(x·2^frac), −128, 127)·2^−frac`; ties round up, as the integer
    /// runtime's shift does.
    fn narrow(x: &[f32], y: &mut [f32], frac: i32) {
        let (up, down) = ((frac as f32).exp2(), (-frac as f32).exp2());
        map(x, y, [], |x, []| {
            let level = (x * up + 0.5).floor();
            let level = if level < -128.0 { -128.0 } else { level };
            (if level > 127.0 { 127.0 } else { level }) * down
        });
    }

    /// Passes the gradient where the rounded value lies inside the range.
    fn narrow_back(x: &[f32], d: &mut [f32], frac: i32) {
        let up = (frac as f32).exp2();
        map_back(x, d, [], |d, x, []| {
            let level = x * up + 0.5;
            if (-128.0..128.0).contains(&level) { d } else { 0.0 }
        });
    }

    /// `y = x + other`.
    fn add(x: &[f32], other: &[f32], y: &mut [f32]) {
        for ((y, x), o) in y.iter_mut().zip(x).zip(other) {
            *y = x + o;
        }
    }

    fn add_to(d: &[f32], into: &mut [f32]) {
        for (into, d) in into.iter_mut().zip(d) {
            *into += d;
        }
    }

    /// Adds `bias[c]` to every pixel; `bias` is a tile.
    fn add_bias(y: &mut [f32], bias: &[f32]) {
        for y in y.chunks_mut(bias.len()) {
            for (y, b) in y.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }

    /// Adds each channel's gradients to `sums`.
    fn sum_channels(d: &[f32], tile: usize, sums: &mut [f64]) {
        reduce(d, d, tile, [], [sums], |d, _, []| [d]);
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

pub(crate) fn thirds(table: &[f32]) -> [&[f32]; 3] {
    let third = table.len() / 3;
    [&table[..third], &table[third..2 * third], &table[2 * third..]]
}
