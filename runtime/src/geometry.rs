//! What a layer is, from the file's words into the kernels'.

#[cfg(feature = "threads")]
use bitat_format::EpilogueView;
use bitat_format::{LayerView, OperationView, Padding, Tensor, View, Window};
use bitat_kernels::{Conv, Operation, Shape};

pub(crate) fn shape(tensor: &Tensor) -> Shape {
    Shape { h: tensor.height.into(), w: tensor.width.into(), c: tensor.channels.into() }
}

pub(crate) fn padding(padding: Padding) -> bitat_kernels::Padding {
    match padding {
        Padding::Zero => bitat_kernels::Padding::Zero,
        Padding::One => bitat_kernels::Padding::One,
    }
}

fn window(window: Window) -> bitat_kernels::Window {
    bitat_kernels::Window {
        kernel_h: window.kernel_h.into(),
        kernel_w: window.kernel_w.into(),
        stride_h: window.stride_h.into(),
        stride_w: window.stride_w.into(),
        pad_top: window.pad_top.into(),
        pad_left: window.pad_left.into(),
    }
}

/// The kernel that a layer calls; `None` for the global average pool, which is
/// given no [`Conv`].
pub(crate) fn operation(operation: &OperationView<'_>) -> Option<Operation> {
    match operation {
        OperationView::Int8Conv { .. } => Some(Operation::Int8Conv),
        OperationView::Int8Depthwise { .. } => Some(Operation::Int8Depthwise),
        OperationView::BinaryConv { .. } => Some(Operation::BinaryConv),
        OperationView::BinaryDepthwise { .. } => Some(Operation::BinaryDepthwise),
        OperationView::GlobalAveragePool { .. } => None,
    }
}

/// The kernel that a layer calls and its geometry; `None` for the global
/// average pool, which has a window of its own.
pub(crate) fn convolution(view: &View<'_>, layer: &LayerView<'_>) -> Option<(Operation, Conv)> {
    let operation = operation(&layer.operation)?;
    let groups = match layer.operation {
        OperationView::BinaryConv { groups, .. } => groups.into(),
        _ => 1,
    };
    let output = layer.writes().next()?;
    let conv = Conv {
        input: shape(&view.get_tensor(layer.input)?),
        output: shape(&view.get_tensor(output)?),
        window: window(layer.operation.window()?),
        groups,
    };
    Some((operation, conv))
}

/// The shape of the stream that a layer adds, and its pool.
#[cfg(feature = "threads")]
pub(crate) fn shortcut(view: &View<'_>, layer: &LayerView<'_>) -> Option<(Shape, usize)> {
    match layer.operation.epilogue() {
        Some(EpilogueView::Stream { shortcut: Some(from), .. }) => {
            Some((shape(&view.tensor(from.tensor)), from.pool.into()))
        }
        _ => None,
    }
}
