//! Plain Rust: arrays for vectors, SWAR for popcount. For a CPU with vector
//! registers for which there is no set of its own.

mod binary_conv;
mod int8_conv;
mod int8_depthwise;
mod lanes;
#[cfg(feature = "std")]
mod peak;

use crate::generic::binary_depthwise::Word;
use crate::generic::lanes::{Outline, Work};
use crate::generic::{self, BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob, cut};
use crate::isa::Isa;
use crate::table::Table;

/// Needs nothing of the CPU by name.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Outline for Portable {
    #[inline(never)]
    fn outline(self, work: impl Work) {
        work.run();
    }
}

pub(crate) static TABLE: Table = Table {
    isa: Isa::Portable,
    binary_conv,
    binary_depthwise,
    int8_conv,
    int8_depthwise,
    global_average_pool,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

fn binary_conv(job: BinaryJob<'_>) -> Option<()> {
    generic::binary_conv::run::<Portable, 1>(Portable, job);
    cut::complete()
}

fn binary_depthwise(job: BinaryJob<'_>) -> Option<()> {
    generic::binary_depthwise::run(Portable, Portable, Word, Word, job);
    cut::complete()
}

fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    generic::int8_conv::run::<_, 4>(Portable, job);
    cut::complete()
}

fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    generic::int8_depthwise::run(Portable, job);
    cut::complete()
}

fn global_average_pool(job: PoolJob<'_>) -> Option<()> {
    generic::pool::run(Portable, job);
    cut::complete()
}

/// One test, because what it notes is the same for all threads.
#[cfg(all(test, not(feature = "std")))]
mod tests {
    use super::TABLE;
    use crate::generic::{BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob, cut};
    use crate::types::{Conv, Epilogue, Int8Input, Padding, Shape, Window};

    const SHAPE: Shape = Shape { h: 4, w: 5, c: 24 };

    /// Elements of input, weights, stream and scratch, by operation: binary, binary
    /// depthwise, 8-bit, 8-bit depthwise, pool.
    const LENGTHS: [[usize; 4]; 5] = [
        [20 * 8, 9 * 3 * 24, 20 * 24, 0],
        [20 * 8, 9 * 8, 20 * 24, 5 * 4 * 8],
        [20 * 24, 9 * 24 * 24, 20 * 24, 5 * (9 * 24 + 16) * 2],
        [20 * 24, 9 * 24, 20 * 24, 0],
        [20 * 24, 0, 24, 0],
    ];

    fn run(operation: usize, [input, weights, stream, scratch]: [usize; 4]) -> Option<()> {
        cut::forget();
        let window =
            Window { kernel_h: 3, kernel_w: 3, stride_h: 1, stride_w: 1, pad_top: 1, pad_left: 1 };
        let conv = Conv { input: SHAPE, output: SHAPE, window, groups: 1 };
        let (bits, values) = (&[0; 480][..input], &[0; 480][..input]);
        let (stream, scratch) = (&mut [0; 480][..stream], &mut [0; 4096][..scratch]);
        if operation == 4 {
            let job = PoolJob { shape: SHAPE, shift: 0, input: values, output: stream };
            // SAFETY: the set needs nothing of the CPU.
            return unsafe { (TABLE.global_average_pool)(job) };
        }
        let epilogue = Epilogue::Stream {
            shift: 0,
            multiplier: &[1; 24],
            bias: &[0; 24],
            shortcut: None,
            prelu: None,
            stream: Some(stream),
            sign: None,
        };
        let (rows, padding, narrow) = (0..SHAPE.h, Padding::Zero, 0);
        if operation < 2 {
            let weights = &[0; 648][..weights];
            let job = BinaryJob { conv, padding, input: bits, weights, rows, epilogue, scratch };
            // SAFETY: the set needs nothing of the CPU.
            return unsafe { [TABLE.binary_conv, TABLE.binary_depthwise][operation](job) };
        }
        let weights = &[0; 5184][..weights];
        if operation == 2 {
            let input = Int8Input::Stream { values, narrow };
            let job = Int8Job { conv, input, weights, rows, epilogue, scratch };
            // SAFETY: the set needs nothing of the CPU.
            return unsafe { (TABLE.int8_conv)(job) };
        }
        let job = Int8DepthwiseJob { conv, input: values, narrow, weights, rows, epilogue };
        // SAFETY: the set needs nothing of the CPU.
        unsafe { (TABLE.int8_depthwise)(job) }
    }

    #[test]
    fn a_slice_shorter_than_was_checked_is_an_answer_and_no_panic() {
        for (operation, lengths) in LENGTHS.into_iter().enumerate() {
            assert_eq!(run(operation, lengths), Some(()), "{operation}");
            for which in 0..lengths.len() {
                // What is missing of a vector reads as 0, so not one element alone.
                for short in [lengths[which] / 2, 0] {
                    let mut have = lengths;
                    have[which] = short;
                    // The pool writes as many channels as there is room for.
                    let enough = have == lengths || (operation, which) == (4, 2);
                    let expected = enough.then_some(());
                    assert_eq!(run(operation, have), expected, "{operation}, {which}: {short}");
                }
            }
        }
    }
}
