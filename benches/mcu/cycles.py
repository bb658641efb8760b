#!/usr/bin/env python3
"""Cycles of a microcontroller for a picture, without a board: the instructions that the
example firmware executes under emulation, each at what its core's table says. Prints
Markdown.

    python3 benches/mcu/cycles.py [--record] [CORE...]

CORE: cortex-m4, cortex-m0plus, hazard3; all of them unless said. Wants what `.ci/firmware.sh
cortex-m4f cortex-m0plus riscv32-zbb` has built (CARGO_TARGET_DIR, default target/firmware), a
C compiler, QEMU and LLVM. `--record` writes cycles per instruction for `bitat footprint`.

The cores take their instructions in order, one at a time, so that a table is a model. Some
entries are ranges, so there are two sums. Memory answers at once: a part whose flash has
wait states takes more.

- Cortex-M4: Technical Reference Manual (Arm DDI 0439), section 3.3, with its notes on how
  loads and stores follow each other. A jump fills the pipeline again in 1 to 3 cycles, a
  division takes 2 to 12. Code that fetches wide instructions across words takes more.
- Cortex-M0+: Technical Reference Manual (Arm DDI 0484), section 3.3, with the multiplier of one
  cycle, an option that the RP2040 has (the other takes 32). It has no ranges but this one and
  that of ports which answer in one cycle, so both sums are the same.
- Hazard3, the RISC-V core of the RP2350: its documentation, "Instruction Cycle Counts", with
  the fast multiplier. What a load reads is there a cycle later; a jump takes one more, and one
  more to an instruction across words; the last backward branch that was taken is predicted.
"""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches/arm"))
import loops

BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target/firmware"))
RECORD = ROOT / "converter/src/footprint/cycles.tsv"
NETWORKS = {"fashion-mnist": "firmware", "vww": "vww"}
SEMIHOSTING = ["-nographic", "-semihosting-config", "enable=on,target=native", "-icount", "shift=0"]
# What stands between the run of a network and the measurement.
OTHERS = re.compile(r"<?(semihosting|core::fmt|firmware|cortex_m|riscv|static_cell)|"
                    r"<.* as core::fmt|main|__cortex_m|Reset|DefaultHandler|HardFault|"
                    r"_(abs_)?start|_dispatch|_default|_setup|_pre_init|hal_main")


def listed(operands):
    """How many registers a list between braces names."""
    names = re.search(r"{(.*)}", operands)[1].split(",")
    ranges = [re.findall(r"\d+", name) if "-" in name else [] for name in names]
    return sum(int(r[1]) - int(r[0]) + 1 if r else 1 for r in ranges)


class CortexM4:
    """Arm's table."""

    name, board, program = "cortex-m4", "cortex-m4f", "cortex-m4f"
    folder = BUILT / "thumbv7em-none-eabihf/release"
    machine = ["qemu-system-arm", "-M", "mps2-an386", *SEMIHOSTING]
    # In the table of symbols, of a function's address.
    odd = 1
    jump, division = (1, 3), (2, 12)

    load = re.compile(r"ldrs?[bh]?(?!d)(\w\w)?(\.w)?$")
    store = re.compile(r"str[bh]?(?!d)(\w\w)?(\.w)?$")
    pair = re.compile(r"(ldr|str)d")
    many = re.compile(r"push|pop|ldm|stm")
    table = re.compile(r"tb[bh]")
    # And those others whose first operand is not written.
    compares = re.compile(r"cm[pn]|tst|teq|it|b(?!ic|f)|cbn?z|push|stm|strd")

    @classmethod
    def straight(cls, block):
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
            load, store = cls.load.match(i.name), cls.store.match(i.name)
            if i.name.startswith(("udiv", "sdiv")):
                extra = [sum(pair) for pair in zip(extra, cls.division)]
            elif load:
                total += 2 - hidden + late
            elif store:
                # Done while the next instruction is; an offset in a register takes a cycle.
                total += max(1, 1 + (len(base) > 1) - hidden) + late
            elif cls.pair.match(i.name):
                total += 3 + late
            elif cls.many.match(i.name):
                total += 1 + listed(operands)
            else:
                total += 3 if cls.table.match(i.name) else 1
            written = "" if store or cls.compares.match(i.name) else first
            loaded = bool(load)
        return [total + e for e in extra]

    @classmethod
    def cycles(cls, block, times, jumps, _size):
        """Of all executions of a block, of which so many ended in a jump: fewest, most."""
        return [c * times + p * jumps for c, p in zip(cls.straight(block), cls.jump)]


class CortexM0Plus:
    """Arm's table."""

    name, board, program = "cortex-m0plus", "cortex-m0plus", "cortex-m0plus"
    folder = BUILT / "thumbv6m-none-eabi/release"
    machine = ["qemu-system-arm", "-M", "mps2-an385", *SEMIHOSTING]
    odd = 1

    single = re.compile(r"(ldr|str)")
    many = re.compile(r"push|pop|ldm|stm")
    system = re.compile(r"mrs|msr|[di]sb|dmb")

    @classmethod
    def straight(cls, i):
        """Of an instruction, without a jump."""
        if cls.many.match(i.name):
            return 1 + listed(i.text)
        return 2 if cls.single.match(i.name) else 3 if cls.system.match(i.name) else 1

    @classmethod
    def cycles(cls, block, times, jumps, _size):
        """As for the Cortex-M4."""
        last = block[-1]
        # A call takes one more than a branch, a return from the stack too.
        jump = 2 if last.name in ("bl", "pop") else 1
        return [sum(map(cls.straight, block)) * times + jump * jumps] * 2


