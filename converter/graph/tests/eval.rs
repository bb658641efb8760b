//! The evaluator against numbers worked out by hand.

use bitat_graph::{
    FixedPrelu, FixedShortcut, Graph, Op, Precision, Role, Shape, Window, evaluate, evaluate_with,
};

/// One node over an input of the given shape; the node's value.
fn one(
    input: [usize; 3],
    image: &[f32],
    wanted: Option<[usize; 3]>,
    op: impl Fn(&mut Graph) -> Op,
) -> Vec<f32> {
    let shape = |[h, w, c]: [usize; 3]| Shape { h, w, c };
    let mut graph = Graph::default();
    let x = graph.push("x", Op::Input, &[], Some(shape(input))).unwrap();
    let op = op(&mut graph);
    graph.output = graph.push("y", op, &[x], wanted.map(shape)).unwrap();
    evaluate(&graph, image).pop().unwrap()
}

fn gain(graph: &mut Graph, data: &[f32]) -> usize {
    graph.param("p", &[data.len()], data.to_vec(), Role::Gain)
}

fn window(kernel: usize, stride: usize, pads: [usize; 4]) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], pads }
}

/// A 3x3 convolution of one channel with weights 1..=9.
fn conv(pads: [usize; 4], stride: usize, precision: Precision) -> Vec<f32> {
    let image: Vec<f32> = (1..=9).map(|v| v as f32).collect();
    one([3, 3, 1], &image, None, |graph| {
        let data = (1..=9).map(|v| v as f32).collect();
        let weight = graph.param("w", &[1, 3, 3, 1], data, Role::Weight);
        let bias = Some(gain(graph, &[0.5]));
        Op::Conv { weight, bias, window: window(3, stride, pads), groups: 1, precision }
    })
}

#[test]
fn convolution_pads_with_zeros_where_it_is_told() {
    assert_eq!(conv([0; 4], 1, Precision::Float), [285.5]);
    // Only below and right: rows and columns 1..3 of the image under the kernel's top left.
    assert_eq!(
        conv([0, 0, 1, 1], 2, Precision::Float),
        [285.5],
        "a stride of 2 leaves one position even with a row of padding"
    );
    assert_eq!(
        conv([0, 0, 1, 1], 1, Precision::Float),
        [
            285.5,
            0.5 + (2. + 2. * 3.) + (4. * 5. + 5. * 6.) + (7. * 8. + 8. * 9.),
            0.5 + (4. + 2. * 5. + 3. * 6.) + (4. * 7. + 5. * 8. + 6. * 9.),
            0.5 + (5. + 2. * 6.) + (4. * 8. + 5. * 9.)
        ]
    );
}

#[test]
fn groups_see_their_own_channels() {
    let out = one([1, 1, 4], &[1., 10., 100., 1000.], None, |graph| {
        let weight = graph.param("w", &[2, 1, 1, 2], vec![1., 2., 3., 4.], Role::Weight);
        let precision = Precision::Float;
        Op::Conv { weight, bias: None, window: window(1, 1, [0; 4]), groups: 2, precision }
    });
    assert_eq!(out, [21., 4300.]);
}

#[test]
fn eight_bit_weights_have_a_scale_per_output_or_per_tensor() {
    let weights = [127., 0.6, -127. * 4., 9.];
    let dense = |precision| {
        one([1, 1, 2], &[1., 1000.], None, |graph| {
            let weight = graph.param("w", &[2, 2], weights.to_vec(), Role::Weight);
            Op::Dense { weight, bias: None, precision }
        })
    };
    assert_eq!(dense(Precision::Float), [727., 8492.]);
    assert_eq!(dense(Precision::Int8), [1127., 8000. - 508.], "9 is 2.25 units of 4");
    assert_eq!(dense(Precision::Int8PerTensor), [128., 7492.], "127 is 31.75 units of 4");
}

#[test]
fn binary_weights_carry_the_mean_or_what_is_asked() {
    let mut graph = Graph::default();
    let x = graph.push("x", Op::Input, &[], Some(Shape { h: 1, w: 1, c: 4 })).unwrap();
    let weight = graph.param("w", &[1, 4], vec![1., -2., 0., 5.], Role::Latent);
    let op = Op::Dense { weight, bias: None, precision: Precision::Binary };
    graph.push("y", op, &[x], None).unwrap();
    let image = [1., 10., 100., 1000.];
    assert_eq!(evaluate(&graph, &image)[1], [2. * 1091.], "mean |w| = 2, sign(0) = +1");
    let ones = evaluate_with(&graph, &image, |node, w, per_output| {
        assert_eq!((node, per_output), (1, 4));
        w.iter().map(|w| if *w < 0. { -1. } else { 1. }).collect()
    });
    assert_eq!(ones[1], [1091.]);
}

