//! Epilogues, shortcuts and pools against values computed by hand (S19–S28).

use bitat_reference::ops::{
    Prelu, Scale, Shape, global_average_pool, scores, shortcut, sign, stream_epilogue, threshold,
};

fn shape(height: usize, width: usize, channels: usize) -> Shape {
    Shape { height, width, channels }
}

#[test]
fn a_threshold_is_strict() {
    assert_eq!(threshold(&[-1, 0, 1, 0], &[0, 1]), [-1, -1, 1, -1]);
    assert_eq!(threshold(&[i32::MIN, i32::MAX], &[i32::MIN]), [1, 1]);
    assert_eq!(sign(&[-1, 0, 1], &[0]), [-1, 1, 1]);
    assert_eq!(sign(&[-32768, 32766, 32767], &[32767]), [-1, -1, 1]);
}

#[test]
fn scale_and_bias() {
    // Multiplier 1/2: ties go up. (3·2 = 6 → 3; −5·2 = −10 → −5; bias on top.)
    let scale = Scale { shift: 1, multiplier: &[16384, -16384], bias: &[10, -10] };
    assert_eq!(stream_epilogue(&[3, 3, -5, -5], scale, None, None), [13, -13, 5, -5]);
    let half = Scale { shift: 0, multiplier: &[16384], bias: &[0] };
    assert_eq!(stream_epilogue(&[1, -1, 3, -3], half, None, None), [1, 0, 2, -1]);
    // A right shift rounds before the multiplier rounds: 5 → 3 → 2.
    let twice = Scale { shift: -1, multiplier: &[16384], bias: &[0] };
    assert_eq!(stream_epilogue(&[5], twice, None, None), [2]);
}

#[test]
fn every_step_saturates_at_once() {
    // 1000·2^15 saturates to 32767 before it is multiplied and offset.
    let scale = Scale { shift: 15, multiplier: &[32767], bias: &[32767] };
    assert_eq!(stream_epilogue(&[1000], scale, None, None), [32767]);
    // 32767 + 32767 saturates before −32768 is added.
    assert_eq!(stream_epilogue(&[1000], scale, Some(&[-32768]), None), [-1]);
    // y − before saturates at 32767, and only then is `after` added.
    let prelu = Prelu { before: &[-32768], slope: &[0], after: &[-32768] };
    assert_eq!(stream_epilogue(&[1000], scale, None, Some(prelu)), [-1]);
}

#[test]
fn prelu_bends_at_its_own_zero() {
    let scale = Scale { shift: 0, multiplier: &[32767], bias: &[0] };
    // before 5, slope 1/4, after −3; the multiplier 32767 leaves small values as they are.
    let prelu = Prelu { before: &[5], slope: &[8192], after: &[-3] };
    // 4 − 5 = −1 → mulr(−1, 1/4) = 0; 3 − 5 = −2 → −1/2 → 0; 2 − 5 = −3 → −3/4 → −1.
    assert_eq!(stream_epilogue(&[6, 5, 4, 3, 2], scale, None, Some(prelu)), [-2, -3, -3, -3, -4]);
    // A slope above 0 and below: −1.0 is as near as −32767.
    let mirror = Prelu { before: &[0], slope: &[-32767], after: &[0] };
    assert_eq!(stream_epilogue(&[-8, 8], scale, None, Some(mirror)), [8, 8]);
}

#[test]
fn the_shortcut_is_added_before_the_prelu() {
    let scale = Scale { shift: 0, multiplier: &[32767], bias: &[0] };
    let prelu = Prelu { before: &[0], slope: &[0], after: &[0] };
    assert_eq!(stream_epilogue(&[-5, 5], scale, Some(&[7, -7]), Some(prelu)), [2, 0]);
}

