//! Where tensors lie: exact numbers for small networks worked out by hand and
//! for MobileNets, the rules of a plan for random ones.

mod common;

use std::ops::Range;

use bitat_format::View;
use bitat_format::model::{
    Epilogue, Input, Kind, Layer, Model, Operation, Shortcut, Tensor, TensorId, Window,
};
use bitat_runtime::{ARENA_ALIGN, Error, Plan, Threads, arena_bytes};

use common::{generate, mobilenet};

/// A network of 1×1 windows over squares of one channel. Each entry is (tensor
/// read, tensor of the shortcut, side of the stream written).
fn streams(layers: &[(TensorId, Option<TensorId>, u16)]) -> Model {
    let tensor = |kind, side| Tensor { kind, height: side, width: side, channels: 1, frac: 0 };
    let one =
        Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
    let mut tensors = vec![tensor(Kind::Image, 64)];
    let mut model_layers = vec![];
    for &(input, from, side) in layers {
        let stream = Some(tensors.len() as TensorId);
        tensors.push(tensor(Kind::Stream, side));
        let epilogue = Epilogue::Stream {
            shift: 0,
            multiplier: vec![1],
            bias: vec![0],
            shortcut: from.map(|tensor| Shortcut { tensor, pool: 1, shift: 0 }),
            prelu: None,
            stream,
            sign: None,
        };
        let (window, narrow, weights) = (one, 0, vec![1]);
        let operation = match input {
            0 => Operation::Int8Conv { window, narrow, weights, epilogue },
            _ => Operation::Int8Depthwise { window, narrow, weights, epilogue },
        };
        model_layers.push(Layer { name: "stream".into(), input, operation });
    }
    let scores = tensors.len() as TensorId;
    tensors.push(tensor(Kind::Scores, 1));
    let epilogue = Epilogue::Scores { multiplier: vec![1], bias: vec![0], scores };
    let operation = Operation::Int8Conv { window: one, narrow: 0, weights: vec![1], epilogue };
    model_layers.push(Layer { name: "scores".into(), input: scores - 1, operation });
    Model {
        name: "streams".into(),
        input: Input { zero: vec![0], mean: vec![0.0], std: vec![1.0] },
        classes: vec![],
        tensors,
        layers: model_layers,
        score_scale: 1.0,
    }
}

/// Offsets of the streams, in order.
fn offsets(model: &Model) -> Vec<usize> {
    let file = common::file(model);
    let view = View::parse(&file).unwrap();
    let plan = Plan::new(&view);
    let ids = 1..model.tensors.len() as TensorId - 1;
    ids.map(|id| plan.tensor(&view, id).unwrap().start).collect()
}

#[test]
fn a_chain_alternates_between_two_places() {
    // 2·8², 2·6², 2·4², 2·3² bytes: 128, 72, 32, 18. The second lies behind
    // the first; the third lives when the first is gone; the fourth beside it.
    let chain = streams(&[(0, None, 8), (1, None, 6), (2, None, 4), (3, None, 3)]);
    assert_eq!(offsets(&chain), [0, 128, 0, 32]);
}

#[test]
fn a_shortcut_keeps_its_tensor() {
    let chain = streams(&[(0, None, 8), (1, None, 6), (2, Some(1), 4), (3, None, 3)]);
    // 128 + 72 is rounded up to 208; the fourth then has the first's place.
    assert_eq!(offsets(&chain), [0, 128, 208, 0]);
}

#[test]
fn the_largest_is_placed_first_and_the_others_around_it() {
    // 32, 128, 18 and 72 bytes. The second goes to 0; the fourth, alive with
    // it, behind it; the first, gone before the fourth comes, to the same
    // place; the third, alive with the first two, behind both.
    let model = streams(&[(0, None, 4), (0, None, 8), (2, Some(1), 3), (2, None, 6)]);
    assert_eq!(offsets(&model), [128, 0, 160, 128]);
}

#[test]
fn an_unread_tensor_lives_for_its_layer() {
    let chain = streams(&[(0, None, 8), (0, None, 6), (2, None, 4)]);
    assert_eq!(offsets(&chain), [0, 0, 80]);
}

