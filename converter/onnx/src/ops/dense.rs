//! Fully connected layers.

use bitat_graph::{Op, Precision, Role, Shape, Window};

use super::{Call, Value};
use crate::tensor::Array;
use crate::view::{NHWC, Side, View};

pub(super) fn gemm(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["alpha", "beta", "transA", "transB"])?;
    let x = call.view(0)?;
    if x.axes.len() != 2 || !x.axes[0].is_empty() {
        return Err(format!("its input of shape {:?} is not flat; flatten before it", x.dims()));
    }
    if attributes.int_or("transA", 0)? != 0 && x.shape.len() != 1 {
        return Err("transA on the image's side is not supported".into());
    }
    let alpha = finite("alpha", attributes.float("alpha")?.unwrap_or(1.0))?;
    let beta = finite("beta", attributes.float("beta")?.unwrap_or(1.0))?;
    let weights = call.required(1)?;
    let matrix = Matrix::of(&weights, attributes.int_or("transB", 0)? != 0, alpha)?;
    let bias = match call.constant(2)? {
        None => None,
        Some(bias) => Some(gemm_bias(&bias, matrix.out, beta)?),
    };
    let node = dense(call, &x, matrix, bias)?;
    let shape = call.importer.graph.nodes[node].shape;
    Ok(Value::Activation(View::new(node, shape, &[&[], &[Side::C]])))
}

/// `C` of Gemm, broadcast to one row.
fn gemm_bias(bias: &Array, out: usize, beta: f32) -> Result<Vec<f32>, String> {
    let data = bias.weights()?;
    let fits = match *bias.dims.as_slice() {
        [] | [1] | [1, 1] => true,
        [n] | [1, n] => n == out,
        _ => false,
    };
    if !fits {
        return Err(format!("bias '{}' {:?} does not fit {out} outputs", bias.name, bias.dims));
    }
    let scaled = data.iter().map(|b| finite("beta times the bias", beta * b));
    let scaled = scaled.collect::<Result<Vec<_>, _>>()?;
    Ok(if scaled.len() == out { scaled } else { vec![scaled[0]; out] })
}

pub(super) fn matmul(call: &mut Call) -> Result<Value, String> {
    call.attributes(&[])?;
    let x = call.view(0)?;
    let weights = call.required(1)?;
    let matrix = Matrix::of(&weights, false, 1.0)?;
    let Some((last, others)) = x.axes.split_last() else {
        return Err("its input has no axes".into());
    };
    if others.iter().all(Vec::is_empty) {
        let mut layout: Vec<&[Side]> = vec![&[]; others.len()];
        layout.push(&[Side::C]);
        let node = dense(call, &x, matrix, None)?;
        let shape = call.importer.graph.nodes[node].shape;
        return Ok(Value::Activation(View::new(node, shape, &layout)));
    }
    if !x.is(&NHWC) || last.len() > 1 || matrix.inner != x.shape.c {
        return Err(format!(
            "its input of shape {:?} is neither flat nor a channels-last image",
            x.dims()
        ));
    }
    // Every pixel by the same matrix is a 1x1 convolution.
    let (out, inner) = (matrix.out, matrix.inner);
    let weight = call.param("weight", &[out, 1, 1, inner], matrix.rows, Role::Weight)?;
    let window = Window { kernel: [1; 2], stride: [1; 2], pads: [0; 4] };
    let op = Op::Conv { weight, bias: None, window, groups: 1, precision: Precision::Float };
    let node = call.importer.push(&call.name, op, &[x.node])?;
    let shape = call.importer.graph.nodes[node].shape;
    Ok(Value::Activation(View::new(node, shape, &NHWC)))
}

fn finite(what: &str, value: f32) -> Result<f32, String> {
    if value.is_finite() { Ok(value) } else { Err(format!("{what} is {value}")) }
}

/// Weights as `[out][inner]`.
struct Matrix {
    out: usize,
    inner: usize,
    rows: Vec<f32>,
}

impl Matrix {
    /// From `[inner][out]`, or `[out][inner]` where `transposed`, times `factor`.
    fn of(array: &Array, transposed: bool, factor: f32) -> Result<Matrix, String> {
        let &[a, b] = array.dims.as_slice() else {
            return Err(format!("weights '{}' {:?} are not a matrix", array.name, array.dims));
        };
        let data = array.weights()?;
        let (out, inner) = if transposed { (a, b) } else { (b, a) };
        let mut rows = Vec::with_capacity(data.len());
        for o in 0..out {
            for i in 0..inner {
                let w = if transposed { data[o * inner + i] } else { data[i * out + o] };
                rows.push(finite("a weight times alpha", w * factor)?);
            }
        }
        Ok(Matrix { out, inner, rows })
    }
}

/// Pushes a dense node; its columns are permuted from the view's order to
/// row, column, channel.
fn dense(
    call: &mut Call,
    x: &View,
    matrix: Matrix,
    bias: Option<Vec<f32>>,
) -> Result<usize, String> {
    let Matrix { out, inner, rows } = matrix;
    if inner != x.shape.len() {
        return Err(format!("weights for {inner} inputs, but there are {}", x.shape.len()));
    }
    let columns = columns(&x.order(), x.shape);
    let mut ours = vec![0.0; rows.len()];
    for (row, our) in rows.chunks(inner).zip(ours.chunks_mut(inner)) {
        for (w, &column) in row.iter().zip(&columns) {
            our[column] = *w;
        }
    }
    let weight = call.param("weight", &[out, inner], ours, Role::Weight)?;
    let bias = match bias {
        Some(bias) => Some(call.gain("bias", bias)?),
        None => None,
    };
    let op = Op::Dense { weight, bias, precision: Precision::Float };
    call.importer.push(&call.name, op, &[x.node])
}

/// For each element in the given order of sides, its place in NHWC.
fn columns(order: &[Side], shape: Shape) -> Vec<usize> {
    let step = |side: Side| match side {
        Side::H => shape.w * shape.c,
        Side::W => shape.c,
        Side::C => 1,
    };
    let mut places = vec![0];
    for &side in order {
        let steps = 0..side.extent(shape);
        places = places
            .iter()
            .flat_map(|base| steps.clone().map(move |i| base + i * step(side)))
            .collect();
    }
    places
}
