#!/usr/bin/env python3
"""How deep a function of a linked Cortex-M program goes into the stack.

Adds the frames along the deepest chain of calls from the function. Fails, and says the
chain, where that is more than LIMIT bytes; fails too where the depth cannot be known
from the instructions: a recursion, or a call to nowhere. Panics are not followed: they
do not come back. A call through a register may go where no_panic.py says.

    .ci/stack.py LLVM PROGRAM FUNCTION LIMIT

LLVM: the folder of llvm-objdump and llvm-readobj. PROGRAM: built with
-Zemit-stack-sizes. FUNCTION: its name.
"""

import json
import re
import sys

from no_panic import FORMAT, MACHINES, calls_of, functions_of, named, output, panics_of, words_of


def frames_of(llvm, program):
    """By function, bytes of its frame."""
    text = output(f"{llvm}/llvm-readobj", "--stack-sizes", "--elf-output-style=JSON", "-C", program)
    entries = [entry["Entry"] for entry in json.loads(text)[0]["StackSizes"]]
    frames = {}
    for entry in entries:
        for name in entry["Functions"]:
            # Two functions may share a name.
            frames[name] = max(entry["Size"], frames.get(name, 0))
    return frames


def pushed(code):
    """The frame of a function that is none of the compiler's, by its instructions."""
    size = 0
    for _, text in code:
        if found := re.match(r"push\S*\s+{(.*)}", text):
            size += 4 * len(found[1].split(","))
        elif found := re.match(r"sub\S*\s+sp, (?:sp, )?#(\w+)", text):
            size += int(found[1], 0)
    return size


def main(llvm, program, function, limit):
    text = output(f"{llvm}/llvm-objdump", "-d", "-C", "--no-show-raw-insn", program)
    machine = MACHINES[FORMAT.search(text)[1]]
    functions = functions_of(text)
    made = set().union(*map(machine.addresses, functions.values()))
    anywhere = named(llvm, program, machine.odd, words_of(llvm, program, machine.pointer) | made)
    calls = {}
    for name, code in functions.items():
        # What a linker fills a gap with reads as one, and no function ends so.
        while code and code[-1][1].startswith("bmi"):
            code.pop()
        targets = {*calls_of(machine, name, code, set())}
        calls[name] = targets - {None} | (anywhere if None in targets else set())
    frames = {name: pushed(code) for name, code in functions.items()}
    frames |= frames_of(llvm, program)
    panics = panics_of(machine, calls)
    known = {}

    def deepest(name, above):
        """Bytes, and the chain of functions that takes them."""
        if name in above:
            sys.exit(f"{program}: {name} calls itself")
        if name not in calls:
            sys.exit(f"{program}: {above} calls {name}, of which nothing is known")
        if name not in known:
            below = [deepest(to, [*above, name]) for to in calls[name] - panics]
            size, chain = max(below, default=(0, []))
            known[name] = size + frames[name], [name, *chain]
        return known[name]

    depth, chain = deepest(function, [])
    for name in chain:
        print(f"{frames[name]:7} {name}")
    print(f"{function} goes {depth} bytes deep into the stack")
    if depth > limit:
        sys.exit(f"{program}: that is more than {limit}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:4], int(sys.argv[4]))
