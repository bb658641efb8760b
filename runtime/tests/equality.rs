//! The runtime on every instruction set, on one thread and on several, against
//! the oracle, layer by layer.
//!
//! `BITAT_REQUIRE_ISA=avx2,portable` makes the test fail if one of those did
//! not run. `BITAT_SEED=n` runs that one model alone.

mod common;

use std::collections::BTreeMap;
use std::io::Write;

use bitat_format::View;
use bitat_format::model::{Epilogue, Kind, Model, Operation, Padding};
use bitat_kernels::{Isa, Kernels};
use bitat_reference::Values as Expected;
use bitat_runtime::{ARENA_ALIGN, ARENA_LINE, Network, Pool, Step, Threads, aligned};

use common::case::{Case, GARBAGE, GUARD, compare};
use common::random::Random;
use common::{generate, mobilenet, mutate};

const SEEDS: u64 = 400;
/// Changes tried on a model to bring it to the limits.
const ATTEMPTS: usize = 30;
/// Threads tried, more than many layers have rows.
const THREADS: std::ops::RangeInclusive<usize> = 1..=5;

#[test]
fn every_isa_gives_the_oracles_tensors() {
    let mut cases: Vec<Case> =
        seeds().into_iter().map(|seed| Case::new(generate::model(seed), seed)).collect();
    for binary_depthwise in [false, true] {
        cases.push(Case::new(mobilenet::v1(32, 4, 10, binary_depthwise), 0));
    }
    on_every_isa("networks", &cases);
}

#[test]
fn every_isa_gives_the_oracles_tensors_at_the_limits() {
    let seeds = seeds();
    let mut changes = 0;
    let mut at_the_limits = |seed: &u64| {
        let mut model = generate::model(*seed);
        model.name += ", mutated";
        changes += mutate::mutate(&mut model, &mut Random(seed ^ 0x5EED), ATTEMPTS);
        Case::new(model, *seed)
    };
    let cases: Vec<Case> = seeds.iter().map(&mut at_the_limits).collect();
    assert!(changes >= 5 * seeds.len(), "only {changes} changes to {} models", seeds.len());
    on_every_isa("networks at the limits", &cases);
}