#[test]
fn pointwise_operations() {
    let shape = [1, 1, 3];
    assert_eq!(one(shape, &[-1., 0., 2.], None, |_| Op::Relu), [0., 0., 2.]);
    let clip = |_: &mut Graph| Op::Clip { lo: -1., hi: 6. };
    assert_eq!(one(shape, &[-2., 3., 7.], None, clip), [-1., 3., 6.]);
    let prelu = |g: &mut Graph| Op::Prelu { slope: gain(g, &[0.5, 0.5, -2.]) };
    assert_eq!(one(shape, &[-2., 3., -1.], None, prelu), [-1., 3., 2.]);
    let shifted = |g: &mut Graph| Op::ShiftedPrelu {
        before: gain(g, &[1.; 3]),
        slope: gain(g, &[0.5; 3]),
        after: gain(g, &[0., 10., 20.]),
    };
    assert_eq!(one(shape, &[0., 3., 1.], None, shifted), [-0.5, 12., 20.]);
    let sign = |g: &mut Graph| Op::Sign { threshold: gain(g, &[0., 1., 1.]) };
    assert_eq!(one(shape, &[0., 0.5, 1.], None, sign), [1., -1., 1.]);
    let batch_norm = |g: &mut Graph| Op::BatchNorm {
        gamma: gain(g, &[1., 2., 3.]),
        beta: gain(g, &[0., 0., 1.]),
        mean: gain(g, &[1.; 3]),
        var: gain(g, &[3.; 3]),
        eps: 1.,
    };
    assert_eq!(one(shape, &[1., 3., 0.], None, batch_norm), [0., 2., -0.5]);
}

#[test]
fn narrow_rounds_halves_up_and_saturates() {
    let image = [0.25, -0.25, 0.75, -0.75, 63.75, 100., -64.25, -100.];
    let out = one([1, 1, 8], &image, None, |_| Op::Narrow { frac: 1 });
    assert_eq!(out, [0.5, 0., 1., -0.5, 63.5, 63.5, -64., -64.]);
    assert_eq!(one([1, 1, 1], &[5.9], None, |_| Op::Narrow { frac: -2 }), [4.]);
}

#[test]
fn shortcut_pools_clipped_at_the_border_and_matches_channels() {
    let shortcut = |pool| move |_: &mut Graph| Op::Shortcut { pool };
    let image: Vec<f32> = (1..=9).map(|v| v as f32).collect();
    assert_eq!(one([3, 3, 1], &image, Some([2, 2, 1]), shortcut(2)), [3., 4.5, 7.5, 9.]);
    assert_eq!(one([1, 1, 2], &[1., 2.], Some([1, 1, 5]), shortcut(1)), [1., 2., 1., 2., 1.]);
    assert_eq!(
        one([1, 1, 5], &[1., 2., 3., 4., 8.], Some([1, 1, 2]), shortcut(1)),
        [4., 3.],
        "channels 0, 2, 4 and 1, 3"
    );
}

#[test]
fn pools_count_padding_only_where_told() {
    let image: Vec<f32> = (1..=9).map(|v| v as f32).collect();
    let pool = |include_pad| {
        let window = window(2, 2, [1, 1, 0, 0]);
        one([3, 3, 1], &image, None, |_| Op::AveragePool { window, include_pad })
    };
    assert_eq!(pool(false), [1., 2.5, 5.5, 7.]);
    assert_eq!(pool(true), [0.25, 1.25, 2.75, 7.]);
    let global = one([2, 1, 2], &[1., 2., 3., 6.], None, |_| Op::GlobalAveragePool);
    assert_eq!(global, [2., 4.]);
}

#[test]
fn sums_read_both_inputs() {
    let mut graph = Graph::default();
    let x = graph.push("x", Op::Input, &[], Some(Shape { h: 1, w: 1, c: 2 })).unwrap();
    let y = graph.push("y", Op::Relu, &[x], None).unwrap();
    graph.push("z", Op::Add, &[x, y], None).unwrap();
    assert_eq!(evaluate(&graph, &[-1., 4.])[2], [-1., 8.]);
}

