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
    fn add_pair(
        self,
        sum: [i32; 16],
        a: [i16; 16],
        b: [i16; 16],
        weights: [[i16; 16]; 2],
    ) -> [i32; 16] {
        core::array::from_fn(|i| {
            let pair = i32::from(a[i]) * i32::from(weights[0][i])
                + i32::from(b[i]) * i32::from(weights[1][i]);
            sum[i].wrapping_add(pair)
        })
    }
}