#[test]
fn image_and_scores_take_no_room() {
    let file = common::file(&streams(&[(0, None, 8)]));
    let view = View::parse(&file).unwrap();
    let plan = Plan::new(&view);
    assert_eq!(plan.tensor(&view, 0), None);
    assert_eq!(plan.tensor(&view, 1), Some(0..128));
    assert_eq!(plan.tensor(&view, 2), None);
    assert_eq!(plan.tensor(&view, 3), None);
    assert_eq!(plan.scratch(&view, 2), None);
}

#[test]
fn a_smaller_plan_is_the_same_plan_or_none() {
    let file = common::file(&streams(&[(0, None, 8), (1, None, 6)]));
    let view = View::parse(&file).unwrap();
    let small = Plan::<4>::with_capacity(&view).unwrap();
    assert_eq!(small.arena_bytes(), arena_bytes(&view));
    assert_eq!(small.tensor(&view, 2), Plan::new(&view).tensor(&view, 2));
    let found = Plan::<3>::with_capacity(&view);
    assert_eq!(found, Err(Error::Capacity { expected: 4, found: 3 }));
}

#[test]
fn a_plan_beyond_32_bits_says_so() {
    // 17 streams of 2^28 bytes that are all read at the end.
    let side = 4096;
    let mut model = streams(&[(0, None, side)]);
    let scores = model.tensors.pop().unwrap();
    let mut classifier = model.layers.pop().unwrap();
    for tensor in &mut model.tensors {
        (tensor.height, tensor.width) = (side, side);
    }
    model.tensors[1].channels = 8;
    let wide = |input, from: Option<TensorId>, stream, depthwise| {
        let epilogue = Epilogue::Stream {
            shift: 0,
            multiplier: vec![1; 8],
            bias: vec![0; 8],
            shortcut: from.map(|tensor| Shortcut { tensor, pool: 1, shift: 0 }),
            prelu: None,
            stream: Some(stream),
            sign: None,
        };
        let window =
            Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
        let (narrow, weights) = (0, vec![1; 8]);
        let operation = match depthwise {
            true => Operation::Int8Depthwise { window, narrow, weights, epilogue },
            false => Operation::Int8Conv { window, narrow, weights, epilogue },
        };
        Layer { name: "wide".into(), input, operation }
    };
    model.layers = vec![wide(0, None, 1, false)];
    for id in 2..=17 {
        model.tensors.push(model.tensors[1]);
        model.layers.push(wide(1, None, id, true));
    }
    for from in 1..=17 {
        let pixel = Tensor { height: 1, width: 1, ..model.tensors[1] };
        model.tensors.push(pixel);
        model.layers.push(wide(1, Some(from), 17 + from, true));
    }
    classifier.input = 34;
    if let Operation::Int8Conv { weights, epilogue: Epilogue::Scores { scores, .. }, .. } =
        &mut classifier.operation
    {
        *weights = vec![1; 8];
        *scores = 35;
    }
    model.tensors.push(scores);
    model.layers.push(classifier);

    let file = common::file(&model);
    let view = View::parse(&file).unwrap();
    assert_eq!(arena_bytes(&view), usize::MAX);
}

/// The most bytes that tensors and scratch (each rounded up to 16) take during
/// one layer: no plan can do with less. Lifetimes are worked out from the model.
fn least(model: &Model, view: &View<'_>) -> usize {
    let plan = Plan::new(view);
    let lives: Vec<_> = (0..model.tensors.len()).map(|id| lifetime(model, id)).collect();
    (0..model.layers.len())
        .map(|layer| {
            let alive = (0..lives.len()).filter(|&id| lives[id].contains(&layer));
            let scratch = plan.scratch(view, layer).map_or(0, |range| range.len());
            let all = alive.map(|id| bytes(&model.tensors[id])).chain([scratch]);
            all.map(|bytes| bytes.next_multiple_of(ARENA_ALIGN)).sum()
        })
        .max()
        .unwrap()
}

fn bytes(tensor: &Tensor) -> usize {
    let pixels = usize::from(tensor.height) * usize::from(tensor.width);
    let channels = usize::from(tensor.channels);
    match tensor.kind {
        Kind::Image | Kind::Scores => 0,
        Kind::Stream => pixels * channels * 2,
        Kind::Bits => pixels * channels.div_ceil(64) * 8,
    }
}

