#!/usr/bin/env python3
"""Our trainer against PyTorch: one quantization-aware step of MobileNetV1.

    python3 benches/compare/trainer.py [--width 50] [--side 32] [--stem 1]
                                       [--batch 64] [--threads 2] [--rounds 15]

Builds `trainer_step`, loads its weights and batch into the same network written
for PyTorch, demands that loss and gradients agree, then times whole steps (forward,
loss, backward, AdamW) of both in turn and prints medians and their ratio. Wants
PyTorch; without it, it says so and ends with status 2.

A sign or a rounding that falls differently because of the last bit of a float
changes everything above it, in PyTorch's own two layouts as well. So the gradients
are compared with our signs and roundings put in place of PyTorch's, in float64
there, and the share of those that it alone decides alike is printed.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit("trainer.py: NOT RUN: PyTorch is not installed (pip install torch)") or sys.exit(2)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
BLOCKS += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]


class Sign(torch.autograd.Function):
    """Forward sign (0 is +1), backward the piecewise quadratic's slope."""

    @staticmethod
    def forward(ctx, u, decisions):
        ctx.save_for_backward(u)
        sign = torch.where(u >= 0, u.new_ones(()), -u.new_ones(()))
        return decisions.take(sign) if decisions else sign

    @staticmethod
    def backward(ctx, d):
        (u,) = ctx.saved_tensors
        return d * (2 - 2 * u.abs()).clamp_(min=0), None


class Narrow(torch.autograd.Function):
    """The 8-bit reading of a stream, gradient inside the range."""

    @staticmethod
    def forward(ctx, x, unit, decisions):
        level = torch.floor_(x * unit + 0.5)
        ctx.save_for_backward((level >= -128) & (level <= 127))
        narrow = level.clamp_(-128, 127).mul_(1 / unit)
        return decisions.take(narrow) if decisions else narrow

    @staticmethod
    def backward(ctx, d):
        (inside,) = ctx.saved_tensors
        return d * inside, None, None


class Int8(torch.autograd.Function):
    """Weights rounded to 255 levels per output channel or in all."""

    @staticmethod
    def forward(ctx, w, per_tensor):
        scale = w.abs().max() if per_tensor else w.abs().amax((1, 2, 3), keepdim=True)
        scale = scale / 127
        return (w / scale).round_().mul_(scale)

    @staticmethod
    def backward(ctx, d):
        return d, None


class Binary(torch.autograd.Function):
    """sign(w) times mean |w| per output channel."""

    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        scale = w.abs().mean((1, 2, 3), keepdim=True)
        return torch.where(w >= 0, scale, -scale)

    @staticmethod
    def backward(ctx, d):
        (w,) = ctx.saved_tensors
        return d * (w.abs() <= 1)


class Decisions:
    """Our signs and roundings in the order they are taken."""

    def __init__(self, values):
        self.values, self.at, self.alike, self.all = values, 0, 0, 0

    def take(self, own):
        n, c, h, w = own.shape
        ours = self.values[self.at : self.at + own.numel()].view(n, h, w, c).permute(0, 3, 1, 2)
        self.at += own.numel()
        self.alike += (ours == own).sum().item()
        self.all += own.numel()
        return ours.contiguous(memory_format=torch.channels_last)


class Norm(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gamma = torch.nn.Parameter(torch.ones(c))
        self.beta = torch.nn.Parameter(torch.zeros(c))
        self.register_buffer("mean", torch.zeros(c))
        self.register_buffer("var", torch.ones(c))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.var, self.gamma, self.beta, True, 0.1, 1e-5)


