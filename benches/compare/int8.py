#!/usr/bin/env python3
"""The 1-bit runtime against engines for int8 and float networks: ONNX Runtime, which
has the fastest int8 kernels there are for a CPU, LiteRT (formerly TensorFlow Lite, with
XNNPACK), and ncnn in float32, since its packages quantize nothing.

    python3 benches/compare/int8.py [--network mobilenet-v1-1.0-224 …]
                                    [--rounds 7] [--runs 20] [--isa avx2|avx2+vnni]

One command does all: it makes an environment of its own under target/compare with the
engines and TensorFlow, which converts for LiteRT, from PyPI, builds `bitat`, writes the
same MobileNet with the same random weights for each, quantizes it to int8 (static, per
channel, with each engine's own tool), and times whole images in turn, one image a
batch, one thread. Prints the median of the rounds and, in brackets, the least, which
says more where other work comes and goes; and of either what the fastest int8 engine
takes as a multiple of what we take. That ours gives the same integers on every
instruction set is the kernels' conformance suite's business; here float scores must
agree between engines within a thousandth of their range, and int8 ones within a tenth.

What an engine may use of the processor is its own choice. With `--isa avx2` none of
them sees more than AVX2, FMA and F16C, with `--isa avx2+vnni` AVX-VNNI and GFNI beside
them (`seen_isa.c`, made with `cc`; Linux, on a processor whose `cpuid` can be made to
fault: Intel's).
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target/compare"
PACKAGES = ["numpy", "onnx", "onnxruntime", "ai-edge-litert", "ncnn", "tensorflow"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import ncnn
    import numpy as np
    import onnx
    import onnxruntime as ort
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                          quantize_static)
    from onnxruntime.quantization.shape_inference import quant_pre_process
except ImportError:
    python = SCRATCH / "venv/bin/python"
    if pathlib.Path(sys.executable) == python:
        raise
    if not python.exists():
        venv.create(SCRATCH / "venv", with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    os.execv(python, [str(python), *sys.argv])

V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
V1 += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
# Expansion, channels, repeats, first stride.
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)]
V2 += [(6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def mobilenet(name, net):
    """Builds the MobileNet called `name` with what `net` has for its layers."""
    _, version, width, side = name.split("-")

    def channels(c):
        """The published networks' rounding to multiples of 8."""
        exact = c * float(width)
        rounded = max(8, int(exact + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * exact else rounded

    x, c = net.image(int(side)), channels(32)
    x = net.conv(x, 3, c, 3, 2, 1, True)
    if version == "v1":
        for out, stride in V1:
            x = net.conv(x, c, c, 3, stride, c, True)
            x = net.conv(x, c, channels(out), 1, 1, 1, True)
            c = channels(out)
    else:
        for expansion, out, repeats, first in V2:
            for i in range(repeats):
                source, before = x, c
                if expansion > 1:
                    x, c = net.conv(x, c, c * expansion, 1, 1, 1, True), c * expansion
                x = net.conv(x, c, c, 3, 1 if i else first, c, True)
                x, c = net.conv(x, c, channels(out), 1, 1, 1, False), channels(out)
                if i and before == c:
                    x = net.add(x, source)
        last = max(1280, channels(1280))
        x, c = net.conv(x, c, last, 1, 1, 1, True), last
    return net.classify(x, c)


class Weights:
    """Random ones of the usual size, the same for every engine."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def draw(self, shape, fan_in):
        return self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)

    def conv(self, c_in, c_out, kernel, groups):
        """Weights `[out][in / groups][row][column]` and biases near 0."""
        shape = (c_out, c_in // groups, kernel, kernel)
        return self.draw(shape, shape[1] * kernel * kernel), self.draw((c_out,), 1e6)

    def dense(self, c):
        return self.draw((1000, c), c), self.draw((1000,), 1)


class Onnx:
    """A float MobileNet with batch norm folded, as ONNX."""

    def __init__(self, name):
        self.drawn, self.nodes, self.weights = Weights(), [], []
        mobilenet(name, self)
        value = helper.make_tensor_value_info
        graph = helper.make_graph(self.nodes, name, [value("x", TensorProto.FLOAT, self.shape)],
                                  [value("y", TensorProto.FLOAT, [1, 1000])], self.weights)
        opset = [helper.make_opsetid("", 13)]
        self.model = helper.make_model(graph, opset_imports=opset)
        self.model.ir_version = 8

    def image(self, side):
        self.shape = [1, 3, side, side]
        return "x"

    def conv(self, x, c_in, c_out, kernel, stride, groups, activation):
        weight, bias = map(self.weight, self.drawn.conv(c_in, c_out, kernel, groups))
        pad = kernel // 2
        x = self.node("Conv", [x, weight, bias], strides=[stride] * 2, pads=[pad] * 4,
                      group=groups, kernel_shape=[kernel] * 2)
        if activation:
            low, high = (self.constant(v) for v in (0.0, 6.0))
            x = self.node("Clip", [x, low, high])
        return x

    def add(self, x, y):
        return self.node("Add", [x, y])

    def classify(self, x, c):
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        weight, bias = map(self.weight, self.drawn.dense(c))
        return self.node("Gemm", [x, weight, bias], "y", transB=1)

    def weight(self, values):
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def node(self, op, inputs, output=None, **attributes):
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, value):
        name = f"c{value}"
        if all(w.name != name for w in self.weights):
            self.weights.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name


class Keras:
    """The same as a Keras model."""

    def __init__(self, name):
        self.drawn, self.layers = Weights(), tf.keras.layers
        scores = mobilenet(name, self)
        self.model = tf.keras.Model(self.input, scores)

    def image(self, side):
        self.input = self.layers.Input((side, side, 3), batch_size=1)
        return self.input

    def conv(self, x, c_in, c_out, kernel, stride, groups, activation):
        weight, bias = self.drawn.conv(c_in, c_out, kernel, groups)
        if groups == 1:
            layer = self.layers.Conv2D(c_out, kernel, stride, "valid")
            weight = weight.transpose(2, 3, 1, 0)
        else:
            layer = self.layers.DepthwiseConv2D(kernel, stride, "valid")
            weight = weight.transpose(2, 3, 0, 1)
        pad = kernel // 2
        # Where it can say so itself, a convolution needs no padding of its own.
        if pad and stride == 1:
            layer.padding = "same"
        elif pad:
            x = self.layers.ZeroPadding2D(pad)(x)
        x = layer(x)
        layer.set_weights([weight, bias])
        return self.layers.ReLU(6.0)(x) if activation else x

    def add(self, x, y):
        return self.layers.Add()([x, y])

    def classify(self, x, c):
        layer = self.layers.Dense(1000)
        x = layer(self.layers.GlobalAveragePooling2D()(x))
        weight, bias = self.drawn.dense(c)
        layer.set_weights([weight.T, bias])
        return x


class Ncnn:
    """The same in ncnn's own two files: layers as text, weights as bytes."""

    def __init__(self, name, folder):
        self.drawn, self.layers, self.bytes = Weights(), [], b""
        mobilenet(name, self)
        files = [folder / f"{name}.param", folder / f"{name}.bin"]
        files[0].write_text(self.text())
        files[1].write_bytes(self.bytes)
        self.net = ncnn.Net()
        self.net.opt.num_threads = 1
        if self.net.load_param(str(files[0])) or self.net.load_model(str(files[1])):
            sys.exit(f"{name}: ncnn refuses the network")

    def image(self, side):
        return self.layer("Input", [], f"0={side} 1={side} 2=3")

    def conv(self, x, c_in, c_out, kernel, stride, groups, activation):
        weight, bias = self.drawn.conv(c_in, c_out, kernel, groups)
        self.keep(weight, bias)
        kind = "Convolution" if groups == 1 else "ConvolutionDepthWise"
        numbers = f"0={c_out} 1={kernel} 3={stride} 4={kernel // 2} 5=1 6={weight.size}"
        numbers += "" if groups == 1 else f" 7={groups}"
        return self.layer(kind, [x], numbers + (" 9=3 -23310=2,0.0,6.0" if activation else ""))

    def add(self, x, y):
        return self.layer("BinaryOp", [x, y], "0=0")

    def classify(self, x, c):
        weight, bias = self.drawn.dense(c)
        self.keep(weight, bias)
        x = self.layer("Pooling", [x], "0=1 4=1")
        return self.layer("InnerProduct", [x], f"0=1000 1=1 2={weight.size}")

    def keep(self, weight, bias):
        # Before weights stand four bytes that say they are float32.
        self.bytes += bytes(4) + weight.tobytes() + bias.tobytes()

    def layer(self, kind, inputs, numbers):
        self.layers.append((kind, inputs, f"b{len(self.layers)}", numbers))
        return self.layers[-1][2]

    def text(self):
        """Every value is read once: those read twice are split first."""
        reads = [x for _, inputs, _, _ in self.layers for x in inputs]
        left = {x: [f"{x}_{i}" for i in range(n)] for x in reads if (n := reads.count(x)) > 1}
        split = {x: list(copies) for x, copies in left.items()}
        lines, blobs = [], 0
        for kind, inputs, output, numbers in self.layers:
            inputs = [left[x].pop(0) if x in left else x for x in inputs]
            blobs += 1
            lines.append(" ".join([kind, output, str(len(inputs)), "1", *inputs, output, numbers]))
            if output in split:
                copies = split[output]
                blobs += len(copies)
                lines.append(f"Split s{output} 1 {len(copies)} {output} " + " ".join(copies))
        return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines]) + "\n"

    def run(self, image):
        extractor = self.net.create_extractor()
        extractor.input("b0", ncnn.Mat(image[0]))
        return np.array(extractor.extract(self.layers[-1][2])[1])