/// Layers during which a tensor is needed.
fn lifetime(model: &Model, id: usize) -> Range<usize> {
    let touches = |layer: &Layer| {
        let (mut ids, epilogue) = match &layer.operation {
            Operation::Int8Conv { epilogue, .. }
            | Operation::Int8Depthwise { epilogue, .. }
            | Operation::BinaryConv { epilogue, .. }
            | Operation::BinaryDepthwise { epilogue, .. } => (vec![layer.input], epilogue),
            Operation::GlobalAveragePool { output, .. } => {
                return [layer.input, *output].contains(&(id as TensorId));
            }
        };
        match epilogue {
            Epilogue::Threshold { bits, .. } => ids.push(*bits),
            Epilogue::Stream { shortcut, stream, sign, .. } => {
                ids.extend(shortcut.map(|shortcut| shortcut.tensor));
                ids.extend(*stream);
                ids.extend(sign.as_ref().map(|sign| sign.bits));
            }
            Epilogue::Scores { scores, .. } => ids.push(*scores),
        }
        ids.contains(&(id as TensorId))
    };
    let first = model.layers.iter().position(touches);
    let last = model.layers.iter().rposition(touches);
    first.map_or(0..0, |first| first..last.unwrap_or(first) + 1)
}

/// Looks that everything has room of its own while it lives, and the arena no more.
fn check(model: &Model, view: &View<'_>, plan: &Plan, what: &str) {
    let mut end = 0;
    for layer in 0..model.layers.len() {
        let mut alive: Vec<(String, Range<usize>)> = vec![];
        for id in 0..model.tensors.len() {
            let range = plan.tensor(view, id as TensorId);
            let expected = bytes(&model.tensors[id]);
            assert_eq!(range.as_ref().map_or(0, Range::len), expected, "{what}");
            if let (true, Some(range)) = (lifetime(model, id).contains(&layer), range) {
                alive.push((format!("tensor {id}"), range));
            }
        }
        alive.extend(plan.scratch(view, layer).map(|range| ("scratch".to_owned(), range)));
        alive.sort_by_key(|(_, range)| range.start);
        for pair in alive.windows(2) {
            assert!(pair[0].1.end <= pair[1].1.start, "{what}, layer {layer}: {pair:?}");
        }
        for (name, range) in alive {
            assert_eq!(range.start % ARENA_ALIGN, 0, "{what}: {name}");
            end = end.max(range.end);
        }
    }
    assert_eq!(plan.arena_bytes(), end.next_multiple_of(ARENA_ALIGN), "{what}");
}

#[test]
fn nothing_alive_shares_a_byte() {
    let (mut planned, mut needed) = (0, 0);
    for seed in 0..400 {
        let model = generate::model(seed);
        let file = common::file(&model);
        let view = View::parse(&file).unwrap();
        let plan = Plan::new(&view);
        check(&model, &view, &plan, &format!("seed {seed}"));
        planned += plan.arena_bytes();
        needed += least(&model, &view);
        for count in [2, 3, 9] {
            let threads = plan.for_threads(&view, Threads { count, part_ns: 0 });
            check(&model, &view, &threads, &format!("seed {seed}, {count} threads"));
        }
    }
    assert!(planned * 100 <= needed * 103, "{planned} bytes planned, {needed} at least");
}

/// Bytes of tensors that lie where another thread wrote last, if each of `threads`
/// writes its share of every tensor, in the second of two runs.
fn moved(model: &Model, view: &View<'_>, plan: &Plan, threads: usize) -> usize {
    let mut writer = vec![None; plan.arena_bytes()];
    let mut found = 0;
    for run in 0..2 {
        // Tensors are written in their order.
        let ranges = (0..model.tensors.len()).filter_map(|id| plan.tensor(view, id as TensorId));
        for range in ranges {
            let length = range.len();
            for (at, last) in writer[range].iter_mut().enumerate() {
                let thread = Some(at * threads / length);
                found += usize::from(run == 1 && last.is_some() && *last != thread);
                *last = thread;
            }
        }
    }
    found
}

