//! Random valid models that use every operation and every option.
//!
//! Values are scaled so that streams are neither all zero nor all saturated
//! and bits are of both signs: a model whose layers say nothing tests nothing.

use bitat_format::limits;
use bitat_format::model::{
    Epilogue, Input, Kind, Layer, Model, Operation, Padding, Prelu, Shortcut, Sign, Tensor,
    TensorId, Window,
};

use super::random::Random;

/// Around bytes, words and blocks, and odd ones.
const CHANNELS: [u16; 22] =
    [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 80, 128, 130, 192];

/// Multiplications per layer, so that the oracle is done in milliseconds.
const COST: usize = 600_000;

/// The same model for the same seed.
pub(crate) fn model(seed: u64) -> Model {
    let mut random = Random(seed);
    let side = |random: &mut Random| random.within(1..=20) as u16;
    let image = Tensor {
        kind: Kind::Image,
        height: side(&mut random),
        width: side(&mut random),
        channels: random.pick(&[1, 3, 3, 4]),
        frac: 0,
    };
    let mut generator = Generator { random, tensors: vec![image], layers: vec![] };
    generator.layer(0);
    for _ in 0..generator.random.within(0..=9) {
        let from = generator.source();
        generator.layer(from);
    }
    let from = generator.source();
    generator.classifier(from);
    generator.finish(seed)
}

/// An image for a model: noise, or now and then one flat colour.
pub(crate) fn image(model: &Model, random: &mut Random) -> Vec<u8> {
    let flat = random.chance(10).then(|| random.pick(&[0, 128, 255]));
    let byte = |_| flat.unwrap_or(random.next() as u8);
    (0..model.tensors[0].elements()).map(byte).collect()
}

struct Generator {
    random: Random,
    tensors: Vec<Tensor>,
    layers: Vec<Layer>,
}

/// The arithmetic of a layer, for the bounds of the format.
struct Sum {
    /// Products per accumulator.
    k: u64,
    /// Largest product.
    product: u64,
}

impl Sum {
    fn bound(&self) -> u64 {
        self.k * self.product
    }

    /// What an accumulator of random terms is like.
    fn typical(&self) -> f64 {
        (self.k as f64).sqrt() * (self.product as f64 / 4.0).max(1.0)
    }
}

impl Generator {
    /// A tensor to go on from: usually a late one, now and then any.
    fn source(&mut self) -> TensorId {
        let count = self.tensors.len();
        let any = self.random.chance(20);
        let back = if any { count } else { count.min(2) };
        (count - 1 - self.random.index(back)) as TensorId
    }

    fn layer(&mut self, from: TensorId) {
        let input = self.tensors[usize::from(from)];
        if input.kind == Kind::Stream && self.random.chance(12) {
            let shift = self.random.within(0..=4) as u8;
            let output = self.tensor(Kind::Stream, [1, 1, input.channels]);
            let operation = Operation::GlobalAveragePool { shift, output };
            return self.push(from, operation);
        }
        let (window, height, width) = self.window(input);
        self.convolution(from, window, [height, width], false);
    }

    /// Any convolution with a 1×1 output.
    fn classifier(&mut self, from: TensorId) {
        let input = self.tensors[usize::from(from)];
        let kernel = |random: &mut Random, side: u16| {
            if random.chance(60) { side.min(9) as u8 } else { random.within(1..=4) as u8 }
        };
        let kernel_h = kernel(&mut self.random, input.height);
        let kernel_w = kernel(&mut self.random, input.width);
        let window = Window {
            kernel_h,
            kernel_w,
            stride_h: self.random.within(1..=2) as u8,
            stride_w: 1,
            pad_top: self.random.within(0..=i64::from(kernel_h) - 1) as u8,
            pad_left: self.random.within(0..=i64::from(kernel_w) - 1) as u8,
        };
        self.convolution(from, window, [1, 1], true);
    }

    fn window(&mut self, input: Tensor) -> (Window, u16, u16) {
        let kernels = [1, 1, 2, 3, 3, 3, 4, 5];
        let (kernel_h, kernel_w) = self.pair(&kernels);
        let (stride_h, stride_w) = self.pair(&[1, 1, 2, 2, 3]);
        let pad_top = self.random.within(0..=i64::from(kernel_h) - 1) as u8;
        let pad_left = self.random.within(0..=i64::from(kernel_w) - 1) as u8;
        let window = Window { kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left };
        let height = self.outputs(input.height, kernel_h, stride_h, pad_top);
        let width = self.outputs(input.width, kernel_w, stride_w, pad_left);
        (window, height, width)
    }

