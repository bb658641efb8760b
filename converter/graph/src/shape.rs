//! Shape arithmetic.

use crate::{FixedShortcut, Graph, Op, Shape, Window};

/// Two shapes that do not fit, or a window larger than its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// The node's name.
    pub node: String,
    /// What does not fit.
    pub what: String,
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node '{}': {}", self.node, self.what)
    }
}

impl std::error::Error for ShapeError {}

/// Output rows and columns of a window over `input`: `floor((in + pads − kernel) / stride) + 1`.
///
/// None if the padded input is smaller than the kernel or a side would be 0.
pub fn conv_output(input: Shape, window: &Window) -> Option<[usize; 2]> {
    let side = |size: usize, k: usize, s: usize, before: usize, after: usize| {
        let padded = size.checked_add(before)?.checked_add(after)?;
        (k >= 1 && s >= 1 && padded >= k).then(|| (padded - k) / s + 1)
    };
    let [top, left, bottom, right] = window.pads;
    Some([
        side(input.h, window.kernel[0], window.stride[0], top, bottom)?,
        side(input.w, window.kernel[1], window.stride[1], left, right)?,
    ])
}

impl Graph {
    /// Appends a node, inferring its shape. `channels` is needed only by
    /// [`Op::Input`] (with `h`, `w`) and [`Op::Shortcut`]; pass the wanted shape there.
    ///
    /// # Errors
    /// If the inputs' shapes or a parameter's do not fit the operation.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[usize],
        wanted: Option<Shape>,
    ) -> Result<usize, ShapeError> {
        let name = name.into();
        let shape = self
            .infer(&op, inputs, wanted)
            .map_err(|what| ShapeError { node: name.clone(), what })?;
        self.nodes.push(crate::Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(self.nodes.len() - 1)
    }

    /// Appends a parameter and returns its id.
    pub fn param(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        data: Vec<f32>,
        role: crate::Role,
    ) -> usize {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "parameter shape");
        self.params.push(crate::Param { name: name.into(), shape: shape.to_vec(), data, role });
        self.params.len() - 1
    }

    pub(crate) fn infer(
        &self,
        op: &Op,
        inputs: &[usize],
        wanted: Option<Shape>,
    ) -> Result<Shape, String> {
        let arity = match op {
            Op::Input => 0,
            Op::Add | Op::Requantise { shortcut: Some(_), .. } => 2,
            _ => 1,
        };
        if inputs.len() != arity {
            return Err(format!("takes {arity} inputs, not {}", inputs.len()));
        }
        let Some(&first) = inputs.first() else {
            return wanted.ok_or_else(|| "the input needs a shape".into());
        };
        let x = self.nodes[first].shape;
        let per_channel = |p: usize| {
            let len = self.params[p].data.len();
            if len == x.c {
                Ok(x)
            } else {
                Err(format!("'{}' has {len} values for {} channels", self.params[p].name, x.c))
            }
        };
        let shift_within = |shift: i32, low: i32, high: i32| match (low..=high).contains(&shift) {
            true => Ok(()),
            false => Err(format!("shifts by {shift}, not by {low} to {high}")),
        };
        match op {
            Op::Input => unreachable!("has no inputs"),
            Op::Conv { weight, bias, window, groups, .. } => {
                let weight = &self.params[*weight];
                let &[out, kh, kw, per_group] = weight.shape.as_slice() else {
                    return Err(format!("'{}' is not [out][ky][kx][in]", weight.name));
                };
                if *groups == 0 || x.c != per_group * groups || out % groups != 0 {
                    return Err(format!(
                        "{} channels in, {out} out do not fit {groups} groups of {per_group}",
                        x.c
                    ));
                }
                if [kh, kw] != window.kernel {
                    return Err(format!("window {:?} but weights {kh}x{kw}", window.kernel));
                }
                if let Some(bias) = bias
                    && self.params[*bias].data.len() != out
                {
                    return Err(format!("bias has {} values", self.params[*bias].data.len()));
                }
                let [h, w] = conv_output(x, window)
                    .ok_or_else(|| format!("window {window:?} does not fit {}x{}", x.h, x.w))?;
                Ok(Shape { h, w, c: out })
            }
            Op::BatchNorm { gamma, beta, mean, var, .. } => {
                for p in [gamma, beta, mean, var] {
                    per_channel(*p)?;
                }
                Ok(x)
            }
            Op::Prelu { slope } => per_channel(*slope),
            Op::Sign { threshold } => per_channel(*threshold),
            Op::ShiftedPrelu { before, slope, after } => {
                per_channel(*before)?;
                per_channel(*slope)?;
                per_channel(*after)
            }
            Op::Relu | Op::Clip { .. } | Op::Narrow { .. } => Ok(x),
            Op::Add => {
                let y = self.nodes[inputs[1]].shape;
                if x == y { Ok(x) } else { Err(format!("adds {x:?} and {y:?}")) }
            }
            Op::Shortcut { pool } => {
                let wanted = wanted.ok_or("a shortcut needs a shape")?;
                if *pool == 0 || wanted.h != x.h.div_ceil(*pool) || wanted.w != x.w.div_ceil(*pool)
                {
                    return Err(format!("pool {pool} does not take {x:?} to {wanted:?}"));
                }
                Ok(wanted)
            }
            Op::AveragePool { window, .. } => {
                let [h, w] = conv_output(x, window)
                    .ok_or_else(|| format!("window {window:?} does not fit {}x{}", x.h, x.w))?;
                Ok(Shape { h, w, c: x.c })
            }
            Op::GlobalAveragePool => Ok(Shape { h: 1, w: 1, c: x.c }),
            Op::Dense { weight, bias, .. } => {
                let weight = &self.params[*weight];
                let &[out, len] = weight.shape.as_slice() else {
                    return Err(format!("'{}' is not [out][in]", weight.name));
                };
                if len != x.len() {
                    return Err(format!("takes {len} values, gets {}", x.len()));
                }
                if let Some(bias) = bias
                    && self.params[*bias].data.len() != out
                {
                    return Err(format!("bias has {} values", self.params[*bias].data.len()));
                }
                Ok(Shape { h: 1, w: 1, c: out })
            }
            Op::Requantise { shift, shortcut, .. } => {
                shift_within(*shift, -16, 15)?;
                for p in op.params() {
                    per_channel(p)?;
                    self.integers(p)?;
                }
                if let Some(FixedShortcut { pool, shift }) = *shortcut {
                    shift_within(shift, -15, 15)?;
                    let y = self.nodes[inputs[1]].shape;
                    let covers = |out: usize, size: usize| {
                        pool > 0 && out.saturating_sub(1).saturating_mul(pool) < size
                    };
                    if !covers(x.h, y.h) || !covers(x.w, y.w) {
                        return Err(format!("pool {pool} does not take {y:?} to {x:?}"));
                    }
                }
                Ok(x)
            }
            Op::FixedAveragePool { shift } => {
                shift_within(*shift, 0, 8)?;
                Ok(Shape { h: 1, w: 1, c: x.c })
            }
        }
    }
    /// Refuses a parameter that is not of integers within ±32767.
    fn integers(&self, param: usize) -> Result<(), String> {
        let param = &self.params[param];
        match param.data.iter().find(|v| v.fract() != 0.0 || v.abs() > 32767.0) {
            Some(v) => Err(format!("'{}' holds {v}, not an integer within ±32767", param.name)),
            None => Ok(()),
        }
    }
}
