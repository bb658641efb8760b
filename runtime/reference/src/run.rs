//! Runs a whole model, layer by layer, and keeps every tensor.

use bitat_format::model::{
    self, Epilogue, Kind, Model, Operation, Prelu, Shortcut, Sign, Tensor, TensorId,
};

use crate::ops::{self, Conv, Shape};
use crate::{Error, Trace, Values};

/// Every tensor of `model` for one image.
///
/// `image`: pixels in the order row, column, channel, as tensor 0 says.
///
/// # Errors
/// If the image has the wrong length, or if kinds, shapes, list lengths or the
/// order of the layers contradict each other.
///
/// # Panics
/// If a number is outside the range its documentation gives (a weight of a
/// binary layer that is not ±1, a multiplier of −32768, an accumulator beyond
/// 32 bits): the format's writer refuses such a model.
pub fn run(model: &Model, image: &[u8]) -> Result<Trace, Error> {
    let whole = |what| Error::Model { layer: None, what };
    let first = model.tensors.first().ok_or(whole("there is no tensor 0"))?;
    if first.kind != Kind::Image {
        return Err(whole("tensor 0 is not an image"));
    }
    if image.len() != shape(first).elements() {
        return Err(Error::Image { expected: shape(first).elements(), found: image.len() });
    }
    if model.input.zero.len() != usize::from(first.channels) {
        return Err(whole("one zero per image channel is needed"));
    }

    let mut tensors = vec![None; model.tensors.len()];
    tensors[0] = Some(Values::Image(image.to_vec()));
    let mut scores = None;
    for (index, layer) in model.layers.iter().enumerate() {
        let mut step = Step { model, tensors: &mut tensors, index, scores: &mut scores };
        step.run(layer.input, &layer.operation)?;
    }
    match scores {
        Some(scores) => Ok(Trace { tensors, scores }),
        None => Err(whole("no layer writes scores")),
    }
}

/// One layer, and the tensors written so far.
struct Step<'a> {
    model: &'a Model,
    tensors: &'a mut Vec<Option<Values>>,
    index: usize,
    scores: &'a mut Option<TensorId>,
}

