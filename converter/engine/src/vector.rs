//! A vector of floats with arithmetic operators, over any instruction set.
//!
//! Element-wise kernels are written with these and not as plain loops, because
//! what the compiler makes of short rows, many slices and conditions cannot be
//! relied on: it has turned such loops into scalar code and into gathers.

use pulp::Simd;
use std::ops::{Add, Mul, Neg, Sub};

/// As many floats as a register holds.
#[derive(Clone, Copy)]
pub(crate) struct V<S: Simd> {
    s: S,
    pub(crate) v: S::f32s,
}

/// One truth per lane.
#[derive(Clone, Copy)]
pub(crate) struct Mask<S: Simd> {
    s: S,
    m: S::m32s,
}

impl<S: Simd> Mask<S> {
    /// `a` where true, else `b`.
    #[inline(always)]
    pub(crate) fn pick(self, a: V<S>, b: V<S>) -> V<S> {
        V { s: self.s, v: self.s.select_f32s(self.m, a.v, b.v) }
    }

    /// `a` where true, else 0.
    #[inline(always)]
    pub(crate) fn keep(self, a: V<S>) -> V<S> {
        self.pick(a, V::all(self.s, 0.0))
    }
}

impl<S: Simd> V<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, v: S::f32s) -> V<S> {
        V { s, v }
    }

    #[inline(always)]
    pub(crate) fn all(s: S, x: f32) -> V<S> {
        V { s, v: s.splat_f32s(x) }
    }

    /// The `len` floats at `from[at]`, `len` at most a register.
    #[inline(always)]
    pub(crate) fn load(s: S, from: &[f32], at: usize, len: usize) -> V<S> {
        let from = &from[at..at + len];
        let v = match S::as_simd_f32s(from).0 {
            [whole] => *whole,
            _ => s.partial_load_f32s(from),
        };
        V { s, v }
    }

    #[inline(always)]
    pub(crate) fn store(self, to: &mut [f32], at: usize, len: usize) {
        let to = &mut to[at..at + len];
        if let [whole] = S::as_mut_simd_f32s(to).0 {
            *whole = self.v;
            return;
        }
        self.s.partial_store_f32s(to, self.v);
    }

    #[inline(always)]
    pub(crate) fn lt(self, o: V<S>) -> Mask<S> {
        Mask { s: self.s, m: self.s.less_than_f32s(self.v, o.v) }
    }

    #[inline(always)]
    pub(crate) fn ge(self, o: V<S>) -> Mask<S> {
        Mask { s: self.s, m: self.s.greater_than_or_equal_f32s(self.v, o.v) }
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> V<S> {
        V { s: self.s, v: self.s.abs_f32s(self.v) }
    }

    /// Not above `hi` and not below `lo`.
    #[inline(always)]
    pub(crate) fn clamp(self, lo: f32, hi: f32) -> V<S> {
        let (lo, hi) = (V::all(self.s, lo), V::all(self.s, hi));
        let x = self.lt(lo).pick(lo, self);
        hi.lt(x).pick(hi, x)
    }

    /// Largest whole number not above; for magnitudes below 2²².
    #[inline(always)]
    pub(crate) fn floor(self) -> V<S> {
        // Adding this leaves no bits for the fraction.
        let shift = V::all(self.s, 1.5 * (1 << 23) as f32);
        let near = (self + shift) - shift;
        self.lt(near).pick(near - V::all(self.s, 1.0), near)
    }
}

impl<S: Simd> Add for V<S> {
    type Output = V<S>;
    #[inline(always)]
    fn add(self, o: V<S>) -> V<S> {
        V { s: self.s, v: self.s.add_f32s(self.v, o.v) }
    }
}

impl<S: Simd> Sub for V<S> {
    type Output = V<S>;
    #[inline(always)]
    fn sub(self, o: V<S>) -> V<S> {
        V { s: self.s, v: self.s.sub_f32s(self.v, o.v) }
    }
}

impl<S: Simd> Mul for V<S> {
    type Output = V<S>;
    #[inline(always)]
    fn mul(self, o: V<S>) -> V<S> {
        V { s: self.s, v: self.s.mul_f32s(self.v, o.v) }
    }
}

impl<S: Simd> Neg for V<S> {
    type Output = V<S>;
    #[inline(always)]
    fn neg(self) -> V<S> {
        V { s: self.s, v: self.s.neg_f32s(self.v) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::vectorised;

    vectorised! {
        fn floor_and_clamp[s](x: &[f32], floor: &mut [f32], clamp: &mut [f32]) {
            for at in 0..x.len() {
                V::<S>::load(s, x, at, 1).floor().store(floor, at, 1);
                V::<S>::load(s, x, at, 1).clamp(-3.0, 5.5).store(clamp, at, 1);
            }
        }
    }

    #[test]
    fn floor_is_exact_and_clamp_keeps_bounds() {
        let mut x: Vec<f32> = (-4000..4000).map(|i| i as f32 / 16.0).collect();
        x.extend([0.49999997, 0.99999994, -0.00000001, 127.99999, -128.00002, 1e6 + 0.5, -0.0]);
        let (mut floor, mut clamp) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        floor_and_clamp(&x, &mut floor, &mut clamp);
        for (i, x) in x.iter().enumerate() {
            assert_eq!((floor[i], clamp[i]), (x.floor(), x.clamp(-3.0, 5.5)), "{x}");
        }
    }
}
