//! Epilogues: made up, given to the oracle, and given to a kernel.

use std::ops::Range;

use bitat_kernels::{
    Conv, Epilogue, Misuse, Operation, Prelu, Shape, Shortcut, Sign, layout, scratch_bytes,
};
use bitat_reference::ops;

use crate::buffers::{Guarded, exact, pack_bits};
use crate::geometry::oracle_shape;
use crate::random::Random;

/// An epilogue with its parameters, each in an allocation of its own.
#[derive(Debug)]
pub(crate) enum Spec {
    Threshold { thresholds: Box<[i32]> },
    Stream(Box<StreamSpec>),
    Scores { multiplier: Box<[i16]>, bias: Box<[i32]> },
}

#[derive(Debug)]
pub(crate) struct StreamSpec {
    shift: i8,
    multiplier: Box<[i16]>,
    bias: Box<[i16]>,
    shortcut: Option<ShortcutSpec>,
    prelu: Option<[Box<[i16]>; 3]>,
    stream: bool,
    sign: Option<Box<[i16]>>,
}

#[derive(Debug)]
struct ShortcutSpec {
    values: Box<[i16]>,
    shape: Shape,
    pool: usize,
    shift: i8,
}

/// What an epilogue writes, packed; empty where it writes nothing.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Written {
    bits: Vec<u8>,
    stream: Vec<i16>,
    scores: Vec<i32>,
}

/// An epilogue for an output of this shape, with accumulators within `bound`.
pub(crate) fn spec(random: &mut Random, out: Shape, bound: i64) -> Spec {
    let extreme = random.chance(6);
    let kind = if (out.h, out.w) == (1, 1) { random.size(0, 3) } else { random.size(0, 2) };
    match kind {
        0 => {
            // Most near where the accumulators are, some at every edge.
            let near = (bound / 8).clamp(1, 1 << 20);
            let mut one = || match random.size(0, 9) {
                0 => random.pick(&[i32::MIN, i32::MAX, i32::MIN + 1, i32::MAX - 1]),
                1 => random.pick(&[-32769, -32768, -32767, 32766, 32767, 32768]),
                2 => random.pick(&[-bound, bound, bound + 1]) as i32,
                _ => random.between(-near, near) as i32,
            };
            Spec::Threshold { thresholds: (0..out.c).map(|_| one()).collect() }
        }
        3 => {
            let most = ((i64::from(i32::MAX) / bound) - 1).clamp(0, 32767);
            let multiplier: Vec<i16> = random.values(out.c, -most, most, extreme);
            let left = i64::from(i32::MAX) - bound * most;
            let bias: Vec<i32> = random.values(out.c, -left, left, extreme);
            Spec::Scores { multiplier: multiplier.into(), bias: bias.into() }
        }
        _ => Spec::Stream(Box::new(stream_spec(random, out, bound, extreme))),
    }
}

/// One that kernels have ways of their own for: a stream and a shortcut of as many channels,
/// by shifts that keep something of both, and perhaps more.
pub(crate) fn usual_spec(random: &mut Random, out: Shape, bound: i64) -> Spec {
    let mut spec = stream_spec(random, out, bound, false);
    let pool = random.size(1, 2);
    let shape = Shape { h: out.h * pool, w: out.w * pool, c: out.c };
    let values = random.values(shape.h * shape.w * shape.c, -32768, 32767, false).into();
    spec.shift = spec.shift.max(0);
    spec.shortcut = Some(ShortcutSpec { values, shape, pool, shift: random.between(-2, 2) as i8 });
    spec.stream = true;
    Spec::Stream(Box::new(spec))
}

/// One that pointwise layers have: the same with a shifted PReLU and a shortcut from the
/// same pixels.
pub(crate) fn pointwise_spec(random: &mut Random, out: Shape, bound: i64) -> Spec {
    let mut spec = stream_spec(random, out, bound, false);
    while spec.prelu.is_none() {
        spec = stream_spec(random, out, bound, false);
    }
    let values = random.values(out.h * out.w * out.c, -32768, 32767, false).into();
    spec.shift = spec.shift.max(0);
    spec.shortcut =
        Some(ShortcutSpec { values, shape: out, pool: 1, shift: random.between(-2, 2) as i8 });
    spec.stream = true;
    Spec::Stream(Box::new(spec))
}

/// One that first layers have: a stream without a shortcut, by a shift to the right, and
/// perhaps more.
pub(crate) fn first_spec(random: &mut Random, out: Shape, bound: i64) -> Spec {
    let mut spec = stream_spec(random, out, bound, false);
    (spec.shift, spec.shortcut, spec.stream) = (spec.shift.min(0), None, true);
    Spec::Stream(Box::new(spec))
}