class Images(CalibrationDataReader):
    """A few noise images."""

    def __init__(self, shape):
        random = np.random.default_rng(1)
        images = (random.normal(0, 1, shape).astype(np.float32) for _ in range(4))
        self.images = ({"x": image} for image in images)

    def get_next(self):
        return next(self.images, None)


def onnx_runtime(name, folder):
    """The float and the int8 network."""
    made = Onnx(name)
    files = [str(folder / f"{name}.{kind}.onnx") for kind in ("float", "ready", "int8")]
    onnx.save(made.model, files[0])
    quant_pre_process(files[0], files[1], skip_symbolic_shape=True)
    quantize_static(files[1], files[2], Images(made.shape), quant_format=QuantFormat.QDQ,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    per_channel=True)

    def runner(file):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda image: session.run(None, {"x": image})[0][0]

    return runner(files[0]), runner(files[2])


def litert(name):
    """The float and the int8 network, on XNNPACK as LiteRT does by itself."""
    model = Keras(name).model

    def images():
        shape = (1, 3, *model.input_shape[1:3])
        for image in iter(Images(shape).get_next, None):
            yield [image["x"].transpose(0, 2, 3, 1)]

    def runner(eight):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if eight:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = images
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        # It tells of every variable on its way.
        with contextlib.redirect_stdout(io.StringIO()):
            converted = converter.convert()
        interpreter = Interpreter(model_content=converted, num_threads=1)
        interpreter.allocate_tensors()
        image_at = interpreter.get_input_details()[0]["index"]
        scores_at = interpreter.get_output_details()[0]["index"]

        def run(image):
            interpreter.set_tensor(image_at, image)
            interpreter.invoke()
            return interpreter.get_tensor(scores_at)[0]

        return run

    return runner(False), runner(True)