fn seeds() -> Vec<u64> {
    match std::env::var("BITAT_SEED") {
        Ok(seed) => vec![seed.parse().expect("BITAT_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

fn on_every_isa(what: &str, cases: &[Case]) {
    let required = std::env::var("BITAT_REQUIRE_ISA").unwrap_or_default();
    let mut required: Vec<&str> =
        required.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let pools: Vec<Pool> = THREADS.map(|threads| Pool::new(threads).unwrap()).collect();
    for isa in Isa::ALL {
        match Kernels::new(isa) {
            Some(kernels) => {
                assert_eq!(kernels.isa(), isa);
                for case in cases {
                    check(case, kernels);
                    pools.iter().for_each(|pool| check_on(case, kernels, pool));
                }
                required.retain(|name| *name != isa.name());
                say(&format!("ran {isa}: {} {what}, every tensor equal", cases.len()));
            }
            None => say(&format!("NOT RUN {isa} (this CPU or build does not have it)")),
        }
    }
    assert!(required.is_empty(), "BITAT_REQUIRE_ISA names what did not run: {required:?}");
}

/// Past the capture of the test harness: an ISA that did not run must be seen.
fn say(line: &str) {
    writeln!(std::io::stderr(), "runtime equality: {line}").expect("standard error");
}

fn check(case: &Case, kernels: Kernels) {
    let whose = format!("{} on {} (BITAT_SEED replays it)", case.model.name, kernels.isa());
    let view = View::parse(&case.file).unwrap();
    let network = Network::new(view, kernels);
    let classes = view.class_count();
    let needed = network.arena_bytes();

    let mut memory = vec![GARBAGE; needed + GUARD + ARENA_LINE];
    let mut scores = vec![i32::MIN; classes + 3];
    // Twice over the images in one arena: what a run leaves must not matter.
    for (image, trace) in case.runs.iter().chain(&case.runs) {
        let arena = aligned(&mut memory);
        let mut layers = 0;
        network
            .run_with(image, arena, &mut scores, |step| {
                assert_eq!(step.layer, layers, "{whose}: layers come in order");
                compare(&case.model, trace, step, &whose);
                layers += 1;
            })
            .unwrap_or_else(|e| panic!("{whose}: {e}"));
        assert_eq!(layers, case.model.layers.len(), "{whose}");
        assert!(
            arena[needed..].iter().all(|&byte| byte == GARBAGE),
            "{whose}: wrote past the arena"
        );
        assert_eq!(&scores[..classes], trace.scores(), "{whose}");
        assert_eq!(scores[classes..], [i32::MIN; 3], "{whose}: wrote past the scores");
    }

    // A fresh arena of exactly the size promised, no better aligned than it must be.
    let mut memory = vec![GARBAGE; needed + ARENA_LINE + ARENA_ALIGN - 1];
    let arena = &mut aligned(&mut memory)[ARENA_ALIGN..][..needed];
    network.run(&case.runs[0].0, arena, &mut scores[..classes]).unwrap();
    assert_eq!(&scores[..classes], case.runs[0].1.scores(), "{whose}");
}

/// Every layer that can be cut is, into as many parts as it can be.
fn check_on(case: &Case, kernels: Kernels, pool: &Pool) {
    let (threads, isa) = (pool.threads(), kernels.isa());
    let whose = format!("{} on {isa}, {threads} threads (BITAT_SEED replays it)", case.model.name);
    let view = View::parse(&case.file).unwrap();
    let network = Network::new(view, kernels).for_threads(Threads { count: threads, part_ns: 0 });
    let needed = network.arena_bytes();

    let mut memory = vec![GARBAGE; needed + GUARD + ARENA_LINE];
    let mut scores = vec![i32::MIN; view.class_count() + 3];
    let (scores, beyond) = scores.split_at_mut(view.class_count());
    for (image, trace) in &case.runs {
        let arena = aligned(&mut memory);
        let mut layers = 0;
        let observer = |step: Step<'_>| {
            assert_eq!(step.layer, layers, "{whose}: layers come in order");
            compare(&case.model, trace, step, &whose);
            layers += 1;
        };
        network
            .run_on_with(pool, image, arena, scores, observer)
            .unwrap_or_else(|e| panic!("{whose}: {e}"));
        assert_eq!(layers, case.model.layers.len(), "{whose}");
        let after = &arena[needed..];
        assert!(after.iter().all(|&byte| byte == GARBAGE), "{whose}: wrote past the arena");
        assert_eq!(scores, trace.scores(), "{whose}");
        assert_eq!(beyond, [i32::MIN; 3], "{whose}: wrote past the scores");
    }
}

/// The generator is worth nothing if it never takes a turn, or if its numbers
/// say nothing.
#[test]
fn the_generated_models_use_every_option_and_say_something() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut negative, mut bits, mut extreme, mut values) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let model = generate::model(seed);
        for layer in &model.layers {
            features(&model, &layer.operation, layer.input, |name| {
                *seen.entry(name).or_default() += 1;
            });
        }
        let image = generate::image(&model, &mut Random(!seed));
        let trace = bitat_reference::run(&model, &image).unwrap();
        for id in 0..model.tensors.len() {
            match trace.tensor(id as u16).unwrap() {
                Expected::Bits(x) => {
                    negative += x.iter().filter(|&&x| x < 0).count();
                    bits += x.len();
                }
                Expected::Stream(x) => {
                    extreme += x.iter().filter(|x| [i16::MIN, 0, i16::MAX].contains(x)).count();
                    values += x.len();
                }
                _ => {}
            }
        }
    }
    let features = [
        "8-bit convolution of an image",
        "8-bit convolution of a stream",
        "8-bit depthwise",
        "binary convolution",
        "binary convolution in groups",
        "binary depthwise",
        "global average pool",
        "padding zero",
        "padding one",
        "different strides",
        "even kernel",
        "threshold",
        "scores",
        "stream alone",
        "bits alone",
        "stream and bits",
        "prelu",
        "shortcut of the same shape",
        "shortcut that pools",
        "shortcut to more channels",
        "shortcut to fewer channels",
        "shortcut from the input",
        "an odd height above 1",
        "fewer rows than threads",
        "one pixel of several blocks",
    ];
    for feature in features {
        let count = seen.get(feature).copied().unwrap_or(0);
        assert!(count >= 10, "{feature}: {count} times in {SEEDS} models");
    }
    assert_eq!(seen.len(), features.len(), "{seen:?}");
    let share = |part: usize, whole: usize| 100 * part / whole;
    assert!((25..=75).contains(&share(negative, bits)), "{}% negative", share(negative, bits));
    assert!(share(extreme, values) < 30, "{}% zero or saturated", share(extreme, values));
}

