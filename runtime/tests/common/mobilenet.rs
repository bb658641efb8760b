//! MobileNetV1 as a packed model: real shapes, meaningless weights.

use bitat_format::model::{
    Epilogue, Input, Kind, Layer, Model, Operation, Padding, Shortcut, Sign, Tensor, TensorId,
    Window,
};

use super::random::Random;

/// Stride and output channels of the thirteen blocks at width 1.
const BLOCKS: [(u8, u16); 13] = [
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
];

struct Network {
    random: Random,
    tensors: Vec<Tensor>,
    layers: Vec<Layer>,
}

/// MobileNetV1 for square RGB images of `side` pixels, all channels divided by
/// `divisor`, with binary pointwise layers. Depthwise layers are 8-bit, as the
/// converter makes them by default, or 1-bit.
pub(crate) fn v1(side: u16, divisor: u16, classes: u16, binary_depthwise: bool) -> Model {
    let image = Tensor { kind: Kind::Image, height: side, width: side, channels: 3, frac: 0 };
    let mut net = Network { random: Random(1), tensors: vec![image], layers: vec![] };

    let mut side = side.div_ceil(2);
    let mut channels = 32 / divisor;
    let stem = net.stream([side, side, channels], None, binary_depthwise);
    let mut stream = net.tensors.len() as TensorId - 1 - TensorId::from(binary_depthwise);
    let weights = net.int8(27 * usize::from(channels));
    net.push(
        0,
        Operation::Int8Conv { window: window(3, 2, 0), narrow: 0, weights, epilogue: stem },
    );

    for (index, (stride, out)) in BLOCKS.into_iter().enumerate() {
        let (out, from) = (out / divisor, stream);
        side = side.div_ceil(stride.into());
        let window3 = window(3, stride, if stride == 1 { 1 } else { 0 });
        let bits = net.tensor(Kind::Bits, [side, side, channels]);
        let epilogue = Epilogue::Threshold { thresholds: vec![0; channels.into()], bits };
        let count = 9 * usize::from(channels);
        if binary_depthwise {
            let (weights, padding) = (net.binary(count), Padding::Zero);
            let operation =
                Operation::BinaryDepthwise { window: window3, padding, weights, epilogue };
            net.push(stream + 1, operation);
        } else {
            let weights = net.int8(count);
            let operation =
                Operation::Int8Depthwise { window: window3, narrow: 4, weights, epilogue };
            net.push(stream, operation);
        }

        let shortcut = Some(Shortcut { tensor: from, pool: stride, shift: 0 });
        let sign = binary_depthwise && index + 1 < BLOCKS.len();
        let epilogue = net.stream([side, side, out], shortcut, sign);
        stream = bits + 1;
        let weights = net.binary(usize::from(channels) * usize::from(out));
        let (window, padding) = (window(1, 1, 0), Padding::Zero);
        net.push(bits, Operation::BinaryConv { window, groups: 1, padding, weights, epilogue });
        channels = out;
    }

    let pooled = net.tensor(Kind::Stream, [1, 1, channels]);
    net.push(stream, Operation::GlobalAveragePool { shift: 2, output: pooled });
    let scores = net.tensor(Kind::Scores, [1, 1, classes]);
    let n = usize::from(classes);
    let epilogue = Epilogue::Scores { multiplier: vec![7; n], bias: vec![0; n], scores };
    let weights = net.int8(n * usize::from(channels));
    net.push(pooled, Operation::Int8Conv { window: window(1, 1, 0), narrow: 4, weights, epilogue });

    Model {
        name: "MobileNetV1".into(),
        input: Input { zero: vec![128; 3], mean: vec![128.0; 3], std: vec![64.0; 3] },
        classes: vec![],
        tensors: net.tensors,
        layers: net.layers,
        score_scale: 1.0,
    }
}

fn window(kernel: u8, stride: u8, pad: u8) -> Window {
    Window {
        kernel_h: kernel,
        kernel_w: kernel,
        stride_h: stride,
        stride_w: stride,
        pad_top: pad,
        pad_left: pad,
    }
}

impl Network {
    /// A new stream, with bits behind it if `sign`.
    fn stream(&mut self, shape: [u16; 3], shortcut: Option<Shortcut>, sign: bool) -> Epilogue {
        let channels = usize::from(shape[2]);
        let stream = Some(self.tensor(Kind::Stream, shape));
        let sign = sign
            .then(|| Sign { thresholds: vec![0; channels], bits: self.tensor(Kind::Bits, shape) });
        Epilogue::Stream {
            shift: 4,
            multiplier: vec![9000; channels],
            bias: vec![11; channels],
            shortcut,
            prelu: None,
            stream,
            sign,
        }
    }

    fn int8(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| self.random.within(-3..=3) as i8).collect()
    }

    fn binary(&mut self, count: usize) -> Vec<i8> {
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
}
