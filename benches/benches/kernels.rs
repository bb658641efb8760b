//! The kernels on MobileNet's shapes, on every instruction set of this machine.
//!
//! `cargo bench -p bitat-benches --bench kernels [-- FILTER]`. Names are
//! `<operation>/<kernel> <in>-><out> @<side> <epilogue>/<isa>`. Each kernel's
//! answer is compared with the portable one before it is timed. The rate is
//! multiply-accumulates per second; the clock, estimated at the start, turns it
//! into multiply-accumulates per cycle.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bitat_kernels::{
    Conv, Epilogue, Int8Input, Isa, Kernels, Operation, Padding, Prelu, Shape, Shortcut, Sign,
    Window, layout, scratch_bytes,
};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// What is computed, on how large an image.
#[derive(Clone, Copy)]
struct Layer {
    operation: Operation,
    kernel: usize,
    stride: usize,
    c_in: usize,
    c_out: usize,
    side: usize,
    /// Only bits leave, else a stream with shortcut and PReLU.
    bits: bool,
}

const fn layer(
    operation: Operation,
    kernel: usize,
    channels: (usize, usize),
    side: usize,
) -> Layer {
    Layer { operation, kernel, stride: 1, c_in: channels.0, c_out: channels.1, side, bits: false }
}

const LAYERS: [Layer; 20] = {
    use Operation::{BinaryConv, BinaryDepthwise, Int8Conv, Int8Depthwise};
    [
        layer(BinaryConv, 1, (32, 64), 112),
        layer(BinaryConv, 1, (64, 64), 28),
        layer(BinaryConv, 1, (128, 128), 56),
        layer(BinaryConv, 1, (256, 256), 14),
        layer(BinaryConv, 1, (512, 512), 14),
        layer(BinaryConv, 1, (1024, 1024), 7),
        Layer { bits: true, ..layer(BinaryConv, 1, (512, 512), 14) },
        layer(BinaryConv, 3, (64, 64), 56),
        layer(BinaryConv, 3, (256, 256), 14),
        layer(BinaryConv, 3, (512, 512), 7),
        Layer { bits: true, ..layer(BinaryDepthwise, 3, (512, 512), 14) },
        Layer { bits: true, ..layer(BinaryDepthwise, 3, (64, 64), 112) },
        layer(BinaryDepthwise, 3, (512, 512), 14),
        Layer { bits: true, ..layer(Int8Depthwise, 3, (64, 64), 112) },
        Layer { bits: true, ..layer(Int8Depthwise, 3, (512, 512), 14) },
        Layer { bits: true, stride: 2, ..layer(Int8Depthwise, 3, (128, 128), 56) },
        layer(Int8Depthwise, 3, (512, 512), 14),
        Layer { stride: 2, ..layer(Int8Conv, 3, (3, 32), 224) },
        layer(Int8Conv, 1, (256, 256), 14),
        layer(Int8Conv, 1, (1024, 1000), 1),
    ]
};

impl Layer {
    fn conv(&self) -> Conv {
        let out = self.side.div_ceil(self.stride);
        Conv {
            input: Shape { h: self.side, w: self.side, c: self.c_in },
            output: Shape { h: out, w: out, c: self.c_out },
            window: Window {
                kernel_h: self.kernel,
                kernel_w: self.kernel,
                stride_h: self.stride,
                stride_w: self.stride,
                pad_top: self.kernel / 2,
                pad_left: self.kernel / 2,
            },
            groups: 1,
        }
    }

    fn products(&self) -> usize {
        let conv = self.conv();
        let per_output = match self.operation {
            Operation::BinaryConv | Operation::Int8Conv => self.c_in,
            Operation::BinaryDepthwise | Operation::Int8Depthwise => 1,
        };
        let taps = self.kernel * self.kernel;
        conv.output.h * conv.output.w * self.c_out * per_output * taps
    }

    fn name(&self) -> (&'static str, String) {
        let operation = match self.operation {
            Operation::BinaryConv => "binary_conv",
            Operation::BinaryDepthwise => "binary_depthwise",
            Operation::Int8Conv => "int8_conv",
            Operation::Int8Depthwise => "int8_depthwise",
        };
        let stride = if self.stride == 2 { "s2" } else { "" };
        let epilogue = if self.bits { "bits" } else { "stream" };
        let Layer { kernel, c_in, c_out, side, .. } = self;
        (operation, format!("{kernel}x{kernel}{stride} {c_in}->{c_out} @{side} {epilogue}"))
    }
}

/// Everything a layer reads and writes.
struct Data {
    layer: Layer,
    bytes: Vec<u8>,
    weights: Vec<i8>,
    weight_bytes: Vec<u8>,
    stream: Vec<i16>,
    thresholds: Vec<i32>,
    parameters: Vec<i16>,
    shortcut: Vec<i16>,
    scratch: Vec<u8>,
    bits: Vec<u8>,
    values: Vec<i16>,
}

