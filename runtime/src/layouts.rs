//! Compile-time proof that file and kernels mean the same layout.
//!
//! The two crates do not know each other and each states the layout; here both
//! statements are evaluated over the sizes at which one could go wrong: below,
//! at and above a byte, a word, a block, a group of four.

use bitat_format::layout as file;
use bitat_kernels::layout as kernels;

const CHANNELS: [usize; 16] = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 129, 200];
/// Kernel rows and columns.
const KERNELS: [(usize, usize); 4] = [(1, 1), (1, 2), (3, 3), (5, 4)];
const GROUPS: usize = 3;

const _: () = {
    assert!(file::BINARY_LANES == kernels::BINARY_LANES);
    assert!(file::INT8_LANES == kernels::INT8_LANES);
    assert!(file::INT8_GROUP == kernels::INT8_GROUP);
    assert!(file::BLOB_ALIGN >= align_of::<i32>());
    let mut i = 0;
    while i < CHANNELS.len() {
        let c = CHANNELS[i];
        assert!(file::bits_pixel_bytes(c) == kernels::pixel_bytes(c));
        let mut o = 0;
        while o < CHANNELS.len() {
            let mut k = 0;
            while k < KERNELS.len() {
                sizes(KERNELS[k], c, CHANNELS[o]);
                k += 1;
            }
            places(c, CHANNELS[o]);
            o += 1;
        }
        i += 1;
    }
};

/// Bytes of weights; `c_in`, `c_out` per group.
const fn sizes((h, w): (usize, usize), c_in: usize, c_out: usize) {
    let taps = h * w;
    assert!(file::binary_conv_steps(taps, c_in) == kernels::binary_steps(h, w, c_in));
    assert!(
        file::binary_conv_bytes(taps, c_in * GROUPS, c_out * GROUPS, GROUPS)
            == kernels::binary_weight_bytes(h, w, c_in, c_out, GROUPS)
    );
    assert!(
        file::binary_depthwise_bytes(taps, c_in)
            == kernels::binary_depthwise_weight_bytes(h, w, c_in)
    );
    assert!(file::int8_conv_padded_k(taps, c_in) == kernels::int8_depth(h, w, c_in));
    assert!(
        file::int8_conv_bytes(taps, c_in, c_out) == kernels::int8_weight_bytes(h, w, c_in, c_out)
    );
    assert!(
        file::int8_depthwise_bytes(taps, c_in) == kernels::int8_depthwise_weight_bytes(h, w, c_in)
    );
}

/// Where single weights lie: the first and last output channel of every block.
const fn places(steps: usize, c_out: usize) {
    let depth = steps.next_multiple_of(file::INT8_GROUP);
    let mut channel = 0;
    while channel < c_out {
        let step = channel * 7 % steps;
        assert!(
            file::binary_conv_offset(steps, c_out, channel, step)
                == kernels::binary_offset(steps, c_out, channel, step)
        );
        assert!(
            file::int8_conv_offset(depth, c_out, channel, step)
                == kernels::int8_offset(depth, c_out, channel, step)
        );
        channel += if channel % 16 == 15 { 1 } else { 15 - channel % 16 };
    }
}
