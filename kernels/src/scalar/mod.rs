//! One value at a time, and four or eight bytes in a register where that is
//! possible: for a CPU without vector registers, and small.
//!
//! Nothing of `generic/` is in it but the jobs. A kernel adds up the accumulators
//! of two output channels for a run of neighbouring pixels and gives them to the
//! one epilogue of them all ([`epilogue::Sink::put`]), which is compiled once.
//!
//! No function here panics. Where a slice is shorter than what was checked before,
//! which is a bug, a kernel stops and returns `None`; a few innermost loops end
//! instead. `.ci/no_panic.py` looks at what is linked on a device.

mod binary_conv;
mod binary_depthwise;
mod depthwise;
#[cfg(arm_dsp)]
mod dsp;
mod epilogue;
mod int8_conv;
mod int8_depthwise;
#[cfg(feature = "std")]
mod peak;
mod pool;
mod words;

use core::slice::{ChunksExact, ChunksExactMut};

use crate::isa::Isa;
use crate::table::Table;

pub(crate) static TABLE: Table = Table {
    isa: Isa::Scalar,
    binary_conv: binary_conv::run,
    binary_depthwise: binary_depthwise::run,
    int8_conv: int8_conv::run,
    int8_depthwise: int8_depthwise::run,
    global_average_pool: pool::run,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

/// What divides, or is a step: `None` for 0.
#[inline(always)]
fn positive(number: usize) -> Option<usize> {
    (number > 0).then_some(number)
}

/// `count` pixels of `step` elements each, from the pixel `first` on. A loop over them
/// has no check for each.
#[inline(always)]
fn pixels<T>(
    elements: &[T],
    step: usize,
    first: usize,
    count: usize,
) -> Option<ChunksExact<'_, T>> {
    let step = positive(step)?;
    Some(elements.get(first * step..(first + count) * step)?.chunks_exact(step))
}

/// The same to write.
#[inline(always)]
fn pixels_mut<T>(
    elements: &mut [T],
    step: usize,
    first: usize,
    count: usize,
) -> Option<ChunksExactMut<'_, T>> {
    let step = positive(step)?;
    Some(elements.get_mut(first * step..(first + count) * step)?.chunks_exact_mut(step))
}

/// `clamp(rshr(value, count), −128, 127)`; `count` 0..=8.
fn narrow(value: i16, count: u8) -> i32 {
    ((i32::from(value) + (1 << count >> 1)) >> count).clamp(-128, 127)
}

#[cfg(test)]
mod tests {
    use super::{int8_conv, int8_depthwise};
    use crate::generic::{Int8DepthwiseJob, Int8Job};
    use crate::types::{Conv, Epilogue, Int8Input, Shape, Window};

    /// Lengths of input, weights, bias and stream that the checks make sure of.
    const LENGTHS: [usize; 4] = [24, 18, 2, 24];

    fn run(lengths: [usize; 4], kernel_w: usize) -> Option<()> {
        let shape = Shape { h: 3, w: 4, c: 2 };
        let window =
            Window { kernel_h: 3, kernel_w, stride_h: 1, stride_w: 1, pad_top: 1, pad_left: 1 };
        let conv = Conv { input: shape, output: shape, window, groups: 1 };
        let [input, weights, bias, stream] = lengths;
        let epilogue = Epilogue::Stream {
            shift: 0,
            multiplier: &[1; 2],
            bias: &[0; 2][..bias],
            shortcut: None,
            prelu: None,
            stream: Some(&mut [0; 24][..stream]),
            sign: None,
        };
        int8_depthwise::run(Int8DepthwiseJob {
            conv,
            input: &[0; 24][..input],
            narrow: 0,
            weights: &[0; 18][..weights],
            rows: 0..3,
            epilogue,
        })
    }

    #[test]
    fn a_slice_shorter_than_was_checked_is_an_answer_and_no_panic() {
        for kernel_w in [3, 2] {
            assert_eq!(run(LENGTHS, kernel_w), Some(()));
            let short = if kernel_w == 3 { 17 } else { 11 };
            for (which, length) in [(0, 23), (1, short), (2, 1), (3, 23), (0, 0)] {
                let mut lengths = LENGTHS;
                lengths[which] = length;
                assert_eq!(run(lengths, kernel_w), None, "{which}: {length}");
            }
        }
        assert_eq!(run(LENGTHS, 0), None);
    }

    /// The same of an image's.
    const OF_IMAGE: [usize; 4] = [36, 140, 5, 60];

    fn run_image(lengths: [usize; 4], scratch: usize) -> Option<()> {
        let (input, output) = (Shape { h: 3, w: 4, c: 3 }, Shape { h: 3, w: 4, c: 5 });
        let window =
            Window { kernel_h: 3, kernel_w: 3, stride_h: 1, stride_w: 1, pad_top: 1, pad_left: 1 };
        let [pixels, weights, bias, stream] = lengths;
        let epilogue = Epilogue::Stream {
            shift: 0,
            multiplier: &[1; 5],
            bias: &[0; 5][..bias],
            shortcut: None,
            prelu: None,
            stream: Some(&mut [0; 60][..stream]),
            sign: None,
        };
        int8_conv::run(Int8Job {
            conv: Conv { input, output, window, groups: 1 },
            input: Int8Input::Image { pixels: &[0; 36][..pixels], zero: &[0; 3] },
            weights: &[0; 140][..weights],
            rows: 0..3,
            epilogue,
            scratch: &mut [0; 140][..scratch],
        })
    }

    #[test]
    fn so_is_one_of_an_image() {
        assert_eq!(run_image(OF_IMAGE, 140), Some(()));
        for (which, length) in [(0, 35), (2, 4), (3, 59), (0, 0)] {
            let mut lengths = OF_IMAGE;
            lengths[which] = length;
            assert_eq!(run_image(lengths, 140), None, "{which}: {length}");
        }
        // With less, windows are laid out one by one, and in parts.
        for scratch in [56, 8] {
            assert_eq!(run_image(OF_IMAGE, scratch), Some(()), "{scratch}");
        }
        assert_eq!(run_image(OF_IMAGE, 3), None);
    }
}
