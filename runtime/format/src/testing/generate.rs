//! Valid models out of random numbers.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::limits;
use crate::model::{Epilogue, Input, Layer, Model, Operation, Prelu, Sign};
use crate::types::{Kind, Padding, Shortcut, Tensor, TensorId, Window};

/// A valid model, decided by `tape` alone.
///
/// Between them the models use every operation, epilogue and option, sizes on
/// both sides of every block, and the extreme values of every number. They are
/// small: images up to 9×9, up to ten layers. An empty or all-zero tape gives
/// the smallest model, and a shorter tape a simpler one, so a test that draws
/// tapes shrinks well.
pub fn model(tape: &[u32]) -> Model {
    let mut tape = Tape { words: tape.iter(), state: 0x2545_F491 };
    let image = Tensor {
        kind: Kind::Image,
        height: tape.pick(1..=9),
        width: tape.pick(1..=9),
        channels: tape.pick(1..=5),
        frac: 0,
    };
    let mut maker = Maker { tape, tensors: vec![image], layers: vec![] };
    for _ in 0..maker.tape.pick(0..=9) {
        maker.add_layer(false);
    }
    maker.add_layer(true);

    let Maker { mut tape, tensors, layers } = maker;
    let channels = image.channels.into();
    let scores = tensors.last().map_or(0, |scores| scores.channels);
    let classes = match tape.flag() {
        true => (0..scores).map(|_| tape.name()).collect(),
        false => vec![],
    };
    Model {
        name: tape.name(),
        input: Input {
            zero: tape.fill(channels, |v| v as u8),
            mean: tape.fill(channels, |v| match v % 9 {
                0 => 0.0,
                1 => f32::MAX,
                2 => -f32::MIN_POSITIVE,
                _ => (v >> 16) as f32 / 257.0,
            }),
            std: tape.fill(channels, |v| match v % 9 {
                0 => f32::MIN_POSITIVE,
                1 => f32::from_bits(1),
                _ => (1 + (v >> 16)) as f32 / 512.0,
            }),
        },
        classes,
        tensors,
        layers,
        score_scale: f32::from_bits(tape.pick(1..=0x7F7F_FFFF)),
    }
}

/// Choices: words of the tape, and zeros when it has ended.
struct Tape<'a> {
    words: core::slice::Iter<'a, u32>,
    state: u32,
}

impl Tape<'_> {
    fn pick<T: Copy + Into<i64> + TryFrom<i64>>(
        &mut self,
        range: core::ops::RangeInclusive<T>,
    ) -> T {
        let (low, high) = ((*range.start()).into(), (*range.end()).into());
        let word = i64::from(self.words.next().copied().unwrap_or(0));
        let value = low + word % (high - low + 1);
        value.try_into().unwrap_or(*range.start())
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let last = from.len().checked_sub(1)?;
        from.get(self.pick(0..=last as u32) as usize).copied()
    }

    fn flag(&mut self) -> bool {
        self.pick(0..=1) == 1
    }

    fn name(&mut self) -> String {
        match self.pick(0..=3) {
            0 => String::new(),
            1 => format!("größe {}", self.pick(0..=99)),
            2 => "n".repeat(self.pick(0..=limits::NAME_BYTES as u32) as usize),
            _ => format!("/features/{}/Conv", self.pick(0..=99)),
        }
    }

    /// Many values from one word.
    fn fill<T>(&mut self, count: usize, value: impl Fn(u32) -> T) -> Vec<T> {
        self.state ^= self.words.next().copied().unwrap_or(0);
        self.state |= u32::from(self.state == 0);
        let mut next = || {
            // xorshift32
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            value(self.state)
        };
        (0..count).map(|_| next()).collect()
    }

    fn binary(&mut self, count: usize) -> Vec<i8> {
        self.fill(count, |v| 1 - 2 * (v >> 16 & 1) as i8)
    }

    fn int8(&mut self, count: usize) -> Vec<i8> {
        self.fill(count, |v| ((v >> 16) as i8).max(-127))
    }

    /// Any `i16`, the extremes often.
    fn int16(&mut self, count: usize) -> Vec<i16> {
        self.fill(count, |v| match v % 16 {
            0 => i16::MIN,
            1 => i16::MAX,
            2 => 0,
            _ => (v >> 16) as i16,
        })
    }

    /// Any Q15 factor but −1.
    fn factor(&mut self, count: usize) -> Vec<i16> {
        let mut values = self.int16(count);
        values.iter_mut().for_each(|v| *v = (*v).max(-i16::MAX));
        values
    }
}

struct Maker<'a> {
    tape: Tape<'a>,
    tensors: Vec<Tensor>,
    layers: Vec<Layer>,
}

/// What a layer's weights and epilogue depend on.
struct Shape {
    input: Tensor,
    /// Channels, rows and columns written.
    output: Tensor,
    window: Window,
}