    /// Usually the same for rows and columns.
    fn pair(&mut self, values: &[u8]) -> (u8, u8) {
        let first = self.random.pick(values);
        (first, if self.random.chance(80) { first } else { self.random.pick(values) })
    }

    /// Windows along one side: usually all that fit between usual paddings, now
    /// and then fewer, or as many as touch the input.
    fn outputs(&mut self, side: u16, kernel: u8, stride: u8, pad: u8) -> u16 {
        let [side, kernel, stride, pad] =
            [side.into(), kernel.into(), stride.into(), pad.into()].map(|x: i64| x);
        let most = (side + pad - 1) / stride + 1;
        let after = self.random.within(0..=kernel - 1);
        let usual = (side + pad + after - kernel) / stride + 1;
        let outputs = match self.random.within(0..=9) {
            0 => most,
            1 => self.random.within(1..=most),
            _ => usual,
        };
        outputs.clamp(1, most) as u16
    }

    fn convolution(&mut self, from: TensorId, window: Window, [h, w]: [u16; 2], last: bool) {
        let input = self.tensors[usize::from(from)];
        let pixels = usize::from(h) * usize::from(w);
        let per_channel = window.taps() * usize::from(input.channels) * pixels;
        let affordable = (COST / per_channel.max(1)).max(1);

        let depthwise = input.kind != Kind::Image && self.random.chance(45);
        let groups = match input.kind {
            Kind::Bits if !depthwise && self.random.chance(50) => self.groups(input.channels),
            _ => 1,
        };
        let channels = if depthwise {
            input.channels
        } else {
            let fit = |c: &u16| usize::from(*c) <= affordable;
            let choices: Vec<u16> = CHANNELS.into_iter().filter(fit).collect();
            self.random.pick(&choices).next_multiple_of(groups)
        };
        let per_tap = if depthwise { 1 } else { input.channels / groups };
        let product = match input.kind {
            Kind::Image => 127 * 255,
            Kind::Stream => 127 * 128,
            _ => 1,
        };
        let sum = Sum { k: window.taps() as u64 * u64::from(per_tap), product };
        let weights = sum.k as usize * usize::from(channels);
        let epilogue =
            if last { self.scores(&sum, channels) } else { self.epilogue(&sum, [h, w, channels]) };

        let padding = self.random.pick(&[Padding::Zero, Padding::One]);
        let narrow = match input.kind {
            Kind::Stream => self.random.within(4..=8) as u8,
            _ => 0,
        };
        let operation = match (input.kind == Kind::Bits, depthwise) {
            (true, true) => {
                let weights = self.binary_weights(weights);
                Operation::BinaryDepthwise { window, padding, weights, epilogue }
            }
            (true, false) => {
                let weights = self.binary_weights(weights);
                Operation::BinaryConv { window, groups, padding, weights, epilogue }
            }
            (false, true) => {
                let weights = self.int8_weights(weights);
                Operation::Int8Depthwise { window, narrow, weights, epilogue }
            }
            (false, false) => {
                let weights = self.int8_weights(weights);
                Operation::Int8Conv { window, narrow, weights, epilogue }
            }
        };
        self.push(from, operation);
    }

    fn groups(&mut self, channels: u16) -> u16 {
        let divides = |g: &u16| channels.is_multiple_of(*g) && (channels / g).is_multiple_of(8);
        let choices: Vec<u16> = (2..=channels).filter(divides).collect();
        if choices.is_empty() { 1 } else { self.random.pick(&choices) }
    }