impl Data {
    fn new(layer: Layer) -> Data {
        let conv = layer.conv();
        // A full-period step generator is noise enough for timing.
        let mut state = 1u32;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16
        };
        let pixels = conv.input.h * conv.input.w;
        let elements = conv.output.h * conv.output.w * layer.c_out;
        let weight_bytes = match layer.operation {
            Operation::BinaryConv => {
                layout::binary_weight_bytes(layer.kernel, layer.kernel, layer.c_in, layer.c_out, 1)
            }
            Operation::BinaryDepthwise => {
                layout::binary_depthwise_weight_bytes(layer.kernel, layer.kernel, layer.c_in)
            }
            Operation::Int8Conv => {
                layout::int8_weight_bytes(layer.kernel, layer.kernel, layer.c_in, layer.c_out)
            }
            Operation::Int8Depthwise => {
                layout::int8_depthwise_weight_bytes(layer.kernel, layer.kernel, layer.c_in)
            }
        };
        let input_bytes = match layer.operation {
            Operation::Int8Conv => pixels * layer.c_in,
            _ => layout::bits_bytes(conv.input.h, conv.input.w, layer.c_in),
        };
        let bytes = (0..input_bytes).map(|_| noise() as u8).collect();
        let mut weights: Vec<i8> = (0..weight_bytes).map(|_| (noise() as i8).max(-127)).collect();
        if layer.operation == Operation::Int8Conv {
            // Past the window's last position a weight is 0: what it would multiply is
            // for the kernel to choose.
            let depth = layout::int8_depth(layer.kernel, layer.kernel, layer.c_in);
            let positions = layer.kernel * layer.kernel * layer.c_in;
            for channel in 0..layer.c_out {
                for k in positions..depth {
                    weights[layout::int8_offset(depth, layer.c_out, channel, k)] = 0;
                }
            }
        }
        Data {
            layer,
            bytes,
            weights,
            weight_bytes: (0..weight_bytes).map(|_| noise() as u8).collect(),
            stream: (0..pixels * layer.c_in).map(|_| noise() >> 5).collect(),
            thresholds: (0..layer.c_out).map(|_| i32::from(noise() >> 10)).collect(),
            parameters: (0..layer.c_out).map(|_| noise() >> 2).collect(),
            shortcut: (0..elements).map(|_| noise() >> 4).collect(),
            scratch: vec![0; scratch_bytes(layer.operation, &conv)],
            bits: vec![0; layout::bits_bytes(conv.output.h, conv.output.w, layer.c_out)],
            values: vec![0; elements],
        }
    }

    fn run(&mut self, kernels: Kernels) {
        let conv = self.layer.conv();
        let p = &self.parameters[..];
        let epilogue = if self.layer.bits {
            Epilogue::Threshold { thresholds: &self.thresholds, bits: &mut self.bits }
        } else {
            Epilogue::Stream {
                shift: if self.layer.operation == Operation::BinaryConv { 2 } else { -4 },
                multiplier: p,
                bias: p,
                shortcut: Some(Shortcut {
                    values: &self.shortcut,
                    shape: conv.output,
                    pool: 1,
                    shift: 0,
                }),
                prelu: Some(Prelu { before: p, slope: p, after: p }),
                stream: Some(&mut self.values),
                sign: None::<Sign<'_>>,
            }
        };
        let (rows, scratch) = (0..conv.output.h, &mut self.scratch[..]);
        let padding = Padding::Zero;
        match self.layer.operation {
            Operation::BinaryConv => kernels.binary_conv(
                &conv,
                padding,
                &self.bytes,
                &self.weight_bytes,
                rows,
                epilogue,
                scratch,
            ),
            Operation::BinaryDepthwise => kernels.binary_depthwise(
                &conv,
                padding,
                &self.bytes,
                &self.weight_bytes,
                rows,
                epilogue,
                scratch,
            ),
            Operation::Int8Conv => {
                let input =
                    Int8Input::Image { pixels: &self.bytes, zero: &vec![128; self.layer.c_in] };
                kernels.int8_conv(&conv, input, &self.weights, rows, epilogue, scratch)
            }
            Operation::Int8Depthwise => kernels.int8_depthwise(
                &conv,
                &self.stream,
                4,
                &self.weights,
                rows,
                epilogue,
                scratch,
            ),
        }
        .expect("a sound layer");
    }
}

/// Cycles per second, from a chain of dependent multiplications and additions:
/// 4 cycles a link on every x86-64 and AArch64 core of the last decade.
fn clock() -> f64 {
    let links = 100_000u64;
    let mut best = Duration::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        let mut x = black_box(3u64);
        let factor = black_box(5u64);
        for _ in 0..links {
            x = x.wrapping_mul(factor).wrapping_add(1);
        }
        black_box(x);
        best = best.min(start.elapsed());
    }
    4.0 * links as f64 / best.as_secs_f64()
}

fn kernels(criterion: &mut Criterion) {
    let clock = clock() / 1e9;
    println!("clock about {clock:.2} GHz: Gelem/s / {clock:.2} = multiply-accumulates per cycle");
    let portable = Kernels::new(Isa::Portable).expect("portable runs everywhere");
    for layer in LAYERS {
        let (operation, name) = layer.name();
        let mut group = criterion.benchmark_group(operation);
        group.throughput(Throughput::Elements(layer.products() as u64));
        group.sampling_mode(SamplingMode::Flat);
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(100));
        group.measurement_time(Duration::from_millis(300));
        let mut data = Data::new(layer);
        data.run(portable);
        let expected = (data.bits.clone(), data.values.clone());
        for isa in Isa::ALL {
            let Some(kernels) = Kernels::new(isa) else { continue };
            data.bits.fill(0xAA);
            data.values.fill(0x5555);
            data.run(kernels);
            if layer.bits {
                assert!(data.bits == expected.0, "{operation}/{name}/{isa}: wrong bits");
            } else {
                assert!(data.values == expected.1, "{operation}/{name}/{isa}: wrong stream");
            }
            group.bench_function(format!("{name}/{isa}"), |bencher| {
                bencher.iter(|| data.run(black_box(kernels)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
