//! Drives a valid model to the rim of what the format admits: largest weights,
//! multipliers and shifts, odd windows, huge pools. What the writer refuses is
//! not kept, so every result is a file that a device may meet.

use bitat_format::model::{Epilogue, Model, Operation, Window};

use super::random::Random;

/// Changes `model` up to `attempts` times; returns how many changes were valid.
pub(crate) fn mutate(model: &mut Model, random: &mut Random, attempts: usize) -> usize {
    let mut kept = 0;
    for _ in 0..attempts {
        let mut changed = model.clone();
        change(&mut changed, random);
        if changed != *model && bitat_format::write(&changed).is_ok() {
            *model = changed;
            kept += 1;
        }
    }
    kept
}

fn change(model: &mut Model, random: &mut Random) {
    let tensors = model.tensors.len();
    let layers = model.layers.len();
    if random.chance(5) {
        let zero = random.pick(&[0, 255]);
        return model.input.zero.fill(zero);
    }
    let layer = &mut model.layers[random.index(layers)];
    let sign = random.pick(&[-1, 1]);
    let (window, epilogue) = match &mut layer.operation {
        Operation::Int8Conv { window, narrow, weights, epilogue }
        | Operation::Int8Depthwise { window, narrow, weights, epilogue } => {
            match random.within(0..=7) {
                0 => weights.fill(127 * sign),
                1 => *narrow = random.within(0..=8) as u8,
                _ => {}
            }
            (window, epilogue)
        }
        Operation::BinaryConv { window, weights, epilogue, .. }
        | Operation::BinaryDepthwise { window, weights, epilogue, .. } => {
            if random.chance(15) {
                weights.fill(sign);
            }
            (window, epilogue)
        }
        Operation::GlobalAveragePool { shift, .. } => {
            *shift = random.within(0..=8) as u8;
            return;
        }
    };
    if random.chance(25) {
        change_window(window, random);
    }
    let sign = i32::from(sign);
    match epilogue {
        Epilogue::Threshold { thresholds, .. } => {
            thresholds.fill(random.pick(&[i32::MIN, -1, 0, 1, i32::MAX]));
        }
        Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, sign: bits, .. } => {
            match random.within(0..=6) {
                0 => *shift = random.within(-16..=15) as i8,
                1 => multiplier.fill(32767 * sign as i16),
                2 => bias.fill(random.pick(&[-32768, 32767])),
                3 => {
                    if let Some(shortcut) = shortcut {
                        shortcut.tensor = random.index(tensors) as u16;
                        shortcut.pool = random.pick(&[1, 2, 5, 200, 255]);
                        shortcut.shift = random.within(-15..=15) as i8;
                    }
                }
                4 | 5 => {
                    if let Some(prelu) = prelu {
                        prelu.before.fill(random.pick(&[-32768, 0, 32767]));
                        prelu.slope.fill(random.pick(&[-32767, 0, 32767]));
                        prelu.after.fill(random.pick(&[-32768, 0, 32767]));
                    }
                }
                _ => {
                    if let Some(bits) = bits {
                        bits.thresholds.fill(random.pick(&[-32768, 0, 32767]));
                    }
                }
            }
        }
        Epilogue::Scores { multiplier, bias, .. } => match random.within(0..=1) {
            0 => multiplier.fill((1 << random.within(0..=14)) * sign as i16),
            _ => bias.fill((1 << random.within(0..=30)) * sign),
        },
    }
}

/// The kernel's size is the weights', so only where it stands changes.
fn change_window(window: &mut Window, random: &mut Random) {
    let strides = [1, 2, 3, 4, 7, 255];
    match random.within(0..=3) {
        0 => window.stride_h = random.pick(&strides),
        1 => window.stride_w = random.pick(&strides),
        2 => window.pad_top = random.within(0..=i64::from(window.kernel_h) - 1) as u8,
        _ => window.pad_left = random.within(0..=i64::from(window.kernel_w) - 1) as u8,
    }
}
