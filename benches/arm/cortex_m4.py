#!/usr/bin/env python3
"""Cycles of a Cortex-M4 for a picture, without a board: the instructions that the example
firmware executes under emulation, each at what Arm's table says. Prints Markdown.

    python3 benches/arm/cortex_m4.py [--record]

Wants what `.ci/firmware.sh cortex-m4f` has built (CARGO_TARGET_DIR, default
target/firmware), a C compiler, QEMU and LLVM. `--record` writes cycles per instruction for
`bitat footprint`.

The core takes its instructions in order, one at a time, so that a table is a model: that
of the Cortex-M4's Technical Reference Manual (Arm DDI 0439), section 3.3, with its notes
on how loads and stores follow each other. Two entries are ranges, so there are two sums:
a jump fills the pipeline again in 1 to 3 cycles, a division takes 2 to 12. Memory answers at once: a part whose flash has wait
states takes more. So does code that fetches wide instructions across words.
"""
import argparse
import collections
import os
import pathlib
import re
import subprocess

import loops

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target/firmware"))
RECORD = ROOT / "converter/src/footprint/cycles.tsv"
PROGRAMS = {"fashion-mnist": "firmware-cortex-m4f", "vww": "vww-cortex-m4f"}
MACHINE = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting-config",
           "enable=on,target=native", "-icount", "shift=0"]
JUMP, DIVISION = (1, 3), (2, 12)
# What stands between the run of a network and the measurement.
OTHERS = re.compile(r"<?(semihosting|core::fmt|firmware|cortex_m|static_cell)|<.* as core::fmt|"
                    r"main|__cortex_m|Reset|_start|DefaultHandler|HardFault")

LOAD = re.compile(r"ldrs?[bh]?(?!d)(\w\w)?(\.w)?$")
STORE = re.compile(r"str[bh]?(?!d)(\w\w)?(\.w)?$")
PAIR = re.compile(r"(ldr|str)d")
MANY = re.compile(r"push|pop|ldm|stm")
TABLE = re.compile(r"tb[bh]")
# And those others whose first operand is not written.
COMPARES = re.compile(r"cm[pn]|tst|teq|it|b(?!ic|f)|cbn?z|push|stm|strd")


def registers(operands):
    """How many a list between braces names."""
    names = re.search(r"{(.*)}", operands)[1].split(",")
    ranges = [re.findall(r"\d+", name) if "-" in name else [] for name in names]
    return sum(int(r[1]) - int(r[0]) + 1 if r else 1 for r in ranges)


def cycles(block):
    """Of a block's instructions, without the jump at its end: fewest, most."""
    total, extra = 0, [0, 0]
    # What the instruction before wrote, and whether that was a load of one register.
    written, loaded = "", False
    for i in block:
        operands = i.text.split("\t", 1)[1]
        first = operands.split(",")[0]
        base = set(re.findall(r"\w+", "".join(re.findall(r"\[([^]#]*)", operands))))
        # Its address may come while the data of a load before it does, if that is not
        # what the address is made of; what another instruction makes of it comes late.
        hidden = loaded and written not in base
        late = not loaded and written in base
        load, store = LOAD.match(i.name), STORE.match(i.name)
        if i.name.startswith(("udiv", "sdiv")):
            extra = [sum(pair) for pair in zip(extra, DIVISION)]
        elif load:
            total += 2 - hidden + late
        elif store:
            # Done while the next instruction is; an offset in a register takes a cycle.
            total += max(1, 1 + (len(base) > 1) - hidden) + late
        elif PAIR.match(i.name):
            total += 3 + late
        elif MANY.match(i.name):
            total += 1 + registers(operands)
        else:
            total += 3 if TABLE.match(i.name) else 1
        written = "" if store or COMPARES.match(i.name) else first
        loaded = bool(load)
    return [total + e for e in extra]