class Hazard3:
    """Its documentation's table."""

    name, board, program = "hazard3", "riscv32-zbb", "riscv32"
    folder = BUILT / "riscv32-zbb/riscv32imac-unknown-none-elf/release"
    machine = ["qemu-system-riscv32", "-M", "virt", "-bios", "none", *SEMIHOSTING]
    odd = 0
    division = (18, 19)

    load = re.compile(r"l[bhw]u?$")
    store = re.compile(r"s[bhw]$")
    branch = re.compile(r"b(eq|ne|lt|ge|gt|le)u?z?$")
    place = re.compile(r"0x([0-9a-f]+) <")

    @classmethod
    def reads(cls, i):
        """The registers that must be there when the instruction begins."""
        names = re.findall(r"\b(?:zero|ra|[sgt]p|[ast]\d+)\b", i.text.split("<")[0])
        if cls.store.match(i.name):
            # Its data may come later.
            return names[1:]
        writes = not cls.branch.match(i.name) and i.name not in ("jr", "ret")
        return names[1:] if writes else names

    @classmethod
    def cycles(cls, block, times, jumps, size):
        """As for the others; `size(address)`: bytes of the instruction there."""
        straight = [0, 0]
        for i, after in zip(block, [*block[1:], None]):
            one = cls.division if i.name.startswith(("div", "rem")) else (1, 1)
            waits = (0, 0)
            if cls.load.match(i.name):
                register = re.search(r"\w+", i.text.split("\t")[1])[0]
                waits = (0, 1) if after is None else (int(register in cls.reads(after)),) * 2
            straight = [s + o + w for s, o, w in zip(straight, one, waits)]
        last = block[-1]
        target = cls.place.search(last.text)
        target = target and int(target[1], 16)
        backward = bool(cls.branch.match(last.name)) and (target or 0) <= last.address
        # Across words: known where the target is.
        across = (0, 1)
        if target is not None:
            across = (int(target % 4 != 0 and size(target) == 4),) * 2
        taken = [int(not backward), 1]
        # A branch that was predicted and not taken.
        straying = [0, int(backward)]
        return [s * times + (t + a) * jumps + n * (times - jumps)
                for s, t, a, n in zip(straight, taken, across, straying)]


CORES = [CortexM4, CortexM0Plus, Hazard3]


class Machine:
    """An emulated board, with the plugin."""

    def __init__(self, core):
        scratch = ROOT / "target/mcu"
        scratch.mkdir(parents=True, exist_ok=True)
        self.plugin, self.report = scratch / "blocks.so", scratch / f"{core.name}.txt"
        self.command = core.machine
        subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", ROOT / "benches/arm/blocks.c",
                        "-o", self.plugin], check=True)

    def run(self, path):
        """Pictures that a program scored, and by block executions and jumps."""
        printed = subprocess.run([*self.command, "-plugin", f"{self.plugin},out={self.report}",
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


def costs(core, machine, path):
    """Pictures, and by function of the network's run what it cost."""
    program = loops.Program(path)
    pictures, blocks = machine.run(path)
    of = collections.defaultdict(list)
    for block in blocks:
        name = program.symbol(block[0] | core.odd)
        if name and not OTHERS.match(program.names[name]):
            of[name].append(block)
    listing = disassembled(path)
    at = {i.address: n for n, i in enumerate(listing)}

    def size(address):
        n = at.get(address)
        return listing[n + 1].address - address if n is not None and n + 1 < len(listing) else 4

    found = collections.defaultdict(Cost)
    for name, executed in of.items():
        for address, instructions, times, jumps in executed:
            code = listing[at[address]:at[address] + instructions]
            found[program.names[name]].add(
                instructions * times, core.cycles(code, times, jumps, size))
    return pictures, found


def short(name):
    """A function's name without its crate and types."""
    return re.sub(r"::<.*|<|>", "", name.replace("bitat_kernels::scalar::", ""))


def between(fewest_and_most):
    """Both, or one where they are the same."""
    return "–".join(dict.fromkeys(fewest_and_most))


def printed(core, network, pictures, found):
    """A network's table; gives back all of it."""
    whole = Cost()
    for cost in found.values():
        whole.add(cost.instructions, cost.cycles)
    print(f"\n{core.name}, {network}, a picture\n\n| function | instructions | cycles | an instruction |")
    print("| --- | ---: | ---: | ---: |")
    rows = sorted(found.items(), key=lambda item: -item[1].instructions)
    for title, cost in [*rows, ("all", whole)]:
        if cost.instructions < 0.01 * whole.instructions:
            continue
        cycles = between(f"{c / pictures:,.0f}" for c in cost.cycles)
        rates = between(f"{rate:.2f}" for rate in cost.rates())
        print(f"| {short(title)} | {cost.instructions / pictures:,.0f} | {cycles} | {rates} |")
    return whole


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--record", action="store_true", help="write the footprint's record")
    options.add_argument("cores", nargs="*", metavar="CORE", help="cortex-m4, cortex-m0plus, hazard3")
    options = options.parse_args()
    unknown = set(options.cores) - {core.name for core in CORES}
    if unknown:
        sys.exit(f"no such core: {', '.join(sorted(unknown))}")
    cores = [core for core in CORES if not options.cores or core.name in options.cores]
    if options.record and cores != CORES:
        sys.exit("--record is for all cores: name none")
    lines = []
    for core in cores:
        machine = Machine(core)
        for network, kind in NETWORKS.items():
            pictures, found = costs(core, machine, core.folder / f"{kind}-{core.program}")
            whole = printed(core, network, pictures, found)
            rates = (f"{rate:.3f}" for rate in whole.rates())
            lines.append("\t".join([core.board, network, *rates]))
    if options.record:
        head = ["# By benches/mcu/cycles.py --record: cycles for an instruction, fewest and most.",
                "# board\tnetwork\tfewest\tmost"]
        RECORD.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
