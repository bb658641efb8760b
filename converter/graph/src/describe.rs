//! What a graph is, for people and for checks.

use std::collections::HashSet;

use crate::{FixedPrelu, Graph, NodeId, Op, ParamId, ShapeError};

impl Op {
    /// Short name for tables and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv { .. } => "conv",
            Op::BatchNorm { .. } => "batch_norm",
            Op::Relu => "relu",
            Op::Clip { .. } => "clip",
            Op::Prelu { .. } => "prelu",
            Op::ShiftedPrelu { .. } => "shifted_prelu",
            Op::Sign { .. } => "sign",
            Op::Narrow { .. } => "narrow",
            Op::Add => "add",
            Op::Shortcut { .. } => "shortcut",
            Op::AveragePool { .. } => "average_pool",
            Op::GlobalAveragePool => "global_average_pool",
            Op::Dense { .. } => "dense",
            Op::Requantise { .. } => "requantise",
            Op::FixedAveragePool { .. } => "fixed_average_pool",
        }
    }

    /// The parameters it names.
    pub fn params(&self) -> Vec<ParamId> {
        self.clone().params_mut().into_iter().map(|p| *p).collect()
    }

    /// The parameters it names, to be renumbered.
    pub fn params_mut(&mut self) -> Vec<&mut ParamId> {
        match self {
            Op::Conv { weight, bias, .. } | Op::Dense { weight, bias, .. } => {
                std::iter::once(weight).chain(bias).collect()
            }
            Op::BatchNorm { gamma, beta, mean, var, .. } => vec![gamma, beta, mean, var],
            Op::Prelu { slope } => vec![slope],
            Op::ShiftedPrelu { before, slope, after } => vec![before, slope, after],
            Op::Sign { threshold } => vec![threshold],
            Op::Requantise { multiplier, bias, prelu, .. } => {
                let prelu = prelu.iter_mut().flat_map(|p| {
                    let FixedPrelu { before, slope, after } = p;
                    [before, slope, after]
                });
                [multiplier, bias].into_iter().chain(prelu).collect()
            }
            Op::Input
            | Op::Relu
            | Op::Clip { .. }
            | Op::Narrow { .. }
            | Op::Add
            | Op::Shortcut { .. }
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
            | Op::FixedAveragePool { .. } => vec![],
        }
    }
}

impl Graph {
    /// Checks everything the types do not say: one input, first; inputs before
    /// their readers; ids in range; parameter extents; finite parameters; node
    /// names unique; shapes as the operations make them.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), ShapeError> {
        let mut names = HashSet::new();
        for param in &self.params {
            let count = param.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            let fault = |what: String| {
                Err(ShapeError { node: "-".into(), what: format!("'{}' {what}", param.name) })
            };
            if count != Some(param.data.len()) {
                return fault(format!("has {} values for {:?}", param.data.len(), param.shape));
            }
            if let Some(value) = param.data.iter().find(|v| !v.is_finite()) {
                return fault(format!("holds {value}"));
            }
        }
        for (id, node) in self.nodes.iter().enumerate() {
            let fault = |what: String| Err(ShapeError { node: node.name.clone(), what });
            if !names.insert(&node.name) {
                return fault("the name is taken".into());
            }
            if (id == 0) != (node.op == Op::Input) {
                return fault("the input, and only the input, comes first".into());
            }
            if let Some(input) = node.inputs.iter().find(|i| **i >= id) {
                return fault(format!("reads node {input}, which does not come before it"));
            }
            if let Some(param) = node.op.params().into_iter().find(|p| *p >= self.params.len()) {
                return fault(format!("names parameter {param} of {}", self.params.len()));
            }
            match self.infer(&node.op, &node.inputs, Some(node.shape)) {
                Err(what) => return fault(what),
                Ok(shape) if shape != node.shape => {
                    return fault(format!("is {}, not {}", shape.text(), node.shape.text()));
                }
                Ok(shape) if shape.is_empty() => return fault("is empty".into()),
                Ok(_) => {}
            }
        }
        if self.output >= self.nodes.len() {
            let what = format!("the output is node {} of {}", self.output, self.nodes.len());
            return Err(ShapeError { node: "-".into(), what });
        }
        Ok(())
    }

    /// Multiplications of weights for one image; 0 for other operations. Taps
    /// in the padding count.
    pub fn macs(&self, id: NodeId) -> u64 {
        let node = &self.nodes[id];
        match node.op {
            Op::Conv { weight, .. } => {
                let per_pixel = self.params[weight].data.len() as u64;
                per_pixel * (node.shape.h * node.shape.w) as u64
            }
            Op::Dense { weight, .. } => self.params[weight].data.len() as u64,
            _ => 0,
        }
    }

    /// A table of the nodes: operation, name, shape, what is read, parameters,
    /// multiplications.
    pub fn describe(&self) -> String {
        let width = self.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0).min(40);
        let mut text = String::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let params: usize = node.op.params().iter().map(|p| self.params[*p].data.len()).sum();
            text += &format!(
                "{id:>4}  {:<20} {:<width$}  {:>14}  {:>9}  {:>11}  {:?}\n",
                node.op.name(),
                node.name,
                node.shape.text(),
                params,
                self.macs(id),
                node.inputs,
            );
        }
        let macs: u64 = (0..self.nodes.len()).map(|id| self.macs(id)).sum();
        let params: usize = self.params.iter().map(|p| p.data.len()).sum();
        text + &format!("{params} parameters, {macs} multiplications\n")
    }
}