impl Maker<'_> {
    /// Ids of the tensors of some kinds.
    fn ids(&self, kinds: &[Kind]) -> Vec<TensorId> {
        let ids = (0..).zip(&self.tensors);
        ids.filter(|(_, tensor)| kinds.contains(&tensor.kind)).map(|(id, _)| id).collect()
    }

    fn add_tensor(&mut self, kind: Kind, shape: &Tensor) -> TensorId {
        let frac = match kind {
            Kind::Stream => self.tape.pick(-limits::FRAC..=limits::FRAC),
            _ => 0,
        };
        self.tensors.push(Tensor { kind, frac, ..*shape });
        (self.tensors.len() - 1) as TensorId
    }

    /// Adds a layer that the tensors so far allow.
    fn add_layer(&mut self, last: bool) {
        let pixels = self.ids(&[Kind::Image, Kind::Stream]);
        let streams = self.ids(&[Kind::Stream]);
        let bits = self.ids(&[Kind::Bits]);
        let name = self.tape.name();
        let op = self.tape.pick(0..=if last { 3 } else { 4 });
        let (input, operation) = match op {
            1 if !streams.is_empty() => self.int8_depthwise(&streams, last),
            2 if !bits.is_empty() => self.binary_conv(&bits, last),
            3 if !bits.is_empty() => self.binary_depthwise(&bits, last),
            4 if !streams.is_empty() => self.pool(&streams),
            _ => self.int8_conv(&pixels, last),
        };
        self.layers.push(Layer { name, input, operation });
    }

    fn input(&mut self, from: &[TensorId]) -> (TensorId, Tensor) {
        let id = self.tape.choose(from).unwrap_or(0);
        (id, self.tensors[usize::from(id)])
    }

    fn int8_conv(&mut self, from: &[TensorId], last: bool) -> (TensorId, Operation) {
        let (id, input) = self.input(from);
        let shape = self.shape(input, None, last);
        let k = shape.window.taps() * usize::from(input.channels);
        let narrow = self.narrow(&input);
        let weights = self.tape.int8(k * usize::from(shape.output.channels));
        let epilogue = self.epilogue(&shape, k, last);
        let operation = Operation::Int8Conv { window: shape.window, narrow, weights, epilogue };
        (id, operation)
    }

    fn int8_depthwise(&mut self, from: &[TensorId], last: bool) -> (TensorId, Operation) {
        let (id, input) = self.input(from);
        let shape = self.shape(input, Some(input.channels), last);
        let taps = shape.window.taps();
        let narrow = self.narrow(&input);
        let weights = self.tape.int8(taps * usize::from(input.channels));
        let epilogue = self.epilogue(&shape, taps, last);
        let operation =
            Operation::Int8Depthwise { window: shape.window, narrow, weights, epilogue };
        (id, operation)
    }

    fn binary_conv(&mut self, from: &[TensorId], last: bool) -> (TensorId, Operation) {
        let (id, input) = self.input(from);
        let divides = |groups: &u16| input.channels.is_multiple_of(8 * groups);
        let groups: Vec<u16> = [1].into_iter().chain((2..=9).filter(divides)).collect();
        let groups = self.tape.choose(&groups).unwrap_or(1);
        let channels = groups * self.tape.pick(1..=70 / groups);
        let shape = self.shape(input, (groups > 1).then_some(channels), last);
        let k = shape.window.taps() * usize::from(input.channels / groups);
        let padding = self.padding();
        let weights = self.tape.binary(k * usize::from(shape.output.channels));
        let epilogue = self.epilogue(&shape, k, last);
        let operation =
            Operation::BinaryConv { window: shape.window, groups, padding, weights, epilogue };
        (id, operation)
    }

    fn binary_depthwise(&mut self, from: &[TensorId], last: bool) -> (TensorId, Operation) {
        let (id, input) = self.input(from);
        let shape = self.shape(input, Some(input.channels), last);
        let taps = shape.window.taps();
        let padding = self.padding();
        let weights = self.tape.binary(taps * usize::from(input.channels));
        let epilogue = self.epilogue(&shape, taps, last);
        let operation =
            Operation::BinaryDepthwise { window: shape.window, padding, weights, epilogue };
        (id, operation)
    }

    fn pool(&mut self, from: &[TensorId]) -> (TensorId, Operation) {
        let (id, input) = self.input(from);
        let one = Tensor { height: 1, width: 1, ..input };
        let shift = self.tape.pick(0..=limits::POOL_SHIFT);
        let output = self.add_tensor(Kind::Stream, &one);
        (id, Operation::GlobalAveragePool { shift, output })
    }

    fn narrow(&mut self, input: &Tensor) -> u8 {
        match input.kind {
            Kind::Stream => self.tape.pick(0..=limits::NARROW),
            _ => 0,
        }
    }

    fn padding(&mut self) -> Padding {
        match self.tape.flag() {
            true => Padding::One,
            false => Padding::Zero,
        }
    }

    /// A window over `input` and what it leaves.
    fn shape(&mut self, input: Tensor, channels: Option<u16>, last: bool) -> Shape {
        let tape = &mut self.tape;
        let channels = channels.unwrap_or_else(|| match tape.flag() {
            true => tape.choose(&[15, 16, 17, 24, 32, 63, 64, 65, 72]).unwrap_or(1),
            false => tape.pick(1..=10),
        });
        let dense = tape.pick(0..=7) == 7;
        let mut side = |input: u16| {
            if dense {
                return (input as u8, tape.pick(1..=2), 0, 1);
            }
            let kernel = tape.pick(1..=4u8);
            let stride = tape.pick(1..=3u8);
            let pad = tape.pick(0..=kernel - 1);
            let most = (input + u16::from(pad) - 1) / u16::from(stride) + 1;
            let output = match last {
                true => 1,
                false => most - tape.pick(0..=(most - 1).min(2)),
            };
            (kernel, stride, pad, output)
        };
        let (kernel_h, stride_h, pad_top, height) = side(input.height);
        let (kernel_w, stride_w, pad_left, width) = side(input.width);
        Shape {
            input,
            output: Tensor { height, width, channels, ..input },
            window: Window { kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left },
        }
    }

    /// An epilogue that the bounds allow, `k` products per accumulator.
    fn epilogue(&mut self, shape: &Shape, k: usize, last: bool) -> Epilogue {
        let channels = usize::from(shape.output.channels);
        let product = match shape.input.kind {
            Kind::Image => limits::IMAGE_PRODUCT,
            Kind::Stream => limits::STREAM_PRODUCT,
            _ => 1,
        };
        let acc = k as i64 * product as i64;
        if last {
            return self.scores(&shape.output, acc);
        }
        if self.tape.pick(0..=2) == 2 {
            let thresholds = self.tape.fill(channels, |v| match v % 8 {
                0 => i32::MIN,
                1 => i32::MAX,
                _ => (v >> 16) as i32 - 0x8000,
            });
            let bits = self.add_tensor(Kind::Bits, &shape.output);
            return Epilogue::Threshold { thresholds, bits };
        }
        // The shortcut is chosen before the outputs exist.
        let shortcut = self.shortcut(&shape.output);
        let most = (i32::MAX as i64 / acc).ilog2().min(limits::SHIFT_MAX as u32);
        let shift = self.tape.pick(limits::SHIFT_MIN..=most as i8);
        let prelu = self.tape.flag().then(|| Prelu {
            before: self.tape.int16(channels),
            slope: self.tape.factor(channels),
            after: self.tape.int16(channels),
        });
        let [has_stream, has_sign, bits_first] = match self.tape.pick(0..=3) {
            0 => [true, true, false],
            1 => [true, true, true],
            2 => [true, false, false],
            _ => [false, true, false],
        };
        let early = bits_first.then(|| self.add_tensor(Kind::Bits, &shape.output));
        let stream = has_stream.then(|| self.add_tensor(Kind::Stream, &shape.output));
        let sign = has_sign.then(|| Sign {
            thresholds: self.tape.int16(channels),
            bits: early.unwrap_or_else(|| self.add_tensor(Kind::Bits, &shape.output)),
        });
        Epilogue::Stream {
            shift,
            multiplier: self.tape.factor(channels),
            bias: self.tape.int16(channels),
            shortcut,
            prelu,
            stream,
            sign,
        }
    }

    fn scores(&mut self, output: &Tensor, acc: i64) -> Epilogue {
        let channels = usize::from(output.channels);
        let most = (i32::MAX as i64 / acc).min(i16::MAX.into());
        let multiplier: Vec<i16> = self.tape.factor(channels);
        let multiplier = multiplier.iter().map(|&m| match most {
            0x7FFF => m,
            most => (i64::from(m) % (most + 1)) as i16,
        });
        let multiplier: Vec<i16> = multiplier.collect();
        let wanted: Vec<i32> = self.tape.fill(channels, |v| v as i32);
        let bias = |(&m, &bias): (&i16, &i32)| {
            let left = i64::from(i32::MAX) - acc * i64::from(m).abs();
            i64::from(bias).clamp(-left, left) as i32
        };
        Epilogue::Scores {
            bias: multiplier.iter().zip(&wanted).map(bias).collect(),
            multiplier,
            scores: self.add_tensor(Kind::Scores, output),
        }
    }

    /// A shortcut from some earlier stream, if one is large enough.
    fn shortcut(&mut self, output: &Tensor) -> Option<Shortcut> {
        let streams = self.ids(&[Kind::Stream]);
        let wanted = self.tape.flag();
        let tensor = self.tape.choose(&streams).filter(|_| wanted)?;
        let from = self.tensors[usize::from(tensor)];
        let most = |input: u16, output: u16| match output {
            1 => 9,
            _ => ((input - 1) / (output - 1)).min(9),
        };
        let pool = most(from.height, output.height).min(most(from.width, output.width));
        (pool >= 1).then(|| Shortcut {
            tensor,
            pool: self.tape.pick(1..=pool as u8),
            shift: self.tape.pick(-limits::SHORTCUT_SHIFT..=limits::SHORTCUT_SHIFT),
        })
    }
}