fn stream_spec(random: &mut Random, out: Shape, bound: i64, extreme: bool) -> StreamSpec {
    // The format's limit: the accumulator times 2^shift fits 32 bits.
    let largest = (0..=15).rev().find(|s| bound << s <= i64::from(i32::MAX)).unwrap_or(0);
    // Mostly shifts that keep something of the accumulator.
    let wanted = 14 - i64::from(bound.max(1).ilog2());
    let shift = match random.size(0, 3) {
        0 => random.between(-16, largest),
        _ => random.between(wanted - 1, wanted + 2).clamp(-16, largest),
    };
    let mut sixteen =
        |low, high| random.values::<i16>(out.c, low, high, extreme).into_boxed_slice();
    let multiplier = sixteen(-32767, 32767);
    let bias = if extreme { sixteen(-32768, 32767) } else { sixteen(-3000, 3000) };
    let middle = if extreme { 32767 } else { 4000 };
    let prelu = [sixteen(-middle - 1, middle), sixteen(-32767, 32767), sixteen(-middle, middle)];
    let sign = sixteen(-middle - 1, middle);
    // Often all of it together, as in most layers: kernels have ways of their own
    // for that.
    if random.chance(3) {
        return StreamSpec {
            shift: shift as i8,
            multiplier,
            bias,
            shortcut: Some(whole_shortcut_spec(random, out, extreme)),
            prelu: Some(prelu),
            stream: true,
            sign: Some(sign),
        };
    }
    let (stream, has_sign) = random.pick(&[(true, true), (true, false), (false, true)]);
    StreamSpec {
        shift: shift as i8,
        multiplier,
        bias,
        shortcut: (!random.chance(3)).then(|| shortcut_spec(random, out, extreme)),
        prelu: (!random.chance(3)).then_some(prelu),
        stream,
        sign: has_sign.then_some(sign),
    }
}

/// A shortcut from all pixels that it has a place for; mostly of as many channels,
/// or of some that each stands for, or of those whose means it is.
fn whole_shortcut_spec(random: &mut Random, out: Shape, extreme: bool) -> ShortcutSpec {
    let pool = random.size(1, 2);
    let c = match random.size(0, 5) {
        0 => random.size(1, out.c),
        1 => out.c * random.size(2, 7),
        // Some are means of one more than others.
        2 => out.c * random.size(1, 5) + random.pick(&[out.c.div_ceil(2), 32]),
        3 => random.pick(&[out.c.div_ceil(2), 2 * out.c]),
        _ => out.c,
    };
    let shape = Shape { h: out.h * pool, w: out.w * pool, c };
    ShortcutSpec {
        values: random.values(shape.h * shape.w * shape.c, -32768, 32767, extreme).into(),
        shape,
        pool,
        shift: random.between(-3, 4) as i8,
    }
}

fn shortcut_spec(random: &mut Random, out: Shape, extreme: bool) -> ShortcutSpec {
    let pool = random.pick(&[1, 1, 1, 2, 2, 3]);
    // From one pixel for the last output to more than it reads.
    let side = |random: &mut Random, out: usize| (out - 1) * pool + random.size(1, pool + 1);
    // Fewer channels, that wrap within 16 or not; a mean over whole numbers of
    // them, and over two numbers.
    let c = match random.size(0, 7) {
        0 => out.c.div_ceil(random.size(2, 7)),
        1 => out.c * random.size(2, 9),
        2 => random.size(1, 2 * out.c + 1),
        3 => random.size(8, 17),
        4 => out.c * random.size(1, 7) + random.size(1, out.c + 1),
        _ => out.c,
    };
    let (h, w) = match random.chance(2) {
        true => (out.h * pool, out.w * pool),
        false => (side(random, out.h), side(random, out.w)),
    };
    ShortcutSpec {
        values: random.values(h * w * c, -32768, 32767, extreme).into(),
        shape: Shape { h, w, c },
        pool,
        shift: if random.chance(2) { 0 } else { random.between(-15, 15) as i8 },
    }
}

/// The oracle's answer.
pub(crate) fn expected(spec: &Spec, out: Shape, accumulators: &[i32]) -> Written {
    let mut written = Written::default();
    match spec {
        Spec::Threshold { thresholds } => {
            written.bits = pack_bits(&ops::threshold(accumulators, thresholds), out.c).into();
        }
        Spec::Scores { multiplier, bias } => {
            written.scores = ops::scores(accumulators, multiplier, bias);
        }
        Spec::Stream(spec) => {
            let scale =
                ops::Scale { shift: spec.shift, multiplier: &spec.multiplier, bias: &spec.bias };
            let shortcut = spec.shortcut.as_ref().map(|s| {
                ops::shortcut(&s.values, oracle_shape(s.shape), oracle_shape(out), s.pool, s.shift)
            });
            let prelu = spec.prelu.as_ref().map(|[before, slope, after]| ops::Prelu {
                before,
                slope,
                after,
            });
            let values = ops::stream_epilogue(accumulators, scale, shortcut.as_deref(), prelu);
            if let Some(thresholds) = &spec.sign {
                written.bits = pack_bits(&ops::sign(&values, thresholds), out.c).into();
            }
            if spec.stream {
                written.stream = values;
            }
        }
    }
    written
}

