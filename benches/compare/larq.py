#!/usr/bin/env python3
"""The 1-bit runtime against Larq Compute Engine, on the networks it was made for.

    python3 benches/compare/larq.py [--network quicknet …] [--isa avx2 …]
                                    [--rounds 7] [--runs 10]

One command does all: it makes an environment of its own under target/compare with
Larq Compute Engine, Larq Zoo and TensorFlow from PyPI (Python 3.11), builds `bitat`,
builds the networks with random weights, converts them for Larq, and times whole
images in turn, one image a batch, one thread each: Larq in each of its settings, ours
on the best instruction set and on each `--isa`. Prints medians and what Larq's best
setting takes as a multiple of what we take. Converted networks are kept, so that a
second run only measures.

Answers are checked first. Larq's must be finite, say something, and be those of its own
reference kernels; ours must be those of another of our kernel sets (`bitat bench` sees
to it), and the converter's tests hold these networks against the oracle.

QuickNet and Bi-Real Net are Larq Zoo's. ReActNet-A, which it lacks, is written here
from its paper, padded with +1 rather than 0, which Larq computes faster. What ours
have in another form is said with `bitat_models::OneBit`.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target/compare"
PACKAGES = ["larq-compute-engine==0.16.0", "tensorflow==2.16.2", "tf_keras==2.16.0",
            "larq==0.14.0", "larq-zoo==2.4.0"]
SETTINGS = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "indirect, XNNPACK": {"use_indirect_bgemm": True, "use_xnnpack": True},
}

# `import larq` means the package, not this file beside which Python looks first.
sys.path = [path for path in sys.path if pathlib.Path(path).resolve() != ROOT / "benches/compare"]
# Larq's packages are written for the Keras that TensorFlow has since left.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import numpy as np
    import larq_compute_engine as lce
    from larq_compute_engine.tflite.python.interpreter import Interpreter
except ImportError:
    python = SCRATCH / "larq/bin/python"
    if pathlib.Path(sys.executable) == python:
        raise
    if not python.exists():
        base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
        if base is None:
            sys.exit("larq.py: NOT RUN: Larq Compute Engine 0.16 wants Python 3.11; install it, "
                     "or have uv make the environment: uv venv --seed --python 3.11 "
                     f"{SCRATCH / 'larq'}")
        subprocess.run([base, "-m", "venv", str(SCRATCH / "larq")], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    os.execv(python, [str(python), *sys.argv])


def zoo(name):
    """A network of Larq Zoo; its weights are not fetched."""
    import larq_zoo
    found = {"quicknet-small": larq_zoo.sota.QuickNetSmall, "quicknet": larq_zoo.sota.QuickNet,
             "quicknet-large": larq_zoo.sota.QuickNetLarge,
             "bi-real-net-18": larq_zoo.literature.BiRealNet}
    return found[name](weights=None, input_shape=(224, 224, 3), num_classes=1000)


def reactnet_a():
    """ReActNet-A: 3x3 and 1x1 1-bit convolutions with RSign, RPReLU and shortcuts."""
    import larq
    import tensorflow as tf
    layers = tf.keras.layers

    class Shift(layers.Layer):
        """A learnt number per channel, added."""

        def build(self, shape):
            random = tf.keras.initializers.RandomNormal(stddev=0.1)
            self.shift = self.add_weight("shift", (shape[-1],), initializer=random)

        def call(self, x):
            return x + self.shift

    def binary(x, out, kernel, stride):
        x = Shift()(x)
        x = larq.layers.QuantConv2D(out, kernel, stride, "same", pad_values=1.0, use_bias=False,
                                    input_quantizer="ste_sign", kernel_quantizer="ste_sign",
                                    kernel_constraint="weight_clip")(x)
        return layers.BatchNormalization()(x)

    def rprelu(x):
        quarter = tf.keras.initializers.Constant(0.25)
        return Shift()(layers.PReLU(quarter, shared_axes=[1, 2])(Shift()(x)))

    image = layers.Input((224, 224, 3))
    x = layers.Conv2D(32, 3, 2, "same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    outputs = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    outputs += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    for out, stride in outputs:
        c = x.shape[-1]
        shortcut = layers.AveragePooling2D(2)(x) if stride == 2 else x
        x = rprelu(layers.add([binary(x, c, 3, stride), shortcut]))
        halves = [layers.add([binary(x, c, 1, 1), x]) for _ in range(out // c)]
        x = rprelu(halves[0] if len(halves) == 1 else layers.concatenate(halves))
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, layers.Softmax()(layers.Dense(1000)(x)))


NETWORKS = {"quicknet-small": 1.16, "quicknet": 1.85, "quicknet-large": 3.70,
            "bi-real-net-18": 1.68, "reactnet-a": 4.82}


def converted(name):
    """The network for Larq Compute Engine; converted once."""
    file = SCRATCH / f"{name}.tflite"
    if not file.exists():
        print(f"{name}: converting", flush=True)
        model = reactnet_a() if name == "reactnet-a" else zoo(name)
        random = np.random.default_rng(0)
        # Fresh batch norms are the identity and would let values grow layer by layer.
        for weight in (w for layer in model.layers for w in layer.weights):
            drawn = {"gamma:0": (0.05, 0.01), "beta:0": (0.0, 0.1)}.get(weight.name.split("/")[-1])
            if drawn:
                weight.assign(random.normal(*drawn, weight.shape))
        partial = file.with_suffix(".partial")
        partial.write_bytes(lce.convert_keras_model(model))
        partial.rename(file)
    return file.read_bytes()


class Larq:
    """One network in one setting."""

    def __init__(self, model, **setting):
        self.interpreter = Interpreter(model, num_threads=1, **setting)
        self.image = [np.random.default_rng(2).normal(0, 1, (1, 224, 224, 3)).astype(np.float32)]

    def run(self):
        return self.interpreter.interpreter.predict(self.image)[0]

    def time(self, runs):
        """Median milliseconds of some images, after a tenth of them to warm up."""
        times = []
        for _ in range(runs // 10 + 1):
            self.run()
        for _ in range(runs):
            start = time.perf_counter()
            self.run()
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times)


def check(name, larqs, model):
    """Larq's own answers, in every setting."""
    expected = Larq(model, use_reference_bconv=True).run()
    if not np.isfinite(expected).all() or np.ptp(expected) == 0:
        sys.exit(f"{name}: Larq's answer says nothing: not compared")
    for setting, larq in larqs.items():
        worst = np.abs(larq.run() - expected).max() / np.ptp(expected)
        if not worst < 1e-3:
            sys.exit(f"{name}: Larq's setting '{setting}' is off by {worst}: not compared")


