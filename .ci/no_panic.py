#!/usr/bin/env python3
"""Whether a function of a linked Arm program can reach a panic.

Follows the calls of the program's instructions from the function. Fails, with their
number by function, if one of the functions reached calls a panic: what is in
core and from which the panic handler can be reached, or the instruction that traps.

A call through a register may go to any function whose address lies in the program's
constants and data (that is how the kernels of an instruction set are called), but
for those that print: a panic's message is all that could.

    .ci/no_panic.py LLVM PROGRAM FUNCTION

LLVM: the folder of llvm-objdump and llvm-nm. FUNCTION: how its name begins.
"""

import collections
import re
import subprocess
import sys

HANDLER = "rust_begin_unwind"
PRINTS = re.compile(r"<?(core::fmt|semihosting)::|__stext")
FUNCTION = re.compile(r"^([0-9a-f]+) <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
TARGET = re.compile(r"0x[0-9a-f]+ <(.*?)(?:\+0x[0-9a-f]+)?>\s*(?:@.*)?$")
# Branches with or without a condition and a width, and those that compare.
CONDITION = "eq|ne|hs|cs|lo|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"
BRANCH = re.compile(rf"^(b(l|lx|x)?({CONDITION})?|cbn?z)(\.[nw])?$")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def pointers_of(llvm, program):
    """The functions whose addresses lie in constants and data."""
    functions = {}
    for line in output(f"{llvm}/llvm-nm", "-C", program).splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            functions[int(address, 16) | 1] = name
    found = set()
    dump = output(f"{llvm}/llvm-objdump", "-s", "-j", ".rodata", "-j", ".data", program)
    for line in dump.splitlines():
        if words := re.match(r" [0-9a-f]+ ((?:[0-9a-f]{8} )+)", line):
            for word in words[1].split():
                found.add(functions.get(int.from_bytes(bytes.fromhex(word), "little")))
    return {name for name in found if name and not PRINTS.match(name)}


def calls_of(llvm, program):
    """By function: each call's target, `None` where a register says it."""
    text = output(f"{llvm}/llvm-objdump", "-d", "-C", "--no-show-raw-insn", program)
    calls, here = {}, None
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            here = found[2]
            calls.setdefault(here, [])
        elif here and (found := INSTRUCTION.match(line)):
            name, operands = found[2], found[3]
            if name.startswith("udf"):
                calls[here].append("udf")
            elif BRANCH.match(name):
                target = TARGET.search(operands)
                if target and target[1] != here:
                    calls[here].append(target[1])
                elif not target and not operands.startswith("lr"):
                    calls[here].append(None)
            elif re.match(r"(ldr|mov|add)\S*$", name) and re.match(r"pc\b", operands):
                calls[here].append(None)
    return calls


def closure(edges, start):
    seen, todo = set(start), list(start)
    while todo:
        for target in edges.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def main(llvm, program, function):
    calls = calls_of(llvm, program)
    handlers = [name for name in calls if HANDLER in name]
    roots = [name for name in calls if name.startswith(function)]
    if not handlers or not roots:
        sys.exit(f"{program}: no function {HANDLER if not handlers else function}")
    callers = collections.defaultdict(set)
    for caller, targets in calls.items():
        for target in targets:
            callers[target].add(caller)
    panics = {name for name in closure(callers, handlers) if name.startswith("core::")}
    panics |= {*handlers, "udf"}

    follow = {name: set() if name in panics else set(to) for name, to in calls.items()}
    follow[None] = pointers_of(llvm, program)
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
    print(f"{len(reached)} functions from {function} on: none refers to a panic")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
