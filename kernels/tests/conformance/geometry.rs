//! Shapes, and their translation for the oracle.

use bitat_kernels::{Conv, Shape, Window};
use bitat_reference::ops;

use crate::random::Random;

/// Round every byte, word and block.
pub(crate) const CHANNELS: [usize; 14] = [1, 7, 8, 9, 16, 24, 63, 64, 65, 100, 127, 128, 130, 256];
const WINDOWS: [(usize, usize); 7] = [(1, 1), (3, 3), (5, 5), (2, 2), (1, 3), (3, 1), (4, 2)];

/// A layer geometry whose loops stay under `budget` products.
pub(crate) fn conv(
    random: &mut Random,
    window: (usize, usize),
    (c_in, c_out): (usize, usize),
    budget: usize,
) -> Conv {
    let (kernel_h, kernel_w) = window;
    let pointwise = window == (1, 1);
    let stride =
        |random: &mut Random| if pointwise && !random.chance(3) { 1 } else { random.size(1, 3) };
    let window = Window {
        kernel_h,
        kernel_w,
        stride_h: stride(random),
        stride_w: stride(random),
        pad_top: random.size(0, kernel_h - 1),
        pad_left: random.size(0, kernel_w - 1),
    };
    let mut most = 9;
    loop {
        let input = Shape { h: random.size(1, most), w: random.size(1, most), c: c_in };
        // Any size whose windows all touch the input.
        let out = |random: &mut Random, side: usize, stride: usize, pad: usize| {
            let largest = (side - 1 + pad) / stride + 1;
            if random.chance(2) { largest } else { random.size(1, largest) }
        };
        let output = Shape {
            h: out(random, input.h, window.stride_h, window.pad_top),
            w: out(random, input.w, window.stride_w, window.pad_left),
            c: c_out,
        };
        let products = output.h * output.w * c_in * c_out * kernel_h * kernel_w;
        if products <= budget || (output.h, output.w) == (1, 1) {
            return Conv { input, output, window, groups: 1 };
        }
        most = (most - 1).max(1);
    }
}

/// Every pair of channel counts, every window among them.
pub(crate) fn dense_convs(random: &mut Random, budget: usize) -> Vec<Conv> {
    let mut convs = Vec::new();
    for c_in in CHANNELS {
        for c_out in CHANNELS {
            let window = random.pick(&WINDOWS);
            convs.push(conv(random, window, (c_in, c_out), budget));
        }
    }
    for window in WINDOWS {
        for _ in 0..20 {
            let channels = (random.pick(&CHANNELS), random.pick(&CHANNELS));
            convs.push(conv(random, window, channels, budget));
        }
    }
    // A classifier: one window over the whole input.
    for (side, c) in [(1, 300), (2, 65), (7, 96)] {
        let mut whole = conv(random, (side, side), (c, 10), usize::MAX);
        whole.input = Shape { h: side, w: side, c };
        whole.output = Shape { h: 1, w: 1, c: 10 };
        (whole.window.pad_top, whole.window.pad_left) = (0, 0);
        convs.push(whole);
    }
    convs
}

/// Every channel count with every window.
pub(crate) fn depthwise_convs(random: &mut Random, budget: usize) -> Vec<Conv> {
    let mut convs = Vec::new();
    for c in CHANNELS.into_iter().chain([32, 96, 320, 512, 576]) {
        for window in WINDOWS {
            for _ in 0..if window == (3, 3) { 20 } else { 1 } {
                let geometry = conv(random, window, (c, 1), budget / c);
                let output = Shape { c, ..geometry.output };
                convs.push(Conv { output, ..geometry });
            }
        }
    }
    convs
}

fn shape(shape: Shape) -> ops::Shape {
    ops::Shape { height: shape.h, width: shape.w, channels: shape.c }
}

/// The oracle's word for it.
pub(crate) fn oracle(conv: &Conv) -> ops::Conv {
    let w = conv.window;
    ops::Conv {
        input: shape(conv.input),
        output: shape(conv.output),
        window: ops::Window {
            kernel_h: w.kernel_h,
            kernel_w: w.kernel_w,
            stride_h: w.stride_h,
            stride_w: w.stride_w,
            pad_top: w.pad_top,
            pad_left: w.pad_left,
        },
        groups: conv.groups,
    }
}

/// The oracle's word for it.
pub(crate) fn oracle_shape(of: Shape) -> ops::Shape {
    shape(of)
}
