//! The loops under the element-wise operations: a map, and a map that also sums
//! per channel. To be inlined into functions made by `vectorised!`; the closures too
//! must be `#[inline(always)]`.

use crate::vector::V;
use pulp::Simd;

/// `y = f(inputs, parameters of the channel)`. Parameters are tiles (see
/// [`crate::simd::tile`]), or there are none; inputs are as long as `y`.
#[inline(always)]
pub(crate) fn map<S: Simd, const I: usize, const P: usize>(
    s: S,
    inputs: [&[f32]; I],
    y: &mut [f32],
    params: [&[f32]; P],
    f: impl Fn([V<S>; I], [V<S>; P]) -> V<S>,
) {
    let tile = if P > 0 { params[0].len() } else { y.len().max(1) };
    let zero = V::all(s, 0.0);
    for (i, y) in y.chunks_mut(tile).enumerate() {
        let len = y.len();
        let empty: (&[S::f32s], &[f32]) = (&[], &[]);
        let (mut from, mut with) = ([empty; I], [empty; P]);
        for k in 0..I {
            from[k] = S::as_simd_f32s(&inputs[k][i * tile..][..len]);
        }
        for k in 0..P {
            with[k] = S::as_simd_f32s(&params[k][..len]);
        }
        let (whole, rest) = S::as_mut_simd_f32s(y);
        for (at, y) in whole.iter_mut().enumerate() {
            let (mut x, mut p) = ([zero; I], [zero; P]);
            for i in 0..I {
                x[i] = V::new(s, from[i].0[at]);
            }
            for i in 0..P {
                p[i] = V::new(s, with[i].0[at]);
            }
            *y = f(x, p).v;
        }
        if !rest.is_empty() {
            let (mut x, mut p) = ([zero; I], [zero; P]);
            for i in 0..I {
                x[i] = V::new(s, s.partial_load_f32s(from[i].1));
            }
            for i in 0..P {
                p[i] = V::new(s, s.partial_load_f32s(with[i].1));
            }
            s.partial_store_f32s(rest, f(x, p).v);
        }
    }
}

/// `y = f(y, inputs)`, without parameters.
#[inline(always)]
pub(crate) fn update<S: Simd, const I: usize>(
    s: S,
    y: &mut [f32],
    inputs: [&[f32]; I],
    f: impl Fn(V<S>, [V<S>; I]) -> V<S>,
) {
    let mut at = 0;
    while at < y.len() {
        let width = S::F32_LANES.min(y.len() - at);
        let mut x = [V::all(s, 0.0); I];
        for i in 0..I {
            x[i] = V::load(s, inputs[i], at, width);
        }
        f(V::load(s, y, at, width), x).store(y, at, width);
        at += width;
    }
}

/// For every element `(outputs, terms) = f(inputs, old outputs, parameters)`, the
/// terms added to the sums of the element's channel. Sums run in f32 over one call
/// (a few dozen rows), then in f64. `sums` have one value per channel; parameters
/// are tiles of `tile` values; all other slices are equally long.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn sweep<S: Simd, const I: usize, const O: usize, const P: usize, const N: usize>(
    s: S,
    inputs: [&[f32]; I],
    mut outputs: [&mut [f32]; O],
    tile: usize,
    params: [&[f32]; P],
    mut sums: [&mut [f64]; N],
    f: impl Fn([V<S>; I], [V<S>; O], [V<S>; P]) -> ([V<S>; O], [V<S>; N]),
) {
    let len = inputs.first().map_or(0, |x| x.len());
    let whole = len / tile * tile;
    let mut column = 0;
    while column < tile {
        // A register of neighbouring columns, all rows, their sums in registers.
        let width = S::F32_LANES.min(tile - column);
        let mut p = [V::all(s, 0.0); P];
        for i in 0..P {
            p[i] = V::load(s, params[i], column, width);
        }
        let mut totals = [V::all(s, 0.0); N];
        let mut at = column;
        while at < whole {
            row(s, &inputs, &mut outputs, at, width, p, &mut totals, &f);
            at += tile;
        }
        flush(&mut sums, &totals, column, width);
        let cut = width.min(len.saturating_sub(at));
        if cut > 0 {
            let mut totals = [V::all(s, 0.0); N];
            row(s, &inputs, &mut outputs, at, cut, p, &mut totals, &f);
            flush(&mut sums, &totals, column, cut);
        }
        column += width;
    }
}

/// One register's width of one row.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn row<S: Simd, const I: usize, const O: usize, const P: usize, const N: usize>(
    s: S,
    inputs: &[&[f32]; I],
    outputs: &mut [&mut [f32]; O],
    at: usize,
    width: usize,
    params: [V<S>; P],
    totals: &mut [V<S>; N],
    f: &impl Fn([V<S>; I], [V<S>; O], [V<S>; P]) -> ([V<S>; O], [V<S>; N]),
) {
    let (mut x, mut y) = ([V::all(s, 0.0); I], [V::all(s, 0.0); O]);
    for i in 0..I {
        x[i] = V::load(s, inputs[i], at, width);
    }
    for o in 0..O {
        y[o] = V::load(s, outputs[o], at, width);
    }
    let (y, terms) = f(x, y, params);
    for o in 0..O {
        y[o].store(outputs[o], at, width);
    }
    for n in 0..N {
        totals[n] = totals[n] + terms[n];
    }
}

/// Adds the first `width` lanes to the sums of the channels from `column` on.
#[inline(always)]
fn flush<S: Simd, const N: usize>(
    sums: &mut [&mut [f64]; N],
    totals: &[V<S>; N],
    column: usize,
    width: usize,
) {
    for n in 0..N {
        let mut lanes = [0.0f32; 64];
        totals[n].store(&mut lanes, 0, S::F32_LANES);
        let channels = sums[n].len();
        let first = column % channels;
        if first + width <= channels {
            for (sum, lane) in sums[n][first..first + width].iter_mut().zip(&lanes) {
                *sum += f64::from(*lane);
            }
        } else {
            for (l, lane) in lanes[..width].iter().enumerate() {
                sums[n][(first + l) % channels] += f64::from(*lane);
            }
        }
    }
}