class ShiftedPrelu(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.before = torch.nn.Parameter(torch.zeros(c))
        self.slope = torch.nn.Parameter(torch.full((c,), 0.25))
        self.after = torch.nn.Parameter(torch.zeros(c))

    def forward(self, x):
        x = x - self.before.view(1, -1, 1, 1)
        return F.prelu(x, self.slope) + self.after.view(1, -1, 1, 1)


class Weight(torch.nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(*shape))


class Block(torch.nn.Module):
    def __init__(self, c, out, stride):
        super().__init__()
        self.stride, self.repeat = stride, out // c
        self.depthwise = Weight(c, 1, 3, 3)
        self.norm1 = Norm(c)
        self.threshold = torch.nn.Parameter(torch.zeros(c))
        self.pointwise = Weight(out, c, 1, 1)
        self.norm2 = Norm(out)
        self.prelu = ShiftedPrelu(out)

    def forward(self, x, decisions):
        w = Int8.apply(self.depthwise.weight, False)
        y = F.conv2d(Narrow.apply(x, 16.0, decisions), w, None, self.stride, 1, 1, x.shape[1])
        y = Sign.apply(self.norm1(y) - self.threshold.view(1, -1, 1, 1), decisions)
        y = self.norm2(F.conv2d(y, Binary.apply(self.pointwise.weight)))
        if self.stride == 2:
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        if self.repeat > 1:
            x = torch.cat([x] * self.repeat, 1)
        return self.prelu(y + x)


class Net(torch.nn.Module):
    def __init__(self, width, stem):
        super().__init__()
        c = 32 * width // 100
        self.stride = stem
        self.stem = Weight(c, 3, 3, 3)
        self.stem_norm = Norm(c)
        self.stem_prelu = ShiftedPrelu(c)
        blocks = []
        for out, stride in BLOCKS:
            blocks.append(Block(c, out * width // 100, stride))
            c = out * width // 100
        self.blocks = torch.nn.ModuleList(blocks)
        self.classifier = torch.nn.Linear(c, 100)

    def forward(self, x, decisions=None):
        x = F.conv2d(x, Int8.apply(self.stem.weight, False), None, self.stride, 1)
        x = self.stem_prelu(self.stem_norm(x))
        for block in self.blocks:
            x = block(x, decisions)
        x = x.mean((2, 3))
        return F.linear(x, Int8.apply(self.classifier.weight, True), self.classifier.bias)


def ours_to_torch(name):
    """Our parameter's name in the PyTorch module."""
    name = re.sub(r"^block(\d+)", r"blocks.\1", name)
    return re.sub(r"^stem\.(norm|prelu)", r"stem_\1", name)


class Ours:
    """The `trainer_step` process."""

    def __init__(self, args, folder):
        command = "cargo build --release -q -p bitat-benches --bin trainer_step".split()
        subprocess.run(command, cwd=ROOT, check=True)
        numbers = [args.width, args.side, args.stem, args.batch, args.threads]
        program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/trainer_step"
        self.process = subprocess.Popen(
            [program, folder, *map(str, numbers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.loss = float(self.process.stdout.readline().split()[1])
        self.params, at = {}, 0
        read = lambda what: torch.frombuffer(bytearray((folder / what).read_bytes()), dtype=torch.float32)
        values, gradients, g_at = read("params"), read("gradients"), 0
        for line in (folder / "names").read_text().splitlines():
            name, shape, role = re.match(r"(\S+) \[(.*)\] (\w+)", line).groups()
            shape = [int(s) for s in shape.split(",")]
            size = torch.Size(shape).numel()
            value, at = values[at : at + size].view(shape), at + size
            gradient = None
            if role != "Statistic":
                gradient, g_at = gradients[g_at : g_at + size].view(shape), g_at + size
            self.params[ours_to_torch(name)] = (value, gradient)
        side = args.side
        self.images = read("images").view(args.batch, side, side, 3).permute(0, 3, 1, 2)
        self.labels = read("labels").long()
        self.decisions = read("decisions")

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def step(self, count):
        self.command(f"step {count}")
        return [float(t) / 1000 for t in self.process.stdout.readline().split()]

    def cpu(self):
        """Milliseconds of processor time used so far (Linux; else 0)."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return 0.0
        user, system = stat.read_text().rsplit(")", 1)[1].split()[11:13]
        return 1000 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def profile(self, count):
        self.command(f"profile {count}")
        lines = iter(self.process.stdout.readline, "end\n")
        return "".join(lines)


class Theirs:
    def __init__(self, args, ours, layout, dtype=torch.float32):
        self.net = Net(args.width, args.stem)
        with torch.no_grad():
            state = self.net.state_dict()
            for name, (value, _) in ours.params.items():
                # Ours are [out][ky][kx][in].
                state[name].copy_(value.permute(0, 3, 1, 2) if value.dim() == 4 else value)
        self.net = self.net.to(dtype, memory_format=layout)
        self.images = ours.images.to(dtype).contiguous(memory_format=layout)
        self.labels = ours.labels
        self.optimiser = torch.optim.AdamW(self.net.parameters(), 1e-4, weight_decay=0.0, fused=True)

    def gradients(self, decisions=None):
        self.optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.net(self.images, decisions), self.labels)
        loss.backward()
        return loss

    def step(self, count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self.gradients()
            self.optimiser.step()
            with torch.no_grad():
                for block in self.net.blocks:
                    block.pointwise.weight.clamp_(-1, 1)
                    block.prelu.slope.clamp_(-0.999, 0.999)
            times.append(1000 * (time.perf_counter() - start))
        return times

    def cpu(self):
        return 1000 * time.process_time()

    def check(self, ours):
        """Largest relative difference of loss and gradients from ours, where, and the
        share of signs and roundings alike."""
        decisions = Decisions(ours.decisions.double())
        loss = self.gradients(decisions).item()
        assert decisions.at == len(ours.decisions)
        worst = abs(loss - ours.loss) / abs(loss)
        where = "loss"
        size = max(p.grad.abs().max().item() for p in self.net.parameters())
        for name, parameter in self.net.named_parameters():
            gradient = ours.params[name][1]
            gradient = gradient.permute(0, 3, 1, 2) if gradient.dim() == 4 else gradient
            # A bias before a batch norm has gradient 0 but for rounding.
            scale = max(parameter.grad.norm().item(), 1e-4 * size)
            error = (parameter.grad - gradient).norm().item() / scale
            if error > worst:
                worst, where = error, name
        return worst, where, decisions.alike / decisions.all


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in [("width", 50), ("side", 32), ("stem", 1), ("batch", 64), ("threads", 2), ("rounds", 15)]:
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--profile", action="store_true", help="print where our time goes, with its share of the machine's limits")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(args, pathlib.Path(folder))
        layouts = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}
        theirs = {name: Theirs(args, ours, layout) for name, layout in layouts.items()}
        print(
            f"MobileNetV1 {args.width / 100} at {args.side}x{args.side}, stem stride {args.stem},"
            f" batch {args.batch}, {args.threads} threads, PyTorch {torch.__version__}"
        )
        for name, layout in layouts.items():
            worst, where, alike = Theirs(args, ours, layout, torch.float64).check(ours)
            print(f"agreement with {name}: largest relative difference {worst:.1e} ({where}),", end=" ")
            print(f"{100 * alike:.4f} % of signs and roundings alike")
            if worst > 1e-4:
                sys.exit("loss or gradients differ: not compared")
        runs = {"bitat": ours, **theirs}
        times, busy = {name: [] for name in runs}, dict.fromkeys(runs, 0.0)
        for run in runs.values():
            run.step(3)
        for _ in range(args.rounds):
            for name, run in runs.items():
                start = run.cpu()
                times[name] += run.step(2)
                busy[name] += (run.cpu() - start) / (2 * args.rounds)
        medians = {name: statistics.median(t) for name, t in times.items()}
        for name, t in times.items():
            print(f"{name:>14}: median {medians[name]:7.1f} ms, minimum {min(t):7.1f} ms,", end=" ")
            print(f"processor time {busy[name]:7.1f} ms per step")
        for name in theirs:
            ratio = medians[name] / medians["bitat"]
            low = min(times[name]) / min(times["bitat"])
            cpu = busy[name] / busy["bitat"] if busy["bitat"] else float("nan")
            print(f"PyTorch {name} / bitat: {ratio:.2f} (medians), {low:.2f} (minima), {cpu:.2f} (processor)")
        load = os.getloadavg()[0]
        print(f"load of the machine {load:.1f}: above the {args.threads} threads used, only minima say much")
        if args.profile:
            print(ours.profile(20), end="")
        ours.process.stdin.close()
        ours.process.wait()


if __name__ == "__main__":
    main()
