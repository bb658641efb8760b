"""Which loops of a program were executed how often, from its machine code and the
executions of its blocks (`blocks.c`). Nothing is guessed from names: the loops are the
natural loops of each function's control flow, as far as it was executed.
"""
import bisect
import collections
import json
import re
import subprocess

LLVM = "/usr/lib/llvm-22/bin/"
# What ends a block; a call does not.
CONDITIONAL = re.compile(r"b\.\w+|cbn?z|tbn?z")
ENDS = re.compile(r"b|br|ret|" + CONDITIONAL.pattern)
# An operand in a vector register.
SIMD = re.compile(r"\b(?:v\d+\.|[qdshb]\d+\b)")
# Lanes of an instruction that multiplies and adds in 8 or 16 bits.
PRODUCTS = re.compile(r"(?:[su]mlal2?|[su]mull2?|mla|mul)\tv\d+\.(\d+)[hs]")

Instruction = collections.namedtuple("Instruction", "address name text")


def tool(name, *arguments, **options):
    """What one of LLVM's tools prints."""
    command = [LLVM + name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Program:
    """A program's functions."""

    def __init__(self, path):
        self.path = str(path)
        self.symbols = []
        for line in tool("llvm-nm", "--defined-only", "--print-size", self.path).splitlines():
            fields = line.split()
            if len(fields) == 4 and fields[2] in "tTwW":
                self.symbols.append((int(fields[0], 16), int(fields[1], 16), fields[3]))
        self.symbols.sort()
        self.starts = [start for start, _, _ in self.symbols]
        names = "\n".join(name for _, _, name in self.symbols)
        self.names = dict(zip(names.split("\n"), tool("llvm-cxxfilt", input=names).split("\n")))
        header = tool("llvm-readelf", "-h", self.path)
        self.entry = int(re.search(r"Entry point address:\s*(\S+)", header)[1], 16)
        self.code = {}

    def executions(self, report):
        """Executions per address of an instruction, from the plugin's file: where the
        emulator loaded the program elsewhere, its entry tells how far away."""
        lines = report.read_text().splitlines()
        moved = int(lines[0], 16) - self.entry
        counts = collections.Counter()
        for line in lines[1:]:
            address, instructions, times, _ = line.split()
            first = int(address, 16) - moved
            for i in range(int(instructions)):
                counts[first + 4 * i] += int(times)
        return counts

    def symbol(self, address):
        """The function at an address."""
        at = bisect.bisect(self.starts, address) - 1
        if at >= 0:
            start, size, name = self.symbols[at]
            if address < start + size:
                return name
        return None

    def functions(self, counts, wanted):
        """Executed functions whose readable name is `wanted`, and what was executed in
        each."""
        found = collections.defaultdict(dict)
        for address, times in counts.items():
            name = self.symbol(address)
            if times and name and wanted(self.names[name]):
                found[name][address] = times
        self.disassemble(found)
        return {name: Function(self, name, times) for name, times in found.items()}

    def places(self, addresses):
        """By address, the source's functions there, innermost first, each with its file;
        none where the program has no line tables."""
        if not addresses:
            return {}
        text = tool("llvm-symbolizer", "--obj=" + self.path, "--output-style=JSON",
                    *map(hex, addresses))
        return {int(found["Address"], 16): [(frame["FileName"], frame["FunctionName"])
                                            for frame in found.get("Symbol", [])]
                for found in json.loads(text)}

    def disassemble(self, names):
        names = [name for name in names if name not in self.code]
        if not names:
            return
        text = tool("llvm-objdump", "-d", "--no-show-raw-insn", "--no-print-imm-hex",
                    "--disassemble-symbols=" + ",".join(names), self.path)
        code = None
        for line in text.splitlines():
            if title := re.match(r"[0-9a-f]+ <(.*)>:$", line):
                code = self.code.setdefault(title[1], [])
            elif found := re.match(r"\s*([0-9a-f]+):\s+(\S+)(.*)", line):
                address, name, rest = found.groups()
                rest = rest.split("//")[0].strip()
                code.append(Instruction(int(address, 16), name, f"{name}\t{rest}"))


class Loop:
    """One way round: the instructions in the order in which they are executed, and how
    often. The function itself counts as the outermost one."""

    def __init__(self, function, header, path, times):
        self.function, self.header, self.path, self.times = function, header, path, times

    @property
    def executed(self):
        return len(self.path) * self.times

    def topic(self):
        """What most of its instructions come from: file and function of the algorithm,
        below which are only single operations."""
        frames = self.function.program.places([i.address for i in self.path]).values()
        found = collections.Counter()
        for stack in frames:
            for file, name in stack:
                file = re.search(r"(?:generic|passes)/(\w+)\.rs$|(\w+_pass)\.rs$", file)
                if file and file[0] != "generic/lanes.rs":
                    found[f"{file[1] or file[2]}::{name.split('<')[0].split('::')[-1]}"] += 1
                    break
        return found.most_common(1)[0][0] if found else ""

    def simd(self):
        """Arithmetic instructions on vectors, and their loads and stores."""
        vector = [i for i in self.path if SIMD.search(i.text)]
        moves = [i for i in vector if i.name.startswith(("ld", "st"))]
        return len(vector) - len(moves), len(moves)

    def products(self):
        """Binary and 8-bit multiply-accumulates: `cnt` counts a byte's differing bits."""
        binary = sum(128 if ".16b" in i.text else 64 for i in self.path if i.name == "cnt")
        lanes = (PRODUCTS.match(i.text) for i in self.path)
        dots = sum(16 for i in self.path if i.name == "sdot")
        return binary, dots + sum(int(found[1]) for found in lanes if found)

    def assembly(self):
        """For the scheduling model. It knows no calls, and wants labels as targets."""
        lines = []
        for i in self.path:
            if i.name in ("bl", "blr", "ret"):
                continue
            text = re.sub(r"(#?-?\b0x[0-9a-f]+ )?<[^>]*>", "target", i.text)
            lines.append(text)
        return lines


class Function:
    """The executed part of a function as blocks, and its loops."""

    def __init__(self, program, name, times):
        self.program, self.symbol, self.name = program, name, program.names[name]
        self.times = times
        self.executed = sum(times.values())
        code = [i for i in program.code[name] if times.get(i.address)]
        inside = {i.address for i in code}
        leaders, after = {code[0].address}, False
        for previous, i in zip([None, *code], code):
            target = self.target(i)
            if target in inside:
                leaders.add(target)
            if after or (previous and previous.address + 4 != i.address):
                leaders.add(i.address)
            after = bool(ENDS.fullmatch(i.name))
        self.blocks = {}
        for i in code:
            if i.address in leaders:
                block = self.blocks[i.address] = []
            block.append(i)
        self.entry = code[0].address
        self.next = {at: self.successors(block) for at, block in self.blocks.items()}

    @staticmethod
    def target(i):
        """Where a branch goes to."""
        if ENDS.fullmatch(i.name):
            found = re.search(r"0x([0-9a-f]+)", i.text)
            return int(found[1], 16) if found else None
        return None

    def successors(self, block):
        last = block[-1]
        found = [self.target(last)]
        if not ENDS.fullmatch(last.name) or CONDITIONAL.fullmatch(last.name):
            found.append(last.address + 4)
        return [at for at in found if at in self.blocks]

    def order(self):
        """Blocks so that each comes after those that lead to it, but for loops."""
        seen, finished = set(), []
        # What only a jump through a register reaches starts anew.
        for root in [self.entry, *self.blocks]:
            if root in seen:
                continue
            seen.add(root)
            stack = [(root, iter(self.next[root]))]
            while stack:
                at, rest = stack[-1]
                for successor in rest:
                    if successor not in seen:
                        seen.add(successor)
                        stack.append((successor, iter(self.next[successor])))
                        break
                else:
                    finished.append(at)
                    stack.pop()
        return finished[::-1]

    def dominators(self, order):
        """The blocks that every way to a block passes, by block."""
        before = collections.defaultdict(list)
        for at, successors in self.next.items():
            for successor in successors:
                before[successor].append(at)
        everything = set(order)
        dominators = {at: everything for at in order}
        changed = True
        while changed:
            changed = False
            for at in order:
                ways = [dominators[b] for b in before[at]]
                new = {at} | (set.intersection(*ways) if ways and at != self.entry else set())
                if new != dominators[at]:
                    dominators[at], changed = new, True
        return dominators, before

    def loops(self):
        """Every loop, without those inside it. A block that was executed in less than
        half of its loop's rounds is left out."""
        order = self.order()
        dominators, before = self.dominators(order)
        bodies = {self.entry: set(order)} if self.entry in order else {}
        for at in order:
            for header in self.next[at]:
                if header in dominators[at]:
                    body = bodies.setdefault(header, {header})
                    stack = [at]
                    while stack:
                        block = stack.pop()
                        if block not in body:
                            body.add(block)
                            stack.extend(before[block])
        innermost = {}
        for header in sorted(bodies, key=lambda header: -len(bodies[header])):
            for block in bodies[header]:
                innermost[block] = header
        loops = []
        for header in bodies:
            rounds = self.times[header]
            own = [at for at in order if innermost[at] == header]
            path = [i for at in own if 2 * self.times[at] >= rounds for i in self.blocks[at]]
            loops.append(Loop(self, header, path, rounds))
        return loops
