//! Products of 16 channels in plain Rust.

use super::Portable;
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;

impl Dot for Portable {
    type L = Portable;
    type Weights = [i8; 64];
    type Sum = [i32; 16];
    const BYTES: usize = 2;

    #[inline(always)]
    fn lanes(self) -> Portable {
        self
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> [i8; 64] {
        *from
    }
    #[inline(always)]
    fn zero(self) -> [i32; 16] {
        [0; 16]
    }
    #[inline(always)]
    fn difference(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        let mut difference = a;
        for (a, b) in difference.iter_mut().zip(b) {
            *a = a.wrapping_sub(b);
        }
        difference
    }
    #[inline(always)]
    fn dot(self, sum: [i32; 16], weights: [i8; 64], x: &[u8]) -> [i32; 16] {
        let mut values = [0; 4];
        for (value, x) in values.iter_mut().zip(x.as_chunks::<2>().0) {
            *value = i32::from(i16::from_ne_bytes(*x));
        }
        let mut sum = sum;
        for (sum, weights) in sum.iter_mut().zip(weights.as_chunks::<4>().0) {
            let mut products = 0;
            for (&weight, x) in weights.iter().zip(values) {
                products += i32::from(weight) * x;
            }
            *sum = sum.wrapping_add(products);
        }
        sum
    }
    #[inline(always)]
    fn sum(self, sum: [i32; 16]) -> [i32; 16] {
        sum
    }
    #[inline(always)]
    fn put(self, value: [i16; 16], to: &mut [u8]) {
        if let Some(to) = to.as_chunks_mut().0.first_chunk_mut() {
            self.store16_bytes(value, to);
        }
    }
}
