#!/usr/bin/env python3
"""The 1-bit runtime against the fastest int8 engine there is for a CPU: ONNX Runtime.

    python3 benches/compare/int8.py [--network mobilenet-v1-1.0-224 …]
                                    [--rounds 7] [--runs 20]

One command does all: it makes an environment of its own under target/compare with
ONNX Runtime from PyPI, builds `bitat`, writes the same MobileNet with random weights
as float ONNX, quantizes it to int8 (static, per channel, QDQ, which ONNX Runtime
turns into its int8 kernels), and times whole images in turn, one image a batch.
Prints medians and what int8 takes as a multiple of what we take. That ours gives the
same integers on every instruction set is the kernels' conformance suite's business;
here the int8 network must agree with its float one within a tenth of the range.

What ONNX Runtime may use of the processor is its own choice; where a narrower set is
wanted for both, run under an emulated or older processor.
"""
import argparse
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
PACKAGES = ["numpy", "onnx", "onnxruntime"]

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
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


class Float:
    """A float MobileNet with batch norm folded, random weights of the usual size."""

    def __init__(self, name):
        _, version, width, side = name.split("-")
        self.width, self.random = float(width), np.random.default_rng(0)
        self.nodes, self.weights = [], []
        x, c = self.conv("x", 3, self.channels(32), 3, 2, 1, "Clip")
        if version == "v1":
            for out, stride in V1:
                x, _ = self.conv(x, c, c, 3, stride, c, "Clip")
                x, c = self.conv(x, c, self.channels(out), 1, 1, 1, "Clip")
        else:
            for expansion, out, repeats, first in V2:
                for i in range(repeats):
                    source, before = x, c
                    if expansion > 1:
                        x, c = self.conv(x, c, c * expansion, 1, 1, 1, "Clip")
                    x, _ = self.conv(x, c, c, 3, 1 if i else first, c, "Clip")
                    x, c = self.conv(x, c, self.channels(out), 1, 1, 1, None)
                    if i and before == c:
                        x = self.node("Add", [x, source])
            x, c = self.conv(x, c, max(1280, self.channels(1280)), 1, 1, 1, "Clip")
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        classifier = self.weight((1000, c), c)
        self.node("Gemm", [x, classifier, self.weight((1000,), 1)], "y", transB=1)
        shape = [1, 3, int(side), int(side)]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(self.nodes, name, [value("x", TensorProto.FLOAT, shape)],
                                  [value("y", TensorProto.FLOAT, [1, 1000])], self.weights)
        opset = [helper.make_opsetid("", 13)]
        self.model, self.shape = helper.make_model(graph, opset_imports=opset), shape
        self.model.ir_version = 8

    def channels(self, c):
        """The published networks' rounding to multiples of 8."""
        exact = c * self.width
        rounded = max(8, int(exact + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * exact else rounded

    def weight(self, shape, fan_in):
        values = self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def node(self, op, inputs, output=None, **attributes):
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def conv(self, x, c_in, c_out, kernel, stride, groups, activation):
        shape = (c_out, c_in // groups, kernel, kernel)
        weight = self.weight(shape, shape[1] * kernel * kernel)
        pad = kernel // 2
        x = self.node("Conv", [x, weight, self.weight((c_out,), 1e6)], strides=[stride] * 2,
                      pads=[pad] * 4, group=groups, kernel_shape=[kernel] * 2)
        if activation:
            low, high = (self.constant(v) for v in (0.0, 6.0))
            x = self.node("Clip", [x, low, high])
        return x, c_out

    def constant(self, value):
        name = f"c{value}"
        if all(w.name != name for w in self.weights):
            self.weights.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name


class Images(CalibrationDataReader):
    """A few noise images."""

    def __init__(self, shape):
        random = np.random.default_rng(1)
        images = (random.normal(0, 1, shape).astype(np.float32) for _ in range(4))
        self.images = ({"x": image} for image in images)

    def get_next(self):
        return next(self.images, None)


class Int8:
    """ONNX Runtime on the int8 network."""

    def __init__(self, name, folder):
        made = Float(name)
        files = [str(folder / f"{name}.{kind}.onnx") for kind in ("float", "ready", "int8")]
        onnx.save(made.model, files[0])
        quant_pre_process(files[0], files[1], skip_symbolic_shape=True)
        quantize_static(files[1], files[2], Images(made.shape), quant_format=QuantFormat.QDQ,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                        per_channel=True)
        sessions = [self.session(file) for file in (files[0], files[2])]
        self.image = np.random.default_rng(2).normal(0, 1, made.shape).astype(np.float32)
        expected, found = (s.run(None, {"x": self.image})[0] for s in sessions)
        worst = np.abs(expected - found).max() / np.ptp(expected)
        print(f"{name}: int8 within {worst:.3f} of the float scores' range")
        if not worst < 0.1:
            sys.exit("the int8 network computes something else: not compared")
        self.run = lambda: sessions[1].run(None, {"x": self.image})

    @staticmethod
    def session(file):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def time(self, runs):
        """Milliseconds of each of some images, after a tenth of them to warm up."""
        for _ in range(runs // 10 + 1):
            self.run()
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self.run()
            times.append((time.perf_counter() - start) * 1e3)
        return times


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
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "bitat-converter"],
                   cwd=ROOT, check=True)
    bitat = str(ROOT / "target/release/bitat")
    kinds = ["8", "8-signs", "1"]
    for name in args.network:
        with tempfile.TemporaryDirectory() as folder:
            int8 = Int8(name, pathlib.Path(folder))
            times = {kind: [] for kind in ["int8", *kinds]}
            for _ in range(args.rounds):
                times["int8"].append(statistics.median(int8.time(args.runs)))
                for kind in kinds:
                    median, isa = ours(bitat, name, kind, args.runs)
                    times[kind].append(median)
        medians = {kind: statistics.median(t) for kind, t in times.items()}
        print(f"  int8, ONNX Runtime {ort.__version__:<17} {medians['int8']:6.2f} ms")
        for kind in kinds:
            ratio = medians["int8"] / medians[kind]
            label = f"1-bit on {isa}, --depthwise {kind}"
            print(f"  {label:<36} {medians[kind]:6.2f} ms, int8 takes {ratio:.2f} times as long")
    print(f"load of the machine {os.getloadavg()[0]:.1f}: one thread each, in turn")


if __name__ == "__main__":
    main()