#[test]
fn a_shortcut_of_the_same_shape_copies() {
    let x = [1, -2, 3, -4];
    assert_eq!(shortcut(&x, shape(1, 2, 2), shape(1, 2, 2), 1, 0), x);
    assert_eq!(shortcut(&x, shape(1, 2, 2), shape(1, 2, 2), 1, 2), [4, -8, 12, -16]);
    // Ties up: 1/2 → 1, −2/2, 3/2 → 2, −4/2.
    assert_eq!(shortcut(&x, shape(1, 2, 2), shape(1, 2, 2), 1, -1), [1, -1, 2, -2]);
    assert_eq!(shortcut(&[3], shape(1, 1, 1), shape(1, 1, 1), 1, 15), [32767]);
}

#[test]
fn clipped_pools_average_what_there_is() {
    // 3x3 pooled by 2: windows of 4, 2, 2 and 1 pixels.
    let x = [1, 2, 3, 4, 5, 6, 7, 8, 10];
    // 12/4 = 3; 9/2 → 5; 15/2 → 8; 10.
    assert_eq!(shortcut(&x, shape(3, 3, 1), shape(2, 2, 1), 2, 0), [3, 5, 8, 10]);
    // A smaller output ignores what it does not cover.
    assert_eq!(shortcut(&x, shape(3, 3, 1), shape(1, 1, 1), 2, 0), [3]);
}

#[test]
fn ragged_channel_groups() {
    // 5 channels to 2: {0, 2, 4} and {1, 3}.
    let x = [1, 10, 2, 20, 4];
    // 7/3 = 2.33 → 2; 30/2 = 15.
    assert_eq!(shortcut(&x, shape(1, 1, 5), shape(1, 1, 2), 1, 0), [2, 15]);
    // 2 channels to 5: c mod 2.
    assert_eq!(shortcut(&[7, -7], shape(1, 1, 2), shape(1, 1, 5), 1, 0), [7, -7, 7, -7, 7]);
}

#[test]
fn pool_and_channel_means_are_one_division() {
    // Two pixels of two channels to one: (1 + 2 + 2 + 2)/4 = 1.75 → 2. Two
    // roundings in a row, by pixel (2, 2) or by channel, must not show.
    assert_eq!(shortcut(&[1, 2, 2, 2], shape(1, 2, 2), shape(1, 1, 1), 2, 0), [2]);
    // (0 + 1 + 0 + 0)/4 = 0.25 → 0, where (1, 0) → 0.5 → 1 would give 1.
    assert_eq!(shortcut(&[0, 1, 0, 0], shape(1, 2, 2), shape(1, 1, 1), 2, 0), [0]);
    // The mean rounds, then the right shift rounds: −3/4 → −1, → −1/2 → 0.
    assert_eq!(shortcut(&[-1, -1, -1, 0], shape(1, 2, 2), shape(1, 1, 1), 2, -1), [0]);
}

#[test]
#[should_panic(expected = "S25")]
fn a_pool_without_a_pixel_is_refused() {
    shortcut(&[1], shape(1, 1, 1), shape(2, 1, 1), 1, 0);
}

#[test]
fn global_pool_keeps_fraction_bits() {
    // Channel 0: 1 + 2 + 2 = 5 → 5/3 = 1.67; channel 1: −5/3 = −1.67.
    let x = [1, -1, 2, -2, 2, -2];
    assert_eq!(global_average_pool(&x, shape(1, 3, 2), 0), [2, -2]);
    // 40/3 = 13.33.
    assert_eq!(global_average_pool(&x, shape(3, 1, 2), 3), [13, -13]);
    assert_eq!(global_average_pool(&[32767], shape(1, 1, 1), 8), [32767]);
}

#[test]
fn scores_saturate_after_the_bias() {
    assert_eq!(scores(&[3, -3], &[2, 5], &[1, -1]), [7, -16]);
    // 2^30 · 4 is above 32 bits, the bias brings it back below.
    assert_eq!(scores(&[1 << 30], &[2], &[-1]), [i32::MAX]);
    assert_eq!(scores(&[1 << 30], &[4], &[0]), [i32::MAX]);
    assert_eq!(scores(&[-(1 << 30)], &[4], &[0]), [i32::MIN]);
}