fn features(model: &Model, operation: &Operation, input: u16, mut seen: impl FnMut(&'static str)) {
    let from = model.tensors[usize::from(input)];
    let (window, padding, epilogue) = match operation {
        Operation::Int8Conv { window, epilogue, .. } => {
            seen(match from.kind {
                Kind::Image => "8-bit convolution of an image",
                _ => "8-bit convolution of a stream",
            });
            (window, None, epilogue)
        }
        Operation::Int8Depthwise { window, epilogue, .. } => {
            seen("8-bit depthwise");
            (window, None, epilogue)
        }
        Operation::BinaryConv { window, padding, groups, epilogue, .. } => {
            seen(if *groups > 1 { "binary convolution in groups" } else { "binary convolution" });
            (window, Some(padding), epilogue)
        }
        Operation::BinaryDepthwise { window, padding, epilogue, .. } => {
            seen("binary depthwise");
            (window, Some(padding), epilogue)
        }
        Operation::GlobalAveragePool { .. } => return seen("global average pool"),
    };
    match padding {
        Some(Padding::Zero) => seen("padding zero"),
        Some(Padding::One) => seen("padding one"),
        None => {}
    }
    let to = match epilogue {
        Epilogue::Threshold { bits: to, .. } | Epilogue::Scores { scores: to, .. } => *to,
        Epilogue::Stream { stream, sign, .. } => {
            stream.or(sign.as_ref().map(|sign| sign.bits)).unwrap()
        }
    };
    let to = model.tensors[usize::from(to)];
    if to.height > 1 && !to.height.is_multiple_of(2) {
        seen("an odd height above 1");
    }
    if usize::from(to.height) < *THREADS.end() {
        seen("fewer rows than threads");
    }
    if (to.height, to.width) == (1, 1) && to.channels > 64 {
        seen("one pixel of several blocks");
    }
    if window.stride_h != window.stride_w {
        seen("different strides");
    }
    if window.kernel_h.is_multiple_of(2) {
        seen("even kernel");
    }
    match epilogue {
        Epilogue::Threshold { .. } => seen("threshold"),
        Epilogue::Scores { .. } => seen("scores"),
        Epilogue::Stream { shortcut, prelu, stream, sign, .. } => {
            seen(match (stream, sign) {
                (Some(_), Some(_)) => "stream and bits",
                (Some(_), None) => "stream alone",
                _ => "bits alone",
            });
            if prelu.is_some() {
                seen("prelu");
            }
            if let Some(shortcut) = shortcut {
                let tensor = model.tensors[usize::from(shortcut.tensor)];
                if shortcut.tensor == input {
                    seen("shortcut from the input");
                }
                if tensor.same_shape(&to) && shortcut.pool == 1 {
                    seen("shortcut of the same shape");
                }
                if shortcut.pool > 1 {
                    seen("shortcut that pools");
                }
                if tensor.channels < to.channels {
                    seen("shortcut to more channels");
                }
                if tensor.channels > to.channels {
                    seen("shortcut to fewer channels");
                }
            }
        }
    }
}
