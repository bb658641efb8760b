#!/usr/bin/env python3
"""Whether a function of a linked Cortex-M, RISC-V (32 bits) or AArch64 program can reach
a panic.

Follows the calls of the program's instructions from the function. Fails, with their
number by function, if one of the functions reached calls a panic: what is in
core and from which the panic handler can be reached, or an instruction that traps and
that something leads to: the instruction before it, a branch or a jump table. (A compiler
leaves traps behind for what it has found impossible.)
Fails too where it reads no calls, for then it has not looked.

A call through a register may go to any function whose address lies in the program's
constants and data (that is how the kernels of an instruction set are called) or is
made by its instructions, but for those that print (a panic's message is all that could)
and those of the start and of exceptions, which the processor calls.

    .ci/no_panic.py LLVM PROGRAM FUNCTION

LLVM: the folder of llvm-objdump and llvm-nm. FUNCTION: how its name begins.
"""

import collections
import itertools
import re
import subprocess
import sys

HANDLER = "rust_begin_unwind"
PRINTS = r"<?(core::fmt|semihosting)::|<.* as core::fmt::"
# A number can be the address of one too: that of the first instruction is 0 or 2^31.
STARTS = r"(__stext|_(abs_)?start(_rust|_trap)?|vector_table_el1|abort)$"
NOT_CALLED = re.compile(f"{PRINTS}|{STARTS}")
FORMAT = re.compile(r"file format (\S+)$", re.MULTILINE)
SECTION = re.compile(r"^ *\d+ (\S+) .* DATA *$", re.MULTILINE)
# The functions in it are called by the processor alone.
VECTORS = ".vector_table"
FUNCTION = re.compile(r"^([0-9a-f]+) <(.*)>:$")
INSTRUCTION = re.compile(r"^ *([0-9a-f]+):\s+((\S+)\s*(.*))$")
TARGET = re.compile(r"0x[0-9a-f]+(?:\(\w+\))? <(.*?)(?:\+0x[0-9a-f]+)?>\s*(?:@.*)?$")
PLACE = re.compile(r"0x([0-9a-f]+)(?:\(\w+\))? <")
NUMBER = r"(-?0x[0-9a-f]+|-?\d+)"


class Arm:
    """Thumb. As a value, a function's address is odd."""

    pointer = 4
    odd = 1
    condition = "eq|ne|hs|cs|lo|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"
    # With or without a condition and a width, and those that compare.
    branch = re.compile(rf"(b(l|lx|x)?({condition})?|cbn?z)(\.[nw])?$")
    to_register = re.compile(r"(ldr|mov|add)\S*\s+pc\b")
    back = "lr"
    # Jump tables are offsets in the code, so that anything may lead to a trap.
    away = re.compile(r"(?!)")
    trap = re.compile(r"udf")
    part = re.compile(rf"mov([wt])\S*\s+(\w+), #{NUMBER}")
    whole = re.compile(rf".*\s\.word\s+{NUMBER}")

    @classmethod
    def addresses(cls, function):
        """What two halves of one register can be together, and words amid the code."""
        made, halves = set(), collections.defaultdict(set)
        for _, text in function:
            if found := cls.part.match(text):
                halves[found[1], found[2]].add(int(found[3], 0))
            elif found := cls.whole.match(text):
                made.add(int(found[1], 0))
        for (half, register), lows in halves.items():
            highs = halves.get(("t", register), ()) if half == "w" else ()
            made |= {high << 16 | low for high, low in itertools.product(highs, lows)}
        return made


class RiscV:
    """RV32, compressed instructions too."""

    pointer = 4
    odd = 0
    branch = re.compile(r"(j|jal|jr|jalr|b(eq|ne|lt|ge|gt|le)u?z?)$")
    to_register = re.compile(r"(?!)")
    back = "ra"
    away = re.compile(r"(j|jr|ret)\b")
    trap = re.compile(r"unimp|c\.unimp|ebreak")
    high = re.compile(rf"(lui|auipc)\s+(\w+), {NUMBER}")
    low = re.compile(rf"addi\s+\w+, (\w+), {NUMBER}")

    @classmethod
    def addresses(cls, function):
        """What upper parts in a register, and numbers added to it, can be together."""
        highs, lows = collections.defaultdict(set), collections.defaultdict(set)
        for at, text in function:
            if found := cls.high.match(text):
                base = at if found[1] == "auipc" else 0
                highs[found[2]].add(base + (int(found[3], 0) << 12))
            elif found := cls.low.match(text):
                lows[found[1]].add(int(found[2], 0))
        pairs = (itertools.product(highs[register], lows[register]) for register in [*highs])
        return {high + low & 0xFFFF_FFFF for high, low in itertools.chain(*pairs)}


class Arm64:
    """AArch64. A jump table is a branch to a register like any other here, so that it
    may call what a pointer may."""

    pointer = 8
    odd = 0
    branch = re.compile(r"(b|bl|br|blr|bc?\.\w\w|cbn?z|tbn?z)$")
    to_register = re.compile(r"(?!)")
    back = "x30"
    # Jump tables are offsets, so that anything may lead to a trap.
    away = re.compile(r"(?!)")
    trap = re.compile(r"brk|udf")
    page = re.compile(r"adrp\s+(\w+), 0x([0-9a-f]+)")
    place = re.compile(r"adr\s+\w+, 0x([0-9a-f]+)")
    low = re.compile(rf"add\s+\w+, (\w+), #{NUMBER}$")
    part = re.compile(rf"mov[zk]?\s+\w(\d+), #{NUMBER}(?:, lsl #(\d+))?$")
    whole = re.compile(rf".*\s\.word\s+{NUMBER}")

    @classmethod
    def addresses(cls, function):
        """What pages in a register, and numbers added to it, can be together; places
        relative to the code; numbers below 2^32, whole, of two parts, or amid the code."""
        made = set()
        pages, lows = collections.defaultdict(set), collections.defaultdict(set)
        halves = collections.defaultdict(lambda: ({0}, {0}))
        for _, text in function:
            if found := cls.page.match(text):
                pages[found[1]].add(int(found[2], 16))
            elif found := cls.place.match(text):
                made.add(int(found[1], 16))
            elif found := cls.low.match(text):
                lows[found[1]].add(int(found[2], 0))
            elif found := cls.part.match(text):
                number = int(found[2], 0) << int(found[3] or 0)
                halves[found[1]][number > 0xFFFF].add(number)
            elif found := cls.whole.match(text):
                made.add(int(found[1], 0))
        for register, bases in pages.items():
            made |= {base + low for base, low in itertools.product(bases, lows[register])}
        for low, high in halves.values():
            made |= {low | high for low, high in itertools.product(low, high)}
        return made


