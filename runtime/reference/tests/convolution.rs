//! Convolutions against values computed by hand (S9–S18).

use bitat_reference::ops::{
    Conv, Padding, Shape, Window, binary_conv, binary_depthwise, centre_pixels, int8_conv,
    int8_depthwise, narrow_stream,
};

fn shape(height: usize, width: usize, channels: usize) -> Shape {
    Shape { height, width, channels }
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel_h: kernel,
        kernel_w: kernel,
        stride_h: stride,
        stride_w: stride,
        pad_top: pad,
        pad_left: pad,
    }
}

#[test]
fn image_convolution_reads_zero_outside() {
    // 2x2 image, 1 channel, 3x3 kernel 1..=9, padding 1.
    let conv =
        Conv { input: shape(2, 2, 1), output: shape(2, 2, 1), window: window(3, 1, 1), groups: 1 };
    let x = centre_pixels(&[11, 12, 13, 14], &[10]);
    assert_eq!(x, [1, 2, 3, 4]);
    let w: Vec<i8> = (1..=9).collect();
    // (0,0): 5·1 + 6·2 + 8·3 + 9·4; (0,1): 4·1 + 5·2 + 7·3 + 8·4; and so on.
    assert_eq!(int8_conv(&conv, &x, &w), [77, 67, 47, 37]);
}

#[test]
fn centring_is_per_channel() {
    assert_eq!(centre_pixels(&[0, 255, 7, 8], &[255, 0]), [-255, 255, -248, 8]);
}

#[test]
fn narrowing_happens_before_the_product() {
    let conv =
        Conv { input: shape(1, 1, 2), output: shape(1, 1, 1), window: window(1, 1, 0), groups: 1 };
    let x = narrow_stream(&[3, -700], 1);
    assert_eq!(x, [2, -128]);
    assert_eq!(int8_conv(&conv, &x, &[127, -127]), [127 * 2 + 127 * 128]);
}

#[test]
fn groups_read_their_own_channels() {
    // 4 channels in, 2 out, 2 groups: each output sees two channels.
    let conv =
        Conv { input: shape(1, 1, 4), output: shape(1, 1, 2), window: window(1, 1, 0), groups: 2 };
    let padding = Padding::Zero;
    assert_eq!(binary_conv(&conv, padding, &[1, 1, 1, -1], &[1, 1, 1, 1]), [2, 0]);
    assert_eq!(binary_conv(&conv, padding, &[1, -1, 1, -1], &[1, -1, -1, 1]), [2, -2]);
}

#[test]
fn binary_padding_zero_and_one_differ_by_the_outside_weights() {
    let conv =
        Conv { input: shape(1, 2, 1), output: shape(1, 2, 1), window: window(3, 1, 1), groups: 1 };
    let w = [1, 1, -1, 1, -1, 1, -1, -1, -1];
    // Only the middle row is inside: [1, −1, 1].
    assert_eq!(binary_conv(&conv, Padding::Zero, &[1, -1], &w), [-2, 2]);
    // Top row adds 1, bottom row −3, the column outside 1 (left) or 1 (right).
    assert_eq!(binary_conv(&conv, Padding::One, &[1, -1], &w), [-3, 1]);
    assert_eq!(binary_depthwise(&conv, Padding::Zero, &[1, -1], &w), [-2, 2]);
    assert_eq!(binary_depthwise(&conv, Padding::One, &[1, -1], &w), [-3, 1]);
}

#[test]
fn even_kernel_strides_and_uneven_sides() {
    // 3x5 input 0..15, 2x4 kernel of ones, stride 2x3, padding 1x2.
    let window =
        Window { kernel_h: 2, kernel_w: 4, stride_h: 2, stride_w: 3, pad_top: 1, pad_left: 2 };
    let conv = Conv { input: shape(3, 5, 1), output: shape(2, 2, 1), window, groups: 1 };
    let x: Vec<i16> = (0..15).collect();
    // (0,0): row 0, columns 0..2; (0,1): row 0, columns 1..5;
    // (1,0): rows 1 and 2, columns 0..2; (1,1): rows 1 and 2, columns 1..5.
    let expected = [1, 1 + 2 + 3 + 4, 5 + 6 + 10 + 11, 6 + 7 + 8 + 9 + 11 + 12 + 13 + 14];
    assert_eq!(int8_conv(&conv, &x, &[1; 8]), expected);
    assert_eq!(int8_depthwise(&conv, &x, &[1; 8]), expected);
}

#[test]
fn depthwise_keeps_channels_apart() {
    let conv =
        Conv { input: shape(1, 2, 3), output: shape(1, 1, 3), window: window(2, 1, 0), groups: 1 };
    // Second kernel row is below the image.
    let w = [1, 2, 3, 4, 5, 6, 100, 100, 100, 100, 100, 100];
    let x = [1, -1, 2, 10, 20, 30];
    assert_eq!(int8_depthwise(&conv, &x, &w), [1 + 40, -2 + 100, 6 + 180]);
}

#[test]
fn a_window_wholly_outside_still_has_a_value() {
    let conv =
        Conv { input: shape(1, 1, 1), output: shape(1, 3, 1), window: window(1, 2, 0), groups: 1 };
    assert_eq!(binary_conv(&conv, Padding::Zero, &[-1], &[-1]), [1, 0, 0]);
    assert_eq!(binary_conv(&conv, Padding::One, &[-1], &[-1]), [1, -1, -1]);
}

#[test]
#[should_panic(expected = "input not ±1")]
fn a_binary_input_of_zero_is_refused() {
    let conv =
        Conv { input: shape(1, 1, 1), output: shape(1, 1, 1), window: window(1, 1, 0), groups: 1 };
    binary_conv(&conv, Padding::Zero, &[0], &[1]);
}

#[test]
#[should_panic(expected = "S14")]
fn an_accumulator_beyond_32_bits_is_refused() {
    let conv = Conv {
        input: shape(1, 3, 32768),
        output: shape(1, 2, 1),
        window: window(3, 1, 1),
        groups: 1,
    };
    int8_conv(&conv, &vec![255; 3 * 32768], &vec![127; 9 * 32768]);
}