/// What a plan for threads is for. Two shares of any tensors can coincide, more cannot.
#[test]
fn threads_find_what_they_wrote() {
    let model = mobilenet::v1(224, 1, 10, false);
    let file = common::file(&model);
    let view = View::parse(&file).unwrap();
    let one = Plan::new(&view);
    let bytes: usize = model.tensors.iter().map(bytes).sum();
    for count in [2, 3, 4] {
        let plan = one.for_threads(&view, Threads::new(count));
        let [before, after] = [&one, &plan].map(|plan| moved(&model, &view, plan, count));
        println!("{count} threads: {after} of {bytes} bytes, {before} before");
        assert!(after < before, "{count} threads");
        assert!(count > 2 || after * 100 < bytes);
    }
}

/// For the sake of speed alone the arena does not outgrow what there is.
#[test]
fn a_plan_for_threads_that_has_to_fit_does() {
    let mut smaller = 0;
    for seed in 0..200 {
        let file = common::file(&generate::model(seed));
        let view = View::parse(&file).unwrap();
        let mut plan = Plan::new(&view).for_threads(&view, Threads { count: 3, part_ns: 0 });
        let fast = plan.arena_bytes();
        plan.fit(&view, fast);
        assert_eq!((plan.arena_bytes(), plan.bands()), (fast, None), "seed {seed}");
        plan.fit(&view, fast - 1);
        smaller += usize::from(plan.arena_bytes() < fast && plan.bands().is_none());
    }
    assert!(smaller > 0, "no plan grew for speed");
}

/// For a MobileNet the plan is as small as any plan can be, but for 320 bytes after a
/// tensor of more than 96 KB. The figures are here so that a change of them is seen.
#[test]
fn mobilenets_need_these_bytes() {
    for (side, divisor, binary_depthwise, smallest, gaps) in [
        (224, 1, false, 2_508_800, 2),
        (224, 1, true, 2_609_152, 3),
        (224, 2, false, 1_304_576, 2),
        (96, 4, false, 129_024, 0),
        (28, 2, false, 20_384, 0),
        (28, 2, true, 21_952, 0),
    ] {
        let expected = smallest + 320 * gaps;
        let model = mobilenet::v1(side, divisor, 10, binary_depthwise);
        let file = common::file(&model);
        let view = View::parse(&file).unwrap();
        let what = format!("side {side}, width 1/{divisor}, 1-bit depthwise {binary_depthwise}");
        assert_eq!(arena_bytes(&view), expected, "{what}");
        assert_eq!(least(&model, &view), smallest, "{what}: a smaller plan exists");
        let threads = Plan::new(&view).for_threads(&view, Threads::new(4));
        assert_eq!(threads.arena_bytes(), expected, "{what}: the same on four threads");
    }
}

/// As many tensors as the format admits, half of them alive at once: the case
/// that would show a plan that takes for ever.
#[test]
fn a_thousand_tensors_are_planned_without_a_gap() {
    let mut layers = vec![(0, None, 63)];
    layers.extend((1..=510).map(|i| (1, None, 63 - i % 63)));
    layers.extend((2..=511).map(|from| (1, Some(from), 1)));
    let model = streams(&layers);
    assert_eq!(model.tensors.len(), 1023);
    let file = common::file(&model);
    let view = View::parse(&file).unwrap();
    assert_eq!(arena_bytes(&view), least(&model, &view));
    let threads = Plan::new(&view).for_threads(&view, Threads::new(8));
    assert!(threads.arena_bytes() <= arena_bytes(&view) / 4 * 5);
}

/// Scratch of a layer that is cut: one aligned piece per part.
#[test]
fn scratch_grows_with_the_parts() {
    let model = mobilenet::v1(28, 2, 10, true);
    let file = common::file(&model);
    let view = View::parse(&file).unwrap();
    let one = Plan::new(&view);
    let bytes = |plan: &Plan, layer| plan.scratch(&view, layer).map_or(0, |range| range.len());
    // The stem: 14 rows, so 5 threads have 5 parts and 99 have 14.
    let stem = bytes(&one, 0);
    assert!(stem > 0);
    for (count, parts) in [(0, 1), (1, 1), (2, 2), (5, 5), (14, 14), (99, 14)] {
        let plan = one.for_threads(&view, Threads { count, part_ns: 0 });
        let expected = if parts == 1 { stem } else { parts * stem.next_multiple_of(ARENA_ALIGN) };
        assert_eq!(bytes(&plan, 0), expected, "{count} threads");
        assert_eq!(plan.threads().count, count);
    }
    assert_eq!(one.for_threads(&view, Threads::new(1)).arena_bytes(), one.arena_bytes());
}