/// Hands a kernel the epilogue for some rows and gives back what it wrote.
/// `kernel` is given rows, epilogue and scratch.
pub(crate) fn written(
    spec: &Spec,
    conv: &Conv,
    operation: Operation,
    rows: Range<usize>,
    kernel: impl FnOnce(Range<usize>, Epilogue<'_>, &mut [u8]) -> Result<(), Misuse>,
) -> Written {
    let out = conv.output;
    let bytes = layout::bits_bytes(rows.len(), out.w, out.c);
    let elements = rows.len() * out.w * out.c;
    // Nothing is promised about what the buffers hold before.
    let mut bits = Guarded::new(bytes, 0xAA, 0x5A);
    let mut stream = Guarded::new(elements, 0x5555, 0x1234);
    let mut scores = Guarded::new(elements, 0x5555, 0x1234_5678);
    let mut scratch = Guarded::new(scratch_bytes(operation, conv), 0xDB, 0xC3);
    let (has_bits, has_stream, has_scores, epilogue) = match spec {
        Spec::Threshold { thresholds } => {
            (true, false, false, Epilogue::Threshold { thresholds, bits: bits.part() })
        }
        Spec::Scores { multiplier, bias } => {
            (false, false, true, Epilogue::Scores { multiplier, bias, scores: scores.part() })
        }
        Spec::Stream(spec) => {
            let epilogue = Epilogue::Stream {
                shift: spec.shift,
                multiplier: &spec.multiplier,
                bias: &spec.bias,
                shortcut: spec.shortcut.as_ref().map(|s| Shortcut {
                    values: &s.values,
                    shape: s.shape,
                    pool: s.pool,
                    shift: s.shift,
                }),
                prelu: spec.prelu.as_ref().map(|[before, slope, after]| Prelu {
                    before,
                    slope,
                    after,
                }),
                stream: spec.stream.then(|| stream.part()),
                sign: spec.sign.as_ref().map(|thresholds| Sign { thresholds, bits: bits.part() }),
            };
            (spec.sign.is_some(), spec.stream, false, epilogue)
        }
    };
    kernel(rows, epilogue, scratch.part()).expect("a sound call");
    scratch.checked("scratch");
    let bits = bits.checked("bits");
    let stream = stream.checked("stream");
    let scores = scores.checked("scores");
    Written {
        bits: if has_bits { bits } else { Vec::new() },
        stream: if has_stream { stream } else { Vec::new() },
        scores: if has_scores { scores } else { Vec::new() },
    }
}

/// Computes a case whole and in pieces, and compares both with the oracle.
pub(crate) fn check(
    name: &str,
    spec: &Spec,
    conv: &Conv,
    operation: Operation,
    expected: &Written,
    kernel: impl Fn(Range<usize>, Epilogue<'_>, &mut [u8]) -> Result<(), Misuse>,
) {
    let whole = written(spec, conv, operation, 0..conv.output.h, &kernel);
    assert!(
        whole == *expected,
        "{name}\n{conv:?}\n{}",
        difference(spec, conv.output, &whole, expected)
    );
    let mut pieces = Written::default();
    let cut = (conv.output.h / 2).max(1);
    for start in (0..conv.output.h).step_by(cut) {
        let rows = start..(start + cut).min(conv.output.h);
        let piece = written(spec, conv, operation, rows, &kernel);
        pieces.bits.extend(piece.bits);
        pieces.stream.extend(piece.stream);
        pieces.scores.extend(piece.scores);
    }
    assert!(pieces == *expected, "{name}, in pieces of {cut} rows\n{conv:?}");
    written(spec, conv, operation, 0..0, &kernel);
}

/// Where two results part, for a reader.
fn difference(spec: &Spec, out: Shape, found: &Written, expected: &Written) -> String {
    let kind = match spec {
        Spec::Threshold { .. } => "threshold".to_string(),
        Spec::Scores { .. } => "scores".to_string(),
        Spec::Stream(s) => format!(
            "stream, shift {}, prelu {}, shortcut {:?}",
            s.shift,
            s.prelu.is_some(),
            s.shortcut.as_ref().map(|s| (s.shape, s.pool, s.shift))
        ),
    };
    let first = |name: &str, position: Option<usize>, per_pixel: usize| {
        position.map(|at| {
            format!(
                "{name} differ first at {at}: pixel {}, place {}",
                at / per_pixel,
                at % per_pixel
            )
        })
    };
    let bits = found.bits.iter().zip(&expected.bits).position(|(a, b)| a != b);
    let stream = found.stream.iter().zip(&expected.stream).position(|(a, b)| a != b);
    let scores = found.scores.iter().zip(&expected.scores).position(|(a, b)| a != b);
    let places = [
        first("bits", bits, layout::pixel_bytes(out.c)),
        first("streams", stream, out.c),
        first("scores", scores, out.c),
    ];
    let values =
        stream.map(|at| format!("found {}, expected {}", found.stream[at], expected.stream[at]));
    format!("{kind}: {places:?} {values:?}")
}

/// A copy that ends where its allocation ends.
pub(crate) fn placed<T: Clone>(values: &[T]) -> Box<[T]> {
    exact(values)
}
