#!/usr/bin/env python3
"""What the NEON kernels cost on ARM cores, without a board: cycles by LLVM's
scheduling models, and instructions executed per inference under emulation. Prints
Markdown.

    python3 benches/arm/model.py [--set neon+dotprod] [--layer [TEXT …]] [--network [NAME …]]

One command does all: builds the kernels' benchmark and a program that does nothing but
infer for AArch64, runs them in `qemu-aarch64` with a plugin (`blocks.c`) that counts how
often each block of machine code is executed, finds the loops of what was executed
(`loops.py`), and gives each to `llvm-mca` as each core's model has it. It wants a C
compiler, QEMU's user-mode emulation, LLVM and Rust's AArch64 target: on Debian 12 what
`.ci/run install` installs.

A round of a loop is all that is executed between two passes of its head but for the
loops inside it; a function is the outermost loop of itself. So rounds times cycles add
up to a layer. The model has the core's units, latencies and issue width; caches (every
load is a hit in the first level), memory, branch misses and the front end's fetch it
leaves out, and what follows a loop does not overlap with it: read the sum as what the
arithmetic costs, not as a time on a board.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

import loops

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target/arm"
TARGET = "aarch64-unknown-linux-gnu"
CORES = {"A53": "cortex-a53", "A55": "cortex-a55", "A72": "cortex-a72", "A76": "cortex-a76",
         "N1": "neoverse-n1"}
# Of each kernel set: the CPU to emulate, which executes what all cores of the set do and
# chooses it, and the cores.
SETS = {"neon": ("cortex-a53", list(CORES)), "neon+dotprod": ("cortex-a76", ["A55", "A76", "N1"])}
# xor, count and add: three instructions per 128 binary multiply-accumulates.
LIMIT = 128 / 3
# A loop of fewer of a layer's instructions has no line of its own, or no model.
SHOWN, MODELLED = 0.05, 0.002
LAYERS = [
    "binary_conv/1x1 32->64 @112 stream", "binary_conv/1x1 64->64 @28 stream",
    "binary_conv/1x1 128->128 @56 stream", "binary_conv/1x1 512->512 @14 stream",
    "binary_conv/1x1 512->512 @14 bits", "binary_conv/1x1 1024->1024 @7 stream",
    "binary_conv/3x3 64->64 @56 stream", "binary_conv/3x3 256->256 @14 stream",
    "binary_depthwise/3x3 512->512 @14 bits", "binary_depthwise/3x3 512->512 @14 stream",
    "int8_depthwise/3x3 64->64 @112 bits", "int8_depthwise/3x3 512->512 @14 stream",
    "int8_depthwise/3x3s2 128->128 @56 bits", "int8_conv/3x3s2 3->32 @224 stream",
    "int8_conv/1x1 256->256 @14 stream", "int8_conv/1x1 1024->1000 @1 stream",
]
NETWORKS = ["mobilenet-v1-1.0-224", "mobilenet-v2-1.0-224"]
SHIPPED = ROOT / "models/fashion-mnist/mobilenet_v1_0.25.bitat"


def run(*command, **options):
    """What a command prints; its errors go through."""
    found = subprocess.run([str(c) for c in command], cwd=ROOT, stdout=subprocess.PIPE,
                           text=True, **options)
    if found.returncode:
        sys.exit(f"{command[0]} failed: {' '.join(map(str, command))}")
    return found.stdout


def cross():
    """The toolchain and flags: Debian's Rust where it has the target's library. Names
    are mangled so that they read back with their types; the code is the same."""
    flags = "-C target-feature=+crt-static -C symbol-mangling-version=v0"
    env = {**os.environ, "RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(SCRATCH),
           "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "aarch64-linux-gnu-gcc"}
    if pathlib.Path("/usr/lib/rustlib", TARGET).exists():
        env.update(PATH=f"/usr/bin:{env['PATH']}", RUSTUP_TOOLCHAIN="")
    return env


def build(env, *arguments):
    """The executable that cargo makes of the last argument."""
    lines = run("cargo", *arguments, "--locked", "--target", TARGET,
                "--message-format=json-render-diagnostics", env=env).splitlines()
    made = [made for made in map(json.loads, lines) if made.get("executable")]
    return loops.Program(*(m["executable"] for m in made if m["target"]["name"] == arguments[-1]))


class Emulator:
    """Counts what a program executes on a CPU that chooses a kernel set."""

    def __init__(self, kernel_set):
        self.set, self.cpu = kernel_set, SETS[kernel_set][0]
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.plugin, self.report = SCRATCH / "blocks.so", SCRATCH / "blocks.txt"
        run("cc", "-O2", "-Wall", "-shared", "-fPIC", ROOT / "benches/arm/blocks.c",
            "-o", self.plugin)

    def count(self, program, *arguments):
        """Executions by address."""
        run("qemu-aarch64", "-cpu", self.cpu, "-plugin", f"{self.plugin},out={self.report}",
            program.path, *arguments, stderr=subprocess.DEVNULL)
        return program.executions(self.report)


class Work:
    """All that was executed for something, as loops."""

    def __init__(self, functions):
        self.executed = sum(f.executed for f in functions)
        self.loops = [loop for f in functions if f.executed >= MODELLED * self.executed
                      for loop in f.loops() if loop.path]
        self.loops.sort(key=lambda loop: -loop.executed)

    def share(self, loop):
        return loop.executed / self.executed

    def cycles(self, core):
        return sum(loop.times * loop.cycles[core] for loop in self.loops)

    def covered(self):
        """Share of the executed instructions that the loops have."""
        return sum(map(self.share, self.loops))

    def simd(self):
        return sum(loop.times * loop.simd()[0] for loop in self.loops)


def products(layer):
    """A benchmark layer's multiply-accumulates, taps outside the input counted too."""
    operation, kernel, stride, c_in, c_out, side = re.match(
        r"(\w+)/(\d)x\d(?:s(\d))? (\d+)->(\d+) @(\d+)", layer).groups()
    out = -(-int(side) // int(stride or 1))
    per_output = 1 if operation.endswith("depthwise") else int(c_in)
    return out * out * int(c_out) * per_output * int(kernel) ** 2


def of_arm(name):
    return "bitat_kernels::arm::" in name


def less(counts, before):
    return collections.Counter({at: n - before[at] for at, n in counts.items() if n > before[at]})


def layer_works(emulator, program, layers):
    """One run of each layer. The benchmark compares the answers of all of them before it
    comes to those named; what it executes with none named is taken off."""
    def count(layer):
        return emulator.count(program, "--test", "--exact", f"{layer}/{emulator.set}")

    checks, works = count("no layer"), {}
    for layer in layers:
        functions = program.functions(less(count(layer), checks), of_arm)
        # A set may have another's function.
        entry = re.compile(rf"bitat_kernels::arm::\w+::{layer.split('/')[0]}(?: \(.*)?")
        if [f.times[f.entry] for f in functions.values() if entry.fullmatch(f.name)] != [1]:
            sys.exit(f"the benchmark has no layer {layer}")
        works[layer] = Work(functions.values())
    return works


def network_work(emulator, program, file):
    """What one inference executes: the second of two less the first, so that all
    that happens once cancels."""
    once, twice = (emulator.count(program, file, runs) for runs in (1, 2))
    return Work(program.functions(less(twice, once), lambda name: True).values())


def model(works):
    """Sets each loop's cycles per round, by core, and returns the models' names. One
    run of the model per core has all loops; two, of different lengths, so that filling
    the pipeline cancels."""
    by_text = collections.defaultdict(list)
    for work in works:
        for loop in work.loops:
            loop.cycles = {}
            by_text["\n".join(loop.assembly())].append(loop)
    by_text.pop("", None)
    source = "".join(f"# LLVM-MCA-BEGIN {i}\n{text}\n# LLVM-MCA-END\n"
                     for i, text in enumerate(by_text))
    names = {}
    for core, cpu in CORES.items():
        rounds = (30, 130)
        few, many = (json.loads(loops.tool("llvm-mca", "-mtriple=aarch64", f"-mcpu={cpu}",
                                           f"-iterations={n}", "-json", input=source))
                     for n in rounds)
        names[core] = os.path.commonprefix(many["TargetInfo"]["Resources"]).split("Unit")[0]
        regions = zip(few["CodeRegions"], many["CodeRegions"], by_text.values())
        for less, more, found in regions:
            cycles = [region["SummaryView"]["TotalCycles"] for region in (less, more)]
            for loop in found:
                loop.cycles[core] = (cycles[1] - cycles[0]) / (rounds[1] - rounds[0])
    for work in works:
        for loop in work.loops:
            # A round of calls alone.
            loop.cycles = loop.cycles or dict.fromkeys(CORES, 0)
    return names


def part(name):
    """A function's name without what all have in common: the work that it was made
    for and its numbers. One of an instruction set's own passes has that of its shortcut."""
    own = re.search(r"arm::\w+::(\w+)::\w+<.*::(\w+)<\d+>, (.*?)>>", name)
    if own:
        return "{}::{}<{}>".format(*own.groups())
    found = re.search(r"outlined?::<bitat_kernels::(?:generic|passes)::(\w+)::(\w+)<?(.*)>?", name)
    if not found:
        return re.sub(r"^.*bitat_kernels::(?:arm::)?", "", name)
    module, work, rest = found.groups()
    numbers = re.findall(r"(?<![\w:])(\d+|true|false)(?:usize)?\b", rest)
    return f"{module}::{work}" + (f"<{', '.join(numbers)}>" if numbers else "")


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")


def head(words, numbers):
    row(*words, *numbers)
    row(*["---"] * len(words), *["---:"] * len(numbers))


def print_loops(layers):
    print("## Loops\n")
    head(["layer", "function", "mostly"],
         ["of the layer", "instructions", "SIMD", "loads, stores", "MAC", "MAC per SIMD",
          *(f"{core}" for core in CORES)])
    for name, work in layers.items():
        for loop in work.loops:
            if work.share(loop) < SHOWN:
                break
            arithmetic, moves = loop.simd()
            mac = max(loop.products())
            cycles = [f"{loop.cycles[c]:.0f}" + (f" ({mac / loop.cycles[c]:.3g})" if mac else "")
                      for c in CORES]
            row(name, f"`{part(loop.function.name)}`", loop.topic(),
                f"{100 * work.share(loop):.0f} %", len(loop.path), arithmetic, moves, mac or "",
                f"{mac / arithmetic:.1f}" if mac else "", *cycles)
    print(f"\nA round of each loop that executes at least {100 * SHOWN:.0f} % of its layer's "
          "instructions. SIMD: arithmetic on\nvectors; then loads and stores of vectors. MAC: "
          "what `cnt` (128 each) or multiplications make;\na 1-bit loop can do "
          f"{LIMIT:.1f} per SIMD instruction at most. Under each core: cycles, and MAC per "
          "cycle\nin brackets.\n")


def print_layers(layers):
    print("## Layers\n")
    head(["layer"], ["MAC", "instructions", "MAC per SIMD", *CORES, "modelled"])
    for name, work in layers.items():
        mac = products(name)
        rates = (f"{mac / work.cycles(c):.1f}" for c in CORES)
        row(name, f"{mac:,}", f"{work.executed:,.0f}", f"{mac / work.simd():.1f}", *rates,
            f"{100 * work.covered():.0f} %")
    print("\nWhole kernels with their epilogue; under each core MAC per cycle. modelled: share of\n"
          "the executed instructions that lies in a loop's round, where a block counts as a\n"
          "whole or, if less than half of the rounds pass it, not at all.\n")


def print_networks(networks):
    print("## Networks\n")
    head(["network"], ["instructions", *CORES, "modelled"])
    for name, work in networks.items():
        row(name, f"{work.executed:,.0f}", *(f"{work.cycles(c) / 1e6:.2f}" for c in CORES),
            f"{100 * work.covered():.0f} %")
    print("\nOne image: two less one, so that the start cancels. Under each core:\n"
          "million cycles.\n")
    kinds = collections.defaultdict(lambda: collections.defaultdict(float))
    for name, work in networks.items():
        for loop in work.loops:
            kinds[part(loop.function.name)][name] += work.share(loop)
    head(["function"], networks)
    for kind, shares in sorted(kinds.items(), key=lambda item: -max(item[1].values())):
        if max(shares.values()) >= SHOWN / 2:
            row(f"`{kind}`", *(f"{100 * shares[name]:.0f} %" for name in networks))
    print("\nShare of an image's instructions.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, default="neon", help="kernel set; default neon")
    parser.add_argument("--layer", nargs="*", default=LAYERS,
                        help="layers of benches/benches/kernels.rs, without the kernel set's name")
    parser.add_argument("--network", nargs="*", default=NETWORKS,
                        help="as `bitat bench --network` takes them, and files; the shipped one "
                             "is always there")
    args = parser.parse_args()
    env, emulator = cross(), Emulator(args.set)
    for core in CORES.keys() - SETS[args.set][1]:
        del CORES[core]
    layers, networks = {}, {}
    if args.layer:
        kernels = build(env, "bench", "--no-run", "-p", "bitat-benches", "--bench", "kernels")
        layers = layer_works(emulator, kernels, args.layer)
    if args.network:
        repeat = build(env, "build", "--release", "-p", "bitat-runtime", "--example", "repeat")
        for name in args.network:
            file = SCRATCH / f"{name}.bitat"
            run("cargo", "run", "--release", "-q", "--locked", "-p", "bitat-converter",
                "--example", "standard", "--", name, "8", file)
            networks[name] = network_work(emulator, repeat, file)
        networks["Fashion-MNIST, shipped"] = network_work(emulator, repeat, SHIPPED)
    names = model([*layers.values(), *networks.values()])
    if layers:
        print_loops(layers)
        print_layers(layers)
    if networks:
        print_networks(networks)
    rustc = run("rustc", "--version", env=env).strip()
    llvm = re.search(r"LLVM version (\S+)", loops.tool("llvm-mca", "--version"))[1]
    qemu = run("qemu-aarch64", "--version").split("\n")[0]
    models = ", ".join(f"{core} {name}" for core, name in names.items())
    print(f"{rustc}; llvm-mca {llvm}, its models: {models}; {qemu}.")


if __name__ == "__main__":
    main()
