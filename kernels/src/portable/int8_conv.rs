//! Products of 16 channels in plain Rust.

use super::Portable;
use crate::generic::int8_conv::Dot;

impl Dot for Portable {
    type L = Portable;
    /// Position by position, channel by channel.
    type Weights = [[i16; 16]; 4];

    #[inline(always)]
    fn lanes(self) -> Portable {
        self
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> [[i16; 16]; 4] {
        let mut weights = [[0; 16]; 4];
        for (channel, four) in from.as_chunks::<4>().0.iter().enumerate() {
            for (position, &weight) in weights.iter_mut().zip(four) {
                position[channel] = i16::from(weight);
            }
        }
        weights
    }
    #[inline(always)]
    fn dot(self, sum: [i32; 16], weights: [[i16; 16]; 4], x: &[u8; 8]) -> [i32; 16] {
        let mut sum = sum;
        for (weights, x) in weights.iter().zip(x.as_chunks::<2>().0) {
            let x = i32::from(i16::from_ne_bytes(*x));
            for (sum, &weight) in sum.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(i32::from(weight) * x);
            }
        }
        sum
    }
}
