//! How an ONNX activation lies over a node of the graph.
//!
//! The graph is NHWC throughout; ONNX is NCHW with transposes, flattenings
//! and squeezes in between. Instead of moving data, a [`View`] remembers which
//! of the node's rows, columns and channels make up each ONNX axis. Transpose
//! permutes axes, Reshape regroups them, and whoever reads weights against the
//! view (a dense layer) permutes the weights.

use bitat_graph::{NodeId, Shape};

/// A side of the graph's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    H,
    W,
    C,
}

impl Side {
    pub(crate) fn extent(self, shape: Shape) -> usize {
        match self {
            Side::H => shape.h,
            Side::W => shape.w,
            Side::C => shape.c,
        }
    }
}

use Side::{C, H, W};

/// Channels first.
pub(crate) const NCHW: [&[Side]; 4] = [&[], &[C], &[H], &[W]];
/// Channels last.
pub(crate) const NHWC: [&[Side]; 4] = [&[], &[H], &[W], &[C]];

/// An ONNX activation at batch 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    /// The node that holds the values.
    pub node: NodeId,
    /// Its shape.
    pub shape: Shape,
    /// Per ONNX axis, the sides it runs over, outermost first. Sides of extent
    /// 1, and the batch, appear nowhere.
    pub axes: Vec<Vec<Side>>,
    /// Zeros put round the image by Pad and not yet folded: top, left, bottom, right.
    pub pad: [usize; 4],
    /// A softmax was dropped; nothing may compute with the values any more.
    pub softmax: bool,
}

impl View {
    /// A node seen in the given layout.
    pub(crate) fn new(node: NodeId, shape: Shape, layout: &[&[Side]]) -> View {
        let axes = layout.iter().map(|axis| present(axis, shape)).collect();
        View { node, shape, axes, pad: [0; 4], softmax: false }
    }

    /// The same axes over another node of the same shape.
    pub(crate) fn with(&self, node: NodeId) -> View {
        View { node, ..self.clone() }
    }

    /// Whether the axes are `layout`.
    pub(crate) fn is(&self, layout: &[&[Side]]) -> bool {
        self.axes.len() == layout.len()
            && self.axes.iter().zip(layout).all(|(a, b)| *a == present(b, self.shape))
    }

    /// ONNX extents at batch 1, without pending padding.
    pub(crate) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| self.extent(axis)).collect()
    }

    fn extent(&self, axis: &[Side]) -> usize {
        axis.iter().map(|side| side.extent(self.shape)).product()
    }

    /// All sides in memory order of the ONNX tensor.
    pub(crate) fn order(&self) -> Vec<Side> {
        self.axes.concat()
    }

    /// An axis index that may count from the end.
    pub(crate) fn axis(&self, axis: i64) -> Result<usize, String> {
        let rank = self.axes.len() as i64;
        let index = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&index) {
            Ok(index as usize)
        } else {
            Err(format!("axis {axis} of a tensor with {rank} axes"))
        }
    }

    /// The same values with other extents, if no side is split or torn apart.
    pub(crate) fn reshape(&self, dims: &[usize]) -> Result<View, String> {
        let order = self.order();
        let mut sides = order.iter().copied().peekable();
        let mut axes = Vec::with_capacity(dims.len());
        let refuse =
            || format!("reshapes {:?} to {dims:?}; only flattening is supported", self.dims());
        for &dim in dims {
            let mut axis = Vec::new();
            let mut extent = 1;
            while extent < dim {
                let side = sides.next().ok_or_else(refuse)?;
                extent *= side.extent(self.shape);
                axis.push(side);
            }
            if extent != dim {
                return Err(refuse());
            }
            axes.push(axis);
        }
        if sides.next().is_some() {
            return Err(refuse());
        }
        Ok(View { axes, ..self.clone() })
    }

    /// Values per channel from a constant that is broadcast to this view.
    ///
    /// `dims` are the constant's, aligned to the right as ONNX does.
    pub(crate) fn per_channel(&self, dims: &[usize], data: &[f32]) -> Result<Vec<f32>, String> {
        let mut seen = None;
        for (i, &dim) in dims.iter().rev().enumerate() {
            if dim == 1 {
                continue;
            }
            let axis = self.axes.len().checked_sub(i + 1).map(|a| &self.axes[a]);
            if axis.is_none_or(|a| *a != [C] || self.shape.c != dim) || seen.is_some() {
                return Err(format!(
                    "a constant {dims:?} against {:?} varies along more than the channels",
                    self.dims()
                ));
            }
            seen = Some(dim);
        }
        match (data.len(), seen) {
            (1, None) => Ok(vec![data[0]; self.shape.c]),
            (n, Some(dim)) if n == dim => Ok(data.to_vec()),
            (n, _) => Err(format!("a constant {dims:?} with {n} values")),
        }
    }
}

/// The sides with more than one element.
fn present(axis: &[Side], shape: Shape) -> Vec<Side> {
    axis.iter().copied().filter(|side| side.extent(shape) != 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(h: usize, w: usize, c: usize) -> View {
        View::new(0, Shape { h, w, c }, &NCHW)
    }

    #[test]
    fn reshape_groups_sides_and_never_splits_them() {
        let x = view(2, 3, 4);
        assert_eq!(x.dims(), [1, 4, 2, 3]);
        let flat = x.reshape(&[1, 24]).unwrap();
        assert_eq!(flat.axes, [vec![], vec![C, H, W]]);
        assert!(flat.reshape(&[1, 4, 2, 3]).unwrap().is(&NCHW));
        assert_eq!(x.reshape(&[4, 6]).unwrap().axes, [vec![C], vec![H, W]]);
        assert_eq!(x.reshape(&[1, 24, 1]).unwrap().axes, [vec![], vec![C, H, W], vec![]]);
        for dims in [vec![2, 12], vec![24, 2], vec![1, 12], vec![0, 24], vec![5]] {
            let error = x.reshape(&dims).unwrap_err();
            assert!(error.contains("only flattening"), "{dims:?}: {error}");
        }
    }

    #[test]
    fn sides_of_extent_one_are_in_no_ones_way() {
        let x = view(1, 1, 8);
        assert!(x.reshape(&[1, 1, 1, 8]).unwrap().is(&NHWC));
        assert_eq!(x.reshape(&[8]).unwrap().axes, [vec![C]]);
        assert!(view(5, 1, 1).is(&[&[], &[], &[H], &[]]));
    }

    #[test]
    fn constants_vary_along_channels_only() {
        let x = view(2, 4, 4);
        let four = [1., 2., 3., 4.];
        assert_eq!(x.per_channel(&[4, 1, 1], &four).unwrap(), four);
        assert_eq!(x.per_channel(&[1, 4, 1, 1], &four).unwrap(), four);
        assert_eq!(x.per_channel(&[], &[7.]).unwrap(), [7.; 4]);
        assert_eq!(x.per_channel(&[1, 1, 1, 1, 1], &[7.]).unwrap(), [7.; 4]);
        for dims in [vec![4], vec![4, 1], vec![4, 1, 1, 1], vec![4, 1, 4], vec![3, 1, 1]] {
            assert!(x.per_channel(&dims, &four).is_err(), "{dims:?}");
        }
    }
}