    fn epilogue(&mut self, sum: &Sum, shape: [u16; 3]) -> Epilogue {
        let channels = shape[2];
        let typical = sum.typical();
        if self.random.chance(25) {
            let typical = typical as i64 + 1;
            let thresholds = self.many(channels, |random| {
                random.spread(typical, i32::MIN.into()..=i32::MAX.into()) as i32
            });
            let bits = self.tensor(Kind::Bits, shape);
            return Epilogue::Threshold { thresholds, bits };
        }

        let ideal = (14.0 - typical.log2()).round() as i64 + self.random.within(-2..=2);
        let largest = (0..=15).rev().find(|&s| sum.bound() << s <= i32::MAX as u64).unwrap();
        let shift = ideal.clamp(-16, largest) as i8;
        let bias = self.many(channels, |random| random.spread(4000, -32768..=32767) as i16);
        let multiplier = self.many(channels, |random| {
            let size = random.spread(30000, -32767..=32767) as i16;
            if size.unsigned_abs() < 4000 && random.chance(80) { size + 8000 } else { size }
        });
        let shortcut = if self.random.chance(60) { self.shortcut(shape) } else { None };
        let prelu = self.random.chance(50).then(|| Prelu {
            before: self.many(channels, |random| random.spread(2000, -32768..=32767) as i16),
            slope: self.many(channels, |random| random.spread(20000, -32767..=32767) as i16),
            after: self.many(channels, |random| random.spread(2000, -32768..=32767) as i16),
        });
        let which = self.random.within(0..=2);
        let stream = (which != 0).then(|| self.tensor(Kind::Stream, shape));
        let sign = (which != 1).then(|| Sign {
            thresholds: self.many(channels, |random| random.spread(5000, -32768..=32767) as i16),
            bits: self.tensor(Kind::Bits, shape),
        });
        Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign }
    }

    /// Any stream and pool that cover the output.
    fn shortcut(&mut self, [h, w, c]: [u16; 3]) -> Option<Shortcut> {
        let mut choices = vec![];
        for (id, from) in (0..).zip(&self.tensors) {
            for pool in [1u8, 2, 3, 4, 7, 255] {
                let side = |length: u16| u64::from(length.min(pool.into()));
                let members = u64::from(from.channels.div_ceil(c));
                let covers = |out: u16, length: u16| {
                    (u32::from(out) - 1) * u32::from(pool) < u32::from(length)
                };
                if from.kind == Kind::Stream
                    && covers(h, from.height)
                    && covers(w, from.width)
                    && side(from.height) * side(from.width) * members <= limits::MEAN_ELEMENTS
                {
                    choices.push((id, pool));
                }
            }
        }
        if choices.is_empty() {
            return None;
        }
        let (tensor, pool) = self.random.pick(&choices);
        Some(Shortcut { tensor, pool, shift: self.random.spread(2, -15..=15) as i8 })
    }

    fn scores(&mut self, sum: &Sum, channels: u16) -> Epilogue {
        let bias = self.many(channels, |random| random.spread(10_000, -100_000..=100_000) as i32);
        let largest = ((i32::MAX as u64 - 100_000) / sum.bound()).min(32767) as i64;
        let multiplier =
            self.many(channels, |random| random.spread(largest, -largest..=largest) as i16);
        let scores = self.tensor(Kind::Scores, [1, 1, channels]);
        Epilogue::Scores { multiplier, bias, scores }
    }

    fn many<T>(&mut self, count: u16, mut one: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..count).map(|_| one(&mut self.random)).collect()
    }

    fn int8_weights(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| self.random.spread(127, -127..=127) as i8).collect()
    }

    fn binary_weights(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| self.random.pick(&[-1, 1])).collect()
    }

    fn tensor(&mut self, kind: Kind, [height, width, channels]: [u16; 3]) -> TensorId {
        self.tensors.push(Tensor { kind, height, width, channels, frac: 0 });
        (self.tensors.len() - 1) as TensorId
    }

    fn push(&mut self, input: TensorId, operation: Operation) {
        let name = format!("layer {}", self.layers.len());
        self.layers.push(Layer { name, input, operation });
    }

    fn finish(mut self, seed: u64) -> Model {
        let channels = self.tensors[0].channels;
        let zero = self.many(channels, |random| random.pick(&[0, 1, 127, 128, 200, 255]));
        let classes = self.tensors.last().expect("the scores").channels;
        Model {
            name: format!("seed {seed}"),
            input: Input {
                mean: zero.iter().map(|&z| z.into()).collect(),
                std: vec![1.0; channels.into()],
                zero,
            },
            classes: if seed.is_multiple_of(2) {
                vec![]
            } else {
                (0..classes).map(|class| format!("class {class}")).collect()
            },
            tensors: self.tensors,
            layers: self.layers,
            score_scale: 1.0,
        }
    }
}