def ours(bitat, name, isa, runs):
    """Median milliseconds of an image, and the kernel set."""
    command = [bitat, "bench", "--network", name, "--runs", str(runs), "--json", "--quiet"]
    command += ["--isa", isa] if isa else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    if not found["agrees_with"]:
        sys.exit(f"{name}: no second kernel set to check ours with: not compared")
    return found["median_us"] / 1e3, found["isa"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--isa", nargs="+", default=[], help="of ours, beside the best")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "bitat-converter"],
                   cwd=ROOT, check=True)
    bitat = str(ROOT / "target/release/bitat")
    models = {name: converted(name) for name in args.network}
    for name, model in models.items():
        larqs = {setting: Larq(model, **options) for setting, options in SETTINGS.items()}
        check(name, larqs, model)
        theirs = {setting: [] for setting in larqs}
        mine = {}
        for _ in range(args.rounds):
            for setting, larq in larqs.items():
                # The slow setting is there to be seen, not to be waited for.
                runs = args.runs if SETTINGS[setting] else args.runs // 5 + 1
                theirs[setting].append(larq.time(runs))
            for isa in [None, *args.isa]:
                median, used = ours(bitat, name, isa, args.runs)
                mine.setdefault(used, []).append(median)
        theirs = {setting: statistics.median(times) for setting, times in theirs.items()}
        best = min(theirs.values())
        print(f"{name}, {NETWORKS[name]:.2f} G binary multiply-accumulates")
        for setting, median in theirs.items():
            print(f"  Larq, {setting:<24} {median:7.2f} ms")
        for isa, times in mine.items():
            median = statistics.median(times)
            print(f"  ours, {isa:<24} {median:7.2f} ms, Larq's best {best / median:.1f} times as long")
    print(f"load of the machine {os.getloadavg()[0]:.1f}: one thread each, in turn")


if __name__ == "__main__":
    main()