fn integers(graph: &mut Graph, data: &[f32]) -> usize {
    graph.param("p", &[data.len()], data.to_vec(), Role::Statistic)
}

#[test]
fn a_stream_is_shifted_scaled_and_bent_in_integers() {
    // Channels: −½, ½ and the largest multiplier.
    let requantise = |shift: i32, prelu: bool, acc: [f32; 3]| {
        one([1, 1, 3], &acc, None, |graph| Op::Requantise {
            shift,
            multiplier: integers(graph, &[-16384., 16384., 32767.]),
            bias: integers(graph, &[0., 10., 1.]),
            shortcut: None,
            prelu: prelu.then(|| FixedPrelu {
                before: integers(graph, &[1., 1., 32767.]),
                slope: integers(graph, &[8192., 8192., -32767.]),
                after: integers(graph, &[0., 7., 32767.]),
            }),
        })
    };
    assert_eq!(requantise(0, false, [3., 3., 40000.]), [-1., 12., 32767.], "ties go up");
    assert_eq!(requantise(-1, false, [3., -3., -70000.]), [-1., 10., -32766.], "rounded twice");
    assert_eq!(requantise(15, false, [1., -2., 2.]), [-16383., -16374., 32767.], "saturated");
    // (−1 − 1)/4 = −½ up to 0; (12 − 1) + 7; 32767 − 32767 is not negative.
    assert_eq!(requantise(0, true, [3., 3., 40000.]), [0., 18., 32767.]);
    // −32766 − 32767 saturates before the slope turns it round.
    assert_eq!(requantise(-1, true, [3., -3., -70000.])[2], 32767.);
}

#[test]
fn a_stream_takes_the_rounded_mean_of_another() {
    let mut graph = Graph::default();
    let input = Shape { h: 3, w: 2, c: 2 };
    let x = graph.push("x", Op::Input, &[], Some(input)).unwrap();
    let weight = integers(&mut graph, &[0., 0.]);
    graph.params[weight].shape = vec![1, 1, 1, 2];
    let window = window(1, 2, [0; 4]);
    let conv = Op::Conv { weight, bias: None, window, groups: 1, precision: Precision::Double };
    let acc = graph.push("acc", conv, &[x], None).unwrap();
    let (multiplier, bias) = (integers(&mut graph, &[1.]), integers(&mut graph, &[100.]));
    let shortcut = Some(FixedShortcut { pool: 2, shift: -1 });
    let op = Op::Requantise { shift: 0, multiplier, bias, shortcut, prelu: None };
    graph.output = graph.push("y", op.clone(), &[acc, x], None).unwrap();
    graph.validate().unwrap();
    // 4 pixels × 2 channels sum to −12: −1.5 up to −1, halved up to 0; the
    // clipped last row to 7/4 = 1.75, up to 2, halved to 1.
    let image = [-1., -2., -3., -4., 1., -1., 0., -2., 1., 2., 3., 1.];
    assert_eq!(evaluate(&graph, &image).pop().unwrap(), [100., 101.]);

    let error = graph.push("one input", op.clone(), &[acc], None).unwrap_err();
    assert_eq!(error.to_string(), "node 'one input': takes 2 inputs, not 1");
    graph.params[bias].data[0] = 0.5;
    let error = graph.push("half", op, &[acc, x], None).unwrap_err();
    assert!(error.to_string().contains("holds 0.5, not an integer"), "{error}");
    let op = Op::FixedAveragePool { shift: 9 };
    let error = graph.push("pool", op, &[x], None).unwrap_err();
    assert!(error.to_string().contains("shifts by 9, not by 0 to 8"), "{error}");
}

#[test]
fn a_stream_is_averaged_with_the_bits_it_is_given() {
    let pool = |shift: i32| {
        let image = [1., -1., 2., -2., 2., -2., 1., 30000.];
        one([2, 2, 2], &image, None, |_| Op::FixedAveragePool { shift })
    };
    assert_eq!(pool(0), [2., 7499.], "1.5 up, 7498.75 up");
    assert_eq!(pool(1), [3., 14998.], "−2.5 up");
    assert_eq!(pool(8)[1], 32767.);
}