MACHINES = {
    "elf32-littlearm": Arm,
    "elf32-littleriscv": RiscV,
    "elf64-littleaarch64": Arm64,
}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def words_of(llvm, program, size):
    """The words of constants and data, of so many bytes."""
    sections = SECTION.findall(output(f"{llvm}/llvm-objdump", "-h", program))
    sections = [f"--section={name}" for name in sections if name != VECTORS]
    words = collections.defaultdict(int)
    for line in output(f"{llvm}/llvm-objdump", "-s", *sections, program).splitlines():
        if found := re.match(r" ([0-9a-f]+) ((?:[0-9a-f]{8} )+)", line):
            for at, four in enumerate(found[2].split()):
                place = int(found[1], 16) + 4 * at
                number = int.from_bytes(bytes.fromhex(four), "little")
                words[place // size] |= number << 8 * (place % size)
    return {*words.values()}


def named(llvm, program, odd, addresses):
    """The functions that have one of the addresses and may be called by it."""
    functions = {}
    for line in output(f"{llvm}/llvm-nm", "-C", program).splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            functions[int(address, 16) | odd] = name
    found = {functions[address] for address in addresses & functions.keys()}
    return {name for name in found if not NOT_CALLED.match(name)}


def functions_of(text):
    """By function, its instructions with their addresses."""
    functions, here = {}, None
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            here = functions.setdefault(found[2], [])
        elif here is not None and (found := INSTRUCTION.match(line)):
            here.append((int(found[1], 16), found[2]))
    return functions


def calls_of(machine, name, instructions, words):
    """Each call's target, `None` where a register says it; a trap is one too, unless
    nothing leads to it. `words`: those in constants and data, jump tables among them."""
    places = {int(place, 16) for _, text in instructions for place in PLACE.findall(text)}
    before = ""
    for at, text in instructions:
        operation, _, operands = text.replace("\t", " ").partition(" ")
        operands = operands.strip()
        if machine.trap.match(operation):
            if at in places or at in words or not machine.away.match(before):
                yield operation
            # Behind a trap nothing goes on either.
            continue
        before = text
        if machine.branch.match(operation):
            target = TARGET.search(operands)
            if target and target[1] != name:
                yield target[1]
            elif not target and operands != machine.back:
                yield None
        elif machine.to_register.match(text):
            yield None


def closure(edges, start):
    seen, todo = set(start), list(start)
    while todo:
        for target in edges.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def panics_of(machine, calls):
    """What a panic is, by name; nothing if there is no panic handler."""
    callers = collections.defaultdict(set)
    for caller, targets in calls.items():
        for target in targets:
            callers[target].add(caller)
    handlers = {name for name in calls if HANDLER in name}
    before = {name for name in closure(callers, handlers) if name and name.startswith("core::")}
    traps = {name for name in callers if name and machine.trap.fullmatch(name)}
    return handlers and handlers | before | traps


def main(llvm, program, function):
    text = output(f"{llvm}/llvm-objdump", "-d", "-C", "--no-show-raw-insn", program)
    form = FORMAT.search(text)
    machine = MACHINES.get(form and form[1])
    if not machine:
        sys.exit(f"{program}: {form and form[1]} is none of {', '.join(MACHINES)}")
    functions = functions_of(text)
    made = set().union(*map(machine.addresses, functions.values()))
    words = words_of(llvm, program, machine.pointer)
    calls = {n: [*calls_of(machine, n, code, words)] for n, code in functions.items()}
    panics = panics_of(machine, calls)
    roots = [name for name in calls if name.startswith(function)]
    if not panics or not roots:
        sys.exit(f"{program}: no function {HANDLER if not panics else function}")

    follow = {name: set() if name in panics else set(to) for name, to in calls.items()}
    follow[None] = named(llvm, program, machine.odd, words | made)
    reached = closure(follow, roots)
    if None in reached and not follow[None]:
        sys.exit(f"{program}: a call through a register, and no pointer that it could take")
    reached -= panics | {None}
    sites = collections.defaultdict(collections.Counter)
    for name in reached:
        for target in calls.get(name, ()):
            if target in panics:
                sites[name][target] += 1
    if sites:
        print(f"{program}: panics that {function} reaches, by function:", file=sys.stderr)
        for name, found in sorted(sites.items()):
            what = ", ".join(f"{count} {target}" for target, count in sorted(found.items()))
            print(f"  {name}: {what}", file=sys.stderr)
        sys.exit(1)
    unread = [name for name in reached if not functions.get(name)]
    if unread or reached == {*roots}:
        sys.exit(f"{program}: nothing read of {', '.join(unread) or 'what ' + function + ' calls'}")
    instructions = sum(len(functions[name]) for name in reached)
    print(
        f"{len(reached)} functions, {instructions} instructions from {function} on: "
        "none refers to a panic"
    )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
