//! Groups of layers that run by rows, on every instruction set, against the
//! oracle: the group that a plan chooses and any other, in any number of bands.
//!
//! `BITAT_SEED=n` runs that one model alone.

mod common;

use bitat_format::View;
use bitat_format::model::{Epilogue, Input, Kind, Layer, Model, Operation, Tensor, Window};
use bitat_kernels::{Isa, Kernels};
use bitat_runtime::{ARENA_ALIGN, ARENA_LINE, Bands, Network, Plan, Pool, Threads, aligned};

use common::case::{Case, GARBAGE, GUARD, compare};
use common::random::Random;
use common::{generate, mobilenet, mutate};

const SEEDS: u64 = 400;
/// Groups tried of each model.
const GROUPS: usize = 6;
/// Changes tried on every other model, to bring it to the limits.
const ATTEMPTS: usize = 30;

fn cases() -> Vec<Case> {
    let seeds: Vec<u64> = match std::env::var("BITAT_SEED") {
        Ok(seed) => vec![seed.parse().expect("BITAT_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut cases: Vec<Case> = seeds
        .into_iter()
        .map(|seed| {
            let mut model = generate::model(seed);
            if seed % 2 == 1 {
                mutate::mutate(&mut model, &mut Random(seed ^ 0x5EED), ATTEMPTS);
            }
            Case::new(model, seed)
        })
        .collect();
    for (side, binary_depthwise) in [(32, false), (32, true), (45, false)] {
        cases.push(Case::new(mobilenet::v1(side, 4, 10, binary_depthwise), 0));
    }
    cases
}

/// Rows that each layer writes; 0 for the pool, which is of no group.
fn heights(model: &Model) -> Vec<u16> {
    let file = common::file(model);
    let view = View::parse(&file).unwrap();
    let height = |layer: bitat_format::LayerView<'_>| match layer.operation.window() {
        Some(_) => view.tensor(layer.writes().next().unwrap()).height,
        None => 0,
    };
    view.layers().map(height).collect()
}

/// Any group of layers and number of bands that a network has.
fn group(heights: &[u16], random: &mut Random) -> Bands {
    loop {
        let first = random.index(heights.len());
        let layers = heights[first..].iter().take_while(|&&height| height > 0).count();
        if layers > 0 {
            let length = 1 + random.index(layers);
            let most = heights[first + length - 1];
            // As often many bands as few.
            let count = match random.chance(50) {
                true => random.within(1..=most.into()) as u16,
                false => most - random.index(usize::from(most.min(2))) as u16,
            };
            return Bands { first: first as u16, end: (first + length) as u16, count };
        }
    }
}

#[test]
fn every_group_gives_the_oracles_scores_on_every_isa() {
    let (mut smaller, mut groups, mut sets) = (0, 0, 0);
    let pool = Pool::new(3).unwrap();
    for case in cases() {
        let heights = heights(&case.model);
        let view = View::parse(&case.file).unwrap();
        let whole = Network::new(view, Kernels::best());
        let by_rows = whole.clone().by_rows();
        assert!(by_rows.arena_bytes() <= whole.arena_bytes(), "{}", case.model.name);
        for bytes in arenas(whole.arena_bytes(), by_rows.arena_bytes()) {
            let mut fitted = by_rows.clone();
            fitted.fit(bytes);
            let is_enough = bytes >= whole.arena_bytes();
            let expected = if is_enough { &whole } else { &by_rows };
            assert_eq!(fitted.plan(), expected.plan(), "{} in {bytes}", case.model.name);
        }
        if let Some(bands) = by_rows.plan().bands() {
            assert!(by_rows.arena_bytes() < whole.arena_bytes(), "{}", case.model.name);
            assert_eq!(whole.plan().in_bands(&view, bands).as_ref(), Some(by_rows.plan()));
            smaller += 1;
        }
        let mut random = Random(case.model.tensors.len() as u64 ^ whole.arena_bytes() as u64);
        let tried: Vec<Bands> = (0..GROUPS).map(|_| group(&heights, &mut random)).collect();
        sets = 0;
        for kernels in Isa::ALL.into_iter().filter_map(Kernels::new) {
            sets += 1;
            check(&case, Network::new(view, kernels).by_rows(), None);
            for &bands in &tried {
                let network = Network::new(view, kernels).in_bands(bands);
                let network = network.unwrap_or_else(|| panic!("{}: {bands:?}", case.model.name));
                check(&case, network, None);
                groups += 1;
            }
            if by_rows.plan().bands().is_some() {
                let threads = Threads { count: 3, part_ns: 0 };
                let network = Network::new(view, kernels).by_rows().for_threads(threads);
                assert_eq!(network.plan().bands(), by_rows.plan().bands());
                check(&case, network, Some(&pool));
            }
        }
    }
    if std::env::var("BITAT_SEED").is_err() {
        assert!(smaller >= 50, "only {smaller} networks gained");
        assert!(groups >= 2400 * sets.max(1), "only {groups} groups on {sets} kernel sets");
    }
}

/// Sizes at and beside those of both plans.
fn arenas(whole: usize, by_rows: usize) -> [usize; 8] {
    let beside = |bytes: usize| [bytes.saturating_sub(1), bytes, bytes + 1];
    let ([a, b, c], [d, e, f]) = (beside(whole), beside(by_rows));
    [0, a, b, c, d, e, f, usize::MAX]
}

fn check(case: &Case, network: Network<'_>, pool: Option<&Pool>) {
    let (bands, isa) = (network.plan().bands(), network.kernels().isa());
    let whose = format!("{} on {isa}, {bands:?} (BITAT_SEED replays it)", case.model.name);
    let needed = network.arena_bytes();
    let mut memory = vec![GARBAGE; needed + GUARD + ARENA_LINE];
    let mut scores = vec![i32::MIN; network.view().class_count() + 3];
    let (scores, beyond) = scores.split_at_mut(network.view().class_count());
    // Twice over the images in one arena: what a run leaves must not matter.
    for (image, trace) in case.runs.iter().chain(&case.runs) {
        let arena = aligned(&mut memory);
        let (mut layers, mut seen) = (0, 0);
        let observer = |step: bitat_runtime::Step<'_>| {
            assert_eq!(step.layer, layers, "{whose}: layers come in order");
            compare(&case.model, trace, step, &whose);
            layers += 1;
            seen += step.outputs.len();
        };
        let done = match pool {
            None => network.run_with(image, arena, scores, observer),
            Some(pool) => network.run_on_with(pool, image, arena, scores, observer),
        };
        done.unwrap_or_else(|e| panic!("{whose}: {e}"));
        assert_eq!(layers, case.model.layers.len(), "{whose}");
        let hidden = hidden(&case.model, bands);
        assert_eq!(seen + hidden, case.model.tensors.len() - 1, "{whose}");
        assert_eq!(scores, trace.scores(), "{whose}");
        assert_eq!(beyond, [i32::MIN; 3], "{whose}: wrote past the scores");
        assert!(
            arena[needed..].iter().all(|&byte| byte == GARBAGE),
            "{whose}: wrote past the arena"
        );
    }
}

/// Tensors that are written and read in the group alone.
fn hidden(model: &Model, bands: Option<Bands>) -> usize {
    let Some(bands) = bands else { return 0 };
    let file = common::file(model);
    let view = View::parse(&file).unwrap();
    let is_read = |id| {
        let mut readers = (0..).zip(view.layers()).filter(|(_, l)| l.reads().any(|r| r == id));
        let first = readers.next();
        first.is_some_and(|(i, _)| readers.last().map_or(i, |(i, _)| i) < bands.layers().end)
    };
    let written = bands.layers().flat_map(|i| view.layer(i).writes());
    written.filter(|&id| is_read(id)).count()
}

#[test]
fn groups_that_a_network_does_not_have_are_refused() {
    let model = mobilenet::v1(32, 4, 10, false);
    let file = common::file(&model);
    let view = View::parse(&file).unwrap();
    let plan = Plan::new(&view);
    let layers = model.layers.len() as u16;
    let is_pool = |layer: &Layer| matches!(layer.operation, Operation::GlobalAveragePool { .. });
    let pool = model.layers.iter().position(is_pool).unwrap() as u16;
    let of = |first, end, count| plan.in_bands(&view, Bands { first, end, count });
    // The stem writes 16 rows, the last layer before the pool 1.
    assert!(of(0, 1, 16).is_some() && of(0, pool, 1).is_some());
    assert!(of(pool + 1, layers, 1).is_some());
    let refused = [
        (0, 1, 17),
        (0, 1, 0),
        (0, pool, 2),
        (0, pool + 1, 1),
        (pool, pool + 1, 1),
        (pool + 1, layers + 1, 1),
        (layers, layers + 1, 1),
        (3, 3, 1),
        (4, 3, 1),
        (0, 0, 0),
        (u16::MAX, u16::MAX, u16::MAX),
    ];
    for (first, end, count) in refused {
        assert_eq!(of(first, end, count), None, "{first}..{end} in {count}");
    }
    assert_eq!(of(0, 5, 1).unwrap().bands(), Some(Bands { first: 0, end: 5, count: 1 }));
    assert_eq!(plan.bands(), None);
}

/// The stem and two depthwise layers of 3x3 windows over 8x8 pixels of one channel,
/// the second with stride 2, then the scores.
fn small() -> Model {
    let tensor = |kind, side| Tensor { kind, height: side, width: side, channels: 1, frac: 0 };
    let stream = |id| Epilogue::Stream {
        shift: 0,
        multiplier: vec![1],
        bias: vec![0],
        shortcut: None,
        prelu: None,
        stream: Some(id),
        sign: None,
    };
    let window = |kernel, stride| Window {
        kernel_h: kernel,
        kernel_w: kernel,
        stride_h: stride,
        stride_w: stride,
        pad_top: kernel / 2,
        pad_left: kernel / 2,
    };
    let depthwise = |stride, id| {
        let (window, weights, epilogue) = (window(3, stride), vec![1; 9], stream(id));
        Operation::Int8Depthwise { window, narrow: 0, weights, epilogue }
    };
    let dense = |weights, epilogue| Operation::Int8Conv {
        window: window(1, 1),
        narrow: 0,
        weights,
        epilogue,
    };
    let scores = Epilogue::Scores { multiplier: vec![1], bias: vec![0], scores: 4 };
    let layer = |input, operation| Layer { name: "layer".into(), input, operation };
    Model {
        name: "small".into(),
        input: Input { zero: vec![0], mean: vec![0.0], std: vec![1.0] },
        classes: vec![],
        tensors: vec![
            tensor(Kind::Image, 8),
            tensor(Kind::Stream, 8),
            tensor(Kind::Stream, 8),
            tensor(Kind::Stream, 4),
            tensor(Kind::Scores, 1),
        ],
        layers: vec![
            layer(0, dense(vec![1], stream(1))),
            layer(1, depthwise(1, 2)),
            layer(2, depthwise(2, 3)),
            layer(3, dense(vec![1], scores)),
        ],
        score_scale: 1.0,
    }
}

/// Worked out by hand. Row k of the second depthwise layer reads rows 2k - 1 to
/// 2k + 1 of the first, and for those the first reads 2k - 2 to 2k + 2 of the stem:
/// of which 2k - 2 was needed last for row 2k - 1, in the band before.
#[test]
fn a_group_holds_the_rows_that_it_needs() {
    let file = common::file(&small());
    let view = View::parse(&file).unwrap();
    let plan = Plan::new(&view);
    let of = |count| {
        let plan = plan.in_bands(&view, Bands { first: 0, end: 3, count }).unwrap();
        let held: Vec<bool> = (0..5).map(|id| plan.tensor(&view, id).is_none()).collect();
        assert_eq!(held, [true, true, true, false, true], "{count} bands");
        let scratch = plan.scratch(&view, 0).unwrap().len().next_multiple_of(ARENA_ALIGN);
        plan.arena_bytes() - scratch
    };
    // A row has 16 bytes, of the last 8: 4 and 3 rows and the whole of the last; all
    // rows of each where there is one band.
    assert_eq!(of(4), 4 * 16 + 3 * 16 + 4 * 8);
    assert_eq!(of(2), 5 * 16 + 5 * 16 + 4 * 8);
    assert_eq!(of(1), 8 * 16 + 8 * 16 + 4 * 8);
    // All that is gained is less than the stem's scratch, which its tensor meets alone
    // where the layers run one by one.
    assert_eq!(plan.by_rows(&view), plan);
}

/// For a MobileNet no layer needs less, nor is there a gap but after large tensors. The
/// figures are here so
/// that a change of them is seen.
#[test]
fn mobilenets_need_these_bytes_by_rows() {
    for (side, divisor, binary_depthwise, expected, bands) in [
        (224, 1, false, 828_544, (0, 9, 28)),
        (224, 1, true, 853_632, (0, 9, 28)),
        (224, 2, false, 414_592, (0, 9, 28)),
        (96, 4, false, 57_440, (0, 9, 12)),
        (28, 2, false, 13_008, (0, 5, 7)),
        (28, 2, true, 14_192, (0, 5, 7)),
    ] {
        let model = mobilenet::v1(side, divisor, 10, binary_depthwise);
        let file = common::file(&model);
        let view = View::parse(&file).unwrap();
        let what = format!("side {side}, width 1/{divisor}, 1-bit depthwise {binary_depthwise}");
        let plan = Plan::new(&view).by_rows(&view);
        let (first, end, count) = bands;
        assert_eq!(plan.arena_bytes(), expected, "{what}");
        assert_eq!(plan.bands(), Some(Bands { first, end, count }), "{what}");
    }
}
