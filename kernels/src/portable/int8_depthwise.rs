//! Products of one tap after the other in plain Rust.

use super::Portable;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{LANES, Lanes, Narrow};

impl Taps for Portable {
    type L = Portable;
    type Column = [[i16; LANES]; 3];
    type Nine = [[i16; LANES]; 9];
    const CASES: bool = false;

    #[inline(always)]
    fn lanes(self) -> Portable {
        self
    }
    #[inline(always)]
    fn column(self, pixels: [[i16; LANES]; 3], narrow: Narrow<Portable>) -> Self::Column {
        let mut column = pixels;
        for pixel in &mut column {
            *pixel = self.narrow16(*pixel, narrow);
        }
        column
    }
    #[inline(always)]
    fn weights(self, weights: [[i16; LANES]; 9]) -> Self::Nine {
        weights
    }
    #[inline(always)]
    fn nine(self, columns: [Self::Column; 3], weights: &Self::Nine) -> [i32; LANES] {
        let mut sum = [0; LANES];
        for (kx, column) in columns.iter().enumerate() {
            for (ky, pixel) in column.iter().enumerate() {
                sum = self.add(sum, *pixel, weights[3 * ky + kx]);
            }
        }
        sum
    }
    #[inline(always)]
    fn add(self, sum: [i32; LANES], x: [i16; LANES], w: [i16; LANES]) -> [i32; LANES] {
        let mut sum = sum;
        for (i, sum) in sum.iter_mut().enumerate() {
            *sum = sum.wrapping_add(i32::from(x[i]) * i32::from(w[i]));
        }
        sum
    }
}