class Machine:
    """The emulated board, with the plugin."""

    def __init__(self):
        scratch = ROOT / "target/arm"
        scratch.mkdir(parents=True, exist_ok=True)
        self.plugin, self.report = scratch / "blocks.so", scratch / "cortex-m4.txt"
        subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", ROOT / "benches/arm/blocks.c",
                        "-o", self.plugin], check=True)

    def run(self, path):
        """Pictures that a program scored, and by block executions and jumps."""
        printed = subprocess.run([*MACHINE, "-plugin", f"{self.plugin},out={self.report}",
                                  "-kernel", path], check=True, capture_output=True, text=True)
        lines = [line.split() for line in self.report.read_text().splitlines()[1:]]
        blocks = [(int(address, 16), *map(int, rest)) for address, *rest in lines]
        return sum(line.startswith("picture ") for line in printed.stdout.splitlines()), blocks


class Cost:
    """Instructions, and cycles: fewest, most."""

    def __init__(self):
        self.instructions, self.cycles = 0, [0, 0]

    def add(self, instructions, cycles):
        self.instructions += instructions
        self.cycles = [sum(pair) for pair in zip(self.cycles, cycles)]

    def rates(self):
        return [c / self.instructions for c in self.cycles]


def disassembled(path):
    """All instructions; jump tables stand between them."""
    text = loops.tool("llvm-objdump", "-d", "--no-show-raw-insn", str(path))
    found = re.findall(r"^ *([0-9a-f]+):\s+(\S+)(.*)", text, re.MULTILINE)
    return [loops.Instruction(int(address, 16), name, f"{name}\t{rest.split('@')[0].strip()}")
            for address, name, rest in found]


def costs(machine, path):
    """Pictures, and by function of the network's run what it cost."""
    program = loops.Program(path)
    pictures, blocks = machine.run(path)
    of = collections.defaultdict(list)
    for block in blocks:
        # Thumb: the table of symbols has odd addresses.
        name = program.symbol(block[0] | 1)
        if name and not OTHERS.match(program.names[name]):
            of[name].append(block)
    listing = disassembled(path)
    at = {i.address: n for n, i in enumerate(listing)}
    found = collections.defaultdict(Cost)
    for name, executed in of.items():
        for address, instructions, times, jumps in executed:
            code = listing[at[address]:at[address] + instructions]
            each = cycles(code)
            found[program.names[name]].add(
                instructions * times, [c * times + p * jumps for c, p in zip(each, JUMP)])
    return pictures, found


def short(name):
    """A function's name without its crate and types."""
    return re.sub(r"::<.*|<|>", "", name.replace("bitat_kernels::scalar::", ""))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--record", action="store_true", help="write the footprint's record")
    record = options.parse_args().record
    machine = Machine()
    lines = []
    for network, name in PROGRAMS.items():
        pictures, found = costs(machine, BUILT / "thumbv7em-none-eabihf/release" / name)
        whole = Cost()
        for cost in found.values():
            whole.add(cost.instructions, cost.cycles)
        print(f"\n{network}, a picture\n\n| function | instructions | cycles | an instruction |")
        print("| --- | ---: | ---: | ---: |")
        rows = sorted(found.items(), key=lambda item: -item[1].instructions)
        for title, cost in [*rows, ("all", whole)]:
            if cost.instructions < 0.01 * whole.instructions:
                continue
            least, most = (f"{c / pictures:,.0f}" for c in cost.cycles)
            rates = "–".join(f"{rate:.2f}" for rate in cost.rates())
            print(f"| {short(title)} | {cost.instructions / pictures:,.0f} | {least}–{most} | {rates} |")
        lines.append("\t".join(["cortex-m4f", network, *(f"{rate:.3f}" for rate in whole.rates())]))
    if record:
        head = ["# By benches/arm/cortex_m4.py --record: cycles for an instruction, fewest and most.",
                "# board\tnetwork\tfewest\tmost"]
        RECORD.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