class Engine:
    """A network on one engine: `run` takes an image as `image` has it."""

    def __init__(self, run, image):
        self.run, self.image = run, image

    def scores(self):
        return self.run(self.image)

    def time(self, runs):
        """Median milliseconds of some images, after a tenth of them to warm up."""
        for _ in range(runs // 10 + 1):
            self.run(self.image)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self.run(self.image)
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times)


def engines(name, folder):
    """Every engine by name, its answer checked: all have the same weights."""
    side = int(name.split("-")[-1])
    image = np.random.default_rng(2).normal(0, 1, (1, 3, side, side)).astype(np.float32)
    rows = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    (onnx_float, onnx_int8), (lite_float, lite_int8) = onnx_runtime(name, folder), litert(name)
    found = {
        "int8, ONNX Runtime": Engine(onnx_int8, image),
        "int8, LiteRT": Engine(lite_int8, rows),
        "float32, ONNX Runtime": Engine(onnx_float, image),
        "float32, LiteRT": Engine(lite_float, rows),
        "float32, ncnn": Engine(Ncnn(name, folder).run, image),
    }
    expected = found["float32, ONNX Runtime"].scores()
    for label, engine in found.items():
        worst = np.abs(expected - engine.scores()).max() / np.ptp(expected)
        print(f"{name}: {label} within {worst:.2g} of the float scores' range")
        if not worst < (0.1 if label.startswith("int8") else 1e-3):
            sys.exit(f"{label} computes something else: not compared")
    return found


def hide_all_but(isa):
    """Starts this program again where `cpuid` tells of no more."""
    library = SCRATCH / "seen_isa.so"
    source = pathlib.Path(__file__).with_name("seen_isa.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), "BITAT_SEEN_ISA": isa}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def ours(bitat, name, depthwise, runs):
    """Median milliseconds of an image."""
    command = [bitat, "bench", "--network", name, "--depthwise", depthwise]
    command += ["--runs", str(runs), "--json", "--quiet"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found["median_us"] / 1e3, found["isa"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+",
                        default=["mobilenet-v1-1.0-224", "mobilenet-v2-1.0-224"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--isa", choices=["avx2", "avx2+vnni"],
                        help="what all engines see, at most")
    args = parser.parse_args()
    if "BITAT_SEEN_ISA" not in os.environ:
        # Before: a compiler does not expect cpuid to fault.
        subprocess.run(["cargo", "build", "--release", "-q", "-p", "bitat-converter"],
                       cwd=ROOT, check=True)
        if args.isa:
            hide_all_but(args.isa)
    bitat = str(ROOT / "target/release/bitat")
    kinds = ["8", "8-signs", "1"]
    for name in args.network:
        with tempfile.TemporaryDirectory() as folder:
            theirs = engines(name, pathlib.Path(folder))
            times = {label: [] for label in [*theirs, *kinds]}
            for _ in range(args.rounds):
                for label, engine in theirs.items():
                    times[label].append(engine.time(args.runs))
                for kind in kinds:
                    median, isa = ours(bitat, name, kind, args.runs)
                    times[kind].append(median)
        found = {label: (statistics.median(t), min(t)) for label, t in times.items()}
        int8 = [min(of) for of in zip(*(t for label, t in found.items() if label[:4] == "int8"))]
        for label, (median, least) in found.items():
            shown = f"1-bit on {isa}, --depthwise {label}" if label in kinds else label
            line = f"  {shown:<36} {median:6.2f} ms ({least:.2f})"
            if label in kinds:
                line += f", int8 takes {int8[0] / median:.2f} times as long ({int8[1] / least:.2f})"
            print(line)
    print(f"load of the machine {os.getloadavg()[0]:.1f}: one thread each, in turn")


if __name__ == "__main__":
    main()
