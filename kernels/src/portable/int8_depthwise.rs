//! Products of two taps in plain Rust.

use super::Portable;
use crate::generic::int8_depthwise::Taps;

impl Taps for Portable {
    type L = Portable;
    type Pair = [[i16; 16]; 2];

    #[inline(always)]
    fn lanes(self) -> Portable {
        self
    }
    #[inline(always)]
    fn pair(self, a: [i16; 16], b: [i16; 16]) -> [[i16; 16]; 2] {
        [a, b]
    }
    #[inline(always)]
    fn add_pair(self, sum: [i32; 16], x: [[i16; 16]; 2], w: [[i16; 16]; 2]) -> [i32; 16] {
        let mut sum = sum;
        for (i, sum) in sum.iter_mut().enumerate() {
            let a = i32::from(x[0][i]) * i32::from(w[0][i]);
            let b = i32::from(x[1][i]) * i32::from(w[1][i]);
            *sum = sum.wrapping_add(a + b);
        }
        sum
    }
}
