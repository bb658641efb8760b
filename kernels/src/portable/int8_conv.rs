//! Products of 16 channels in plain Rust.

use super::Portable;
use crate::generic::int8_conv::Dot;

impl Dot for Portable {
    type L = Portable;
    type Weights = [i8; 64];

    #[inline(always)]
    fn lanes(self) -> Portable {
        self
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> [i8; 64] {
        *from
    }
    #[inline(always)]
    fn dot(self, sum: [i32; 16], weights: [i8; 64], x: &[u8; 8]) -> [i32; 16] {
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
}