impl Step<'_> {
    fn run(&mut self, input: TensorId, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::Int8Conv { window, narrow, weights, epilogue } => {
                let conv = self.conv(input, *window, 1, epilogue)?;
                let x = self.int8_input(input, *narrow)?;
                let k = conv.window.taps() * conv.input.channels;
                self.ensure(weights.len() == k * conv.output.channels, "length of the weights")?;
                self.finish(ops::int8_conv(&conv, &x, weights), conv.output, epilogue)
            }
            Operation::Int8Depthwise { window, narrow, weights, epilogue } => {
                let conv = self.depthwise(input, *window, weights.len(), epilogue)?;
                let x = ops::narrow_stream(&self.stream(input)?, *narrow);
                self.finish(ops::int8_depthwise(&conv, &x, weights), conv.output, epilogue)
            }
            Operation::BinaryConv { window, groups, padding, weights, epilogue } => {
                let conv = self.conv(input, *window, usize::from(*groups), epilogue)?;
                let x = self.bits(input)?;
                let k = conv.window.taps() * conv.in_per_group();
                self.ensure(weights.len() == k * conv.output.channels, "length of the weights")?;
                let acc = ops::binary_conv(&conv, outside(*padding), &x, weights);
                self.finish(acc, conv.output, epilogue)
            }
            Operation::BinaryDepthwise { window, padding, weights, epilogue } => {
                let conv = self.depthwise(input, *window, weights.len(), epilogue)?;
                let x = self.bits(input)?;
                let acc = ops::binary_depthwise(&conv, outside(*padding), &x, weights);
                self.finish(acc, conv.output, epilogue)
            }
            Operation::GlobalAveragePool { shift, output } => {
                let from = shape(self.tensor(input)?);
                let to = Shape { height: 1, width: 1, channels: from.channels };
                let pooled = ops::global_average_pool(&self.stream(input)?, from, *shift);
                self.store(*output, to, Values::Stream(pooled))
            }
        }
    }

    /// Accumulators to outputs.
    fn finish(&mut self, acc: Vec<i32>, to: Shape, epilogue: &Epilogue) -> Result<(), Error> {
        let channels = to.channels;
        match epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                self.ensure(thresholds.len() == channels, "length of the thresholds")?;
                self.store(*bits, to, Values::Bits(ops::threshold(&acc, thresholds)))
            }
            Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
                let lengths = [multiplier.len(), bias.len()];
                self.ensure(lengths == [channels; 2], "length of multiplier or bias")?;
                let scale = ops::Scale { shift: *shift, multiplier, bias };
                let added = shortcut.map(|s| self.shortcut(s, to)).transpose()?;
                let prelu = prelu.as_ref().map(|p| self.prelu(p, channels)).transpose()?;
                let values = ops::stream_epilogue(&acc, scale, added.as_deref(), prelu);
                if let Some(Sign { thresholds, bits }) = sign {
                    self.ensure(thresholds.len() == channels, "length of the thresholds")?;
                    self.store(*bits, to, Values::Bits(ops::sign(&values, thresholds)))?;
                }
                match stream {
                    Some(stream) => self.store(*stream, to, Values::Stream(values)),
                    None => Ok(()),
                }
            }
            Epilogue::Scores { multiplier, bias, scores } => {
                self.ensure(to.height == 1 && to.width == 1, "scores are 1×1")?;
                let lengths = [multiplier.len(), bias.len()];
                self.ensure(lengths == [channels; 2], "length of multiplier or bias")?;
                self.ensure(self.scores.is_none(), "a second layer writes scores")?;
                *self.scores = Some(*scores);
                self.store(*scores, to, Values::Scores(ops::scores(&acc, multiplier, bias)))
            }
        }
    }

    fn shortcut(&self, shortcut: Shortcut, to: Shape) -> Result<Vec<i16>, Error> {
        let from = shape(self.tensor(shortcut.tensor)?);
        let pool = usize::from(shortcut.pool);
        let covered =
            pool >= 1 && (to.height - 1) * pool < from.height && (to.width - 1) * pool < from.width;
        self.ensure(covered, "the shortcut has a pool without a pixel (S25)")?;
        Ok(ops::shortcut(&self.stream(shortcut.tensor)?, from, to, pool, shortcut.shift))
    }

    fn prelu<'p>(&self, prelu: &'p Prelu, channels: usize) -> Result<ops::Prelu<'p>, Error> {
        let Prelu { before, slope, after } = prelu;
        let lengths = [before.len(), slope.len(), after.len()];
        self.ensure(lengths == [channels; 3], "length of a list of the PReLU")?;
        Ok(ops::Prelu { before, slope, after })
    }

    fn conv(
        &self,
        input: TensorId,
        window: model::Window,
        groups: usize,
        epilogue: &Epilogue,
    ) -> Result<Conv, Error> {
        let input = shape(self.tensor(input)?);
        let output = shape(self.tensor(output_of(epilogue).ok_or(self.fault("writes nothing"))?)?);
        let divides = |c: usize| groups > 0 && c.is_multiple_of(groups);
        self.ensure(divides(input.channels) && divides(output.channels), "groups do not divide")?;
        Ok(Conv { input, output, window: window_of(window), groups })
    }

    fn depthwise(
        &self,
        input: TensorId,
        window: model::Window,
        weights: usize,
        epilogue: &Epilogue,
    ) -> Result<Conv, Error> {
        let conv = self.conv(input, window, 1, epilogue)?;
        let Conv { input, output, window, .. } = conv;
        self.ensure(input.channels == output.channels, "depthwise keeps the channels")?;
        self.ensure(weights == window.taps() * output.channels, "length of the weights")?;
        Ok(conv)
    }

    fn int8_input(&self, id: TensorId, narrow: u8) -> Result<Vec<i16>, Error> {
        match self.values(id)? {
            Values::Image(pixels) => Ok(ops::centre_pixels(pixels, &self.model.input.zero)),
            Values::Stream(values) => Ok(ops::narrow_stream(values, narrow)),
            _ => Err(self.fault("an 8-bit layer reads an image or a stream")),
        }
    }

    fn stream(&self, id: TensorId) -> Result<Vec<i16>, Error> {
        match self.values(id)? {
            Values::Stream(values) => Ok(values.clone()),
            _ => Err(self.fault("the tensor read is not a stream")),
        }
    }

    fn bits(&self, id: TensorId) -> Result<Vec<i8>, Error> {
        match self.values(id)? {
            Values::Bits(values) => Ok(values.clone()),
            _ => Err(self.fault("the tensor read is not bits")),
        }
    }

    fn values(&self, id: TensorId) -> Result<&Values, Error> {
        let written = self.tensors.get(usize::from(id)).and_then(Option::as_ref);
        written.ok_or(self.fault("a tensor is read before it is written"))
    }

    fn store(&mut self, id: TensorId, to: Shape, values: Values) -> Result<(), Error> {
        let tensor = self.tensor(id)?;
        let kind = match values {
            Values::Image(_) => Kind::Image,
            Values::Stream(_) => Kind::Stream,
            Values::Bits(_) => Kind::Bits,
            Values::Scores(_) => Kind::Scores,
        };
        self.ensure(tensor.kind == kind, "the tensor written has another kind")?;
        self.ensure(shape(tensor) == to, "the tensor written has another shape")?;
        let place = usize::from(id);
        self.ensure(self.tensors[place].is_none(), "a tensor is written twice")?;
        self.tensors[place] = Some(values);
        Ok(())
    }

    fn tensor(&self, id: TensorId) -> Result<&Tensor, Error> {
        let tensor = self.model.tensors.get(usize::from(id));
        let tensor = tensor.ok_or(self.fault("there is no such tensor"))?;
        let sides = [tensor.height, tensor.width, tensor.channels];
        self.ensure(!sides.contains(&0), "a tensor without elements")?;
        Ok(tensor)
    }

    fn ensure(&self, holds: bool, what: &'static str) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(self.fault(what)) }
    }

    fn fault(&self, what: &'static str) -> Error {
        Error::Model { layer: Some(self.index), what }
    }
}

/// The tensor that says the shape of a layer's output.
fn output_of(epilogue: &Epilogue) -> Option<TensorId> {
    match epilogue {
        Epilogue::Threshold { bits, .. } => Some(*bits),
        Epilogue::Stream { stream, sign, .. } => stream.or(sign.as_ref().map(|s| s.bits)),
        Epilogue::Scores { scores, .. } => Some(*scores),
    }
}

fn outside(padding: model::Padding) -> ops::Padding {
    match padding {
        model::Padding::Zero => ops::Padding::Zero,
        model::Padding::One => ops::Padding::One,
    }
}

fn shape(tensor: &Tensor) -> Shape {
    Shape {
        height: tensor.height.into(),
        width: tensor.width.into(),
        channels: tensor.channels.into(),
    }
}

fn window_of(window: model::Window) -> ops::Window {
    ops::Window {
        kernel_h: window.kernel_h.into(),
        kernel_w: window.kernel_w.into(),
        stride_h: window.stride_h.into(),
        stride_w: window.stride_w.into(),
        pad_top: window.pad_top.into(),
        pad_left: window.pad_left.into(),
    }
}
