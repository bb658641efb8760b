//! parse ∘ write is the identity on models, and write ∘ parse on files.

mod common;

use bitat_format::model::{Epilogue, Model, Operation};
use bitat_format::{FileBuffer, Kind, Padding, View, testing, write};
use proptest::prelude::*;

/// Numbers that decide a generated model.
fn tapes() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), 0..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn model_to_file_and_back(tape in tapes()) {
        let model = testing::model(&tape);
        let bytes = write(&model)?;
        let file = FileBuffer::new(&bytes);
        let view = View::parse(&file)?;
        prop_assert_eq!(&view.to_model(), &model);
        prop_assert_eq!(write(&view.to_model())?, bytes);
    }

    #[test]
    fn view_shows_what_the_model_holds(tape in tapes()) {
        let model = testing::model(&tape);
        let file = FileBuffer::new(&write(&model)?);
        let view = View::parse(&file)?;
        prop_assert_eq!(view.name(), &model.name);
        prop_assert_eq!(view.score_scale(), model.score_scale);
        prop_assert_eq!(view.file_bytes(), file.len());
        prop_assert_eq!(view.tensor_count(), model.tensors.len());
        prop_assert_eq!(view.layer_count(), model.layers.len());
        prop_assert_eq!(view.tensor(view.scores()).kind, Kind::Scores);
        prop_assert_eq!(view.class_count(), view.tensor(view.scores()).elements());
        for i in 0..view.class_count() {
            prop_assert_eq!(view.class_name(i), model.classes.get(i).map(|name| &name[..]));
        }
        prop_assert_eq!(view.class_name(view.class_count()), None);
        let input = view.input();
        prop_assert_eq!(input.height, usize::from(model.tensors[0].height));
        prop_assert_eq!(input.width, usize::from(model.tensors[0].width));
        prop_assert_eq!(input.channels, usize::from(model.tensors[0].channels));
        prop_assert_eq!(input.zero, &model.input.zero);
        let mut written = vec![false; view.tensor_count()];
        written[0] = true;
        for (layer, owned) in view.layers().zip(&model.layers) {
            prop_assert_eq!(layer.name, &owned.name);
            prop_assert_eq!(layer.input, owned.input);
            prop_assert!(layer.reads().all(|id| written[usize::from(id)]));
            for id in layer.writes() {
                prop_assert!(!std::mem::replace(&mut written[usize::from(id)], true));
            }
        }
        prop_assert!(written.into_iter().all(|written| written));
    }
}

/// The generator reaches everything, or the properties say less than they seem.
#[test]
fn generator_covers_every_operation_and_option() {
    let mut seen = std::collections::BTreeSet::new();
    let mut state = 1u32;
    for _ in 0..400 {
        let tape: Vec<u32> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.rotate_left(16)
        })
        .take(160)
        .collect();
        note(&testing::model(&tape), &mut seen);
    }
    let want = [
        "class names",
        "no class names",
        "image int8 conv",
        "stream int8 conv",
        "int8 depthwise",
        "binary conv",
        "groups",
        "padding zero",
        "padding one",
        "binary depthwise",
        "pool",
        "threshold",
        "scores",
        "dense",
        "binary scores",
        "shift left",
        "shift right",
        "shortcut",
        "shortcut pool",
        "more channels in",
        "more channels out",
        "prelu",
        "stream",
        "bits",
        "bits and stream",
        "65 lanes",
    ];
    for what in want {
        assert!(seen.contains(what), "no model with {what}");
    }
}

fn note(model: &Model, seen: &mut std::collections::BTreeSet<&'static str>) {
    seen.insert(match model.classes.is_empty() {
        true => "no class names",
        false => "class names",
    });
    for layer in &model.layers {
        let input = model.tensors[usize::from(layer.input)];
        let window = match &layer.operation {
            Operation::Int8Conv { window, .. } if layer.input == 0 => {
                seen.insert("image int8 conv");
                window
            }
            Operation::Int8Conv { window, .. } => {
                seen.insert("stream int8 conv");
                window
            }
            Operation::Int8Depthwise { window, .. } => {
                seen.insert("int8 depthwise");
                window
            }
            Operation::BinaryConv { window, groups, padding, .. } => {
                seen.insert("binary conv");
                seen.extend((*groups > 1).then_some("groups"));
                seen.insert(match padding {
                    Padding::Zero => "padding zero",
                    Padding::One => "padding one",
                });
                window
            }
            Operation::BinaryDepthwise { window, .. } => {
                seen.insert("binary depthwise");
                window
            }
            Operation::GlobalAveragePool { .. } => {
                seen.insert("pool");
                continue;
            }
        };
        let covers = (u16::from(window.kernel_h), u16::from(window.kernel_w));
        seen.extend((covers == (input.height, input.width)).then_some("dense"));
        match layer.operation.epilogue().unwrap() {
            Epilogue::Threshold { thresholds, .. } => {
                seen.insert("threshold");
                seen.extend((thresholds.len() == 65).then_some("65 lanes"));
            }
            Epilogue::Scores { .. } => {
                seen.insert("scores");
                seen.extend((input.kind == Kind::Bits).then_some("binary scores"));
            }
            Epilogue::Stream { shift, shortcut, prelu, stream, sign, multiplier, .. } => {
                seen.insert(if *shift < 0 { "shift right" } else { "shift left" });
                if let Some(shortcut) = shortcut {
                    let from = model.tensors[usize::from(shortcut.tensor)];
                    seen.insert("shortcut");
                    seen.extend((shortcut.pool > 1).then_some("shortcut pool"));
                    seen.insert(match usize::from(from.channels) > multiplier.len() {
                        true => "more channels in",
                        false => "more channels out",
                    });
                }
                seen.extend(prelu.is_some().then_some("prelu"));
                seen.insert(match (stream, sign) {
                    (Some(_), Some(_)) => "bits and stream",
                    (Some(_), None) => "stream",
                    _ => "bits",
                });
            }
        }
    }
}

/// −0 equals 0, so the writer gives them the same bytes.
#[test]
fn negative_zero_mean_is_written_as_zero() {
    let plain = common::bare();
    let mut model = common::bare();
    model.input.mean[0] = -0.0;
    assert_eq!(write(&model), write(&plain));
}
