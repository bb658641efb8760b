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
        let x: [i32; 4] =
            core::array::from_fn(|k| i32::from(i16::from_ne_bytes([x[2 * k], x[2 * k + 1]])));
        core::array::from_fn(|lane| {
            let mut sum = sum[lane];
            for k in 0..4 {
                sum = sum.wrapping_add(i32::from(weights[4 * lane + k]) * x[k]);
            }
            sum
        })
    }
}
