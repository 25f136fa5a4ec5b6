"""Time and memory of one CycleGAN training step: ours and, by turns on the same pictures, the reference's.

    python benchmarks/train_step.py --reference DIR --output benchmarks/results/train_step.txt

DIR is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix (the version of August 2025), which is imported and driven at
its own defaults; nothing of it is kept here. Without `--reference` only our step is measured. The settings are the
paper's: 256x256, batch 1, float32, ResNet of 9 blocks, identity loss, a pool of 50 fakes.

Time: both models live in one process and step by turns, A B, B A, A B, ..., so that whatever else the machine does
falls on both; the ratio is taken pair by pair. Memory: each trains alone in a process of its own, and its highest
resident set counts, with Python and torch in it (on CUDA: the most that tensors took).
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from PIL import Image, ImageOps
from report import processor
from torch import Tensor

Step = Callable[[], object]


def pictures(arguments: argparse.Namespace) -> list[Tensor]:
    """Eight batches (N, 3, H, W) in [-1, 1]: noise, or the first pictures of a folder."""
    size, count = arguments.size, 8 * arguments.batch_size
    if arguments.images is None:
        generator = torch.Generator().manual_seed(0)
        stack = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    else:
        files = sorted(f for f in arguments.images.rglob("*") if f.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
        if not files:
            raise SystemExit(f"{arguments.images} has 0 pictures: expected .jpg, .png or .webp")
        opened = [Image.open(files[n % len(files)]).convert("RGB") for n in range(count)]
        arrays = [np.asarray(ImageOps.fit(picture, (size, size)), dtype=np.float32) for picture in opened]
        stack = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1
    return list(stack.to(arguments.device).split(arguments.batch_size))


def ours(arguments: argparse.Namespace) -> Step:
    """A call of the returned function is one whole step of our trainer."""
    from accelerate import Accelerator

    from quagga.pipelines import cyclegan
    from quagga.pipelines.minimax import Batch, Schedule, Trainer

    data, n = pictures(arguments), arguments.batch_size

    def batches(from_row: int) -> Iterator[Batch]:
        row = from_row
        while True:
            i = row // n
            yield {"x": data[i % 8], "y": data[(i + 1) % 8], "row": torch.arange(row, row + n)}
            row += n

    game = cyclegan.build(width=arguments.width, crop_size=arguments.size)
    endless = 10**9
    accelerator = Accelerator(cpu=arguments.device == "cpu", mixed_precision="no")
    trainer = Trainer(game, Schedule(images=endless, batch_size=n), length=endless, accelerator=accelerator)
    steps = trainer.play(batches)
    return lambda: next(steps)


def reference(arguments: argparse.Namespace) -> Step:
    """A call of the returned function is one pass of the reference's inner loop: set_input, optimize_parameters."""
    data = [{"A": x, "B": y, "A_paths": "", "B_paths": ""} for x, y in paired(pictures(arguments))]
    sys.path.insert(0, str(arguments.reference))
    blocks = "resnet_9blocks" if arguments.size >= 256 else "resnet_6blocks"  # Sec. 7.2, as ours has it
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        argv, sys.argv = sys.argv, ["train.py", "--dataroot", folder, "--checkpoints_dir", folder]
        sys.argv += ["--model", "cycle_gan", "--netG", blocks, "--ngf", str(arguments.width)]
        options = importlib.import_module("options.train_options").TrainOptions().parse()
        sys.argv = argv
        options.device = torch.device(arguments.device)
        model = importlib.import_module("models").create_model(options)
        model.setup(options)
    count = 0

    def step() -> None:
        nonlocal count
        model.set_input(data[count % 8])
        model.optimize_parameters()
        count += 1

    return step


def paired(data: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(data[i], data[(i + 1) % len(data)]) for i in range(len(data))]


SUBJECTS = {"ours": ours, "reference": reference}


def milliseconds(step: Step, device: str) -> float:
    start = perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return 1000 * (perf_counter() - start)


def by_turns(steps: dict[str, Step], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """The times of `--steps` steps of each, after the warm-up; the order turns round after every round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for turn in range(arguments.warmup + arguments.steps):
        for name in order:
            taken = milliseconds(steps[name], arguments.device)
            if turn >= arguments.warmup:
                times[name].append(taken)
        order.reverse()
    return times


def highest_memory(device: str) -> float:
    """MiB: the largest resident set this process ever had, or the most that tensors took on a CUDA device."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def memory_alone(name: str) -> float:
    """MiB one subject needs when it trains alone: this script again, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    return float(result.stdout.split()[-1])


def report(times: dict[str, list[float]], memory: dict[str, float], arguments: argparse.Namespace) -> str:
    device = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else processor()
    lines = [
        f"One CycleGAN training step: {arguments.size}x{arguments.size}, batch {arguments.batch_size}, "
        f"width {arguments.width}, float32, {'noise' if arguments.images is None else 'photographs'}",
        f"{device}, {torch.get_num_threads()} threads; Python {platform.python_version()}, torch {torch.__version__}, "
        f"accelerate {importlib.metadata.version('accelerate')}",
        f"{arguments.steps} steps each after {arguments.warmup} of warm-up, by turns in one process; "
        "memory of each in a process of its own",
        "",
        f"{'':<10}{'median':>9}{'min':>9}{'max':>9}  ms/step{'memory':>10}  MiB",
    ]
    for name, taken in times.items():
        row = f"{name:<10}{median(taken):9.0f}{min(taken):9.0f}{max(taken):9.0f}"
        lines.append(row + (f"{memory[name]:19.0f}" if name in memory else ""))
    if "reference" in times:
        ratios = [a / b for a, b in zip(times["ours"], times["reference"], strict=True)]
        low, high = np.quantile(ratios, [0.25, 0.75])
        verdict = f"ours / reference: time {median(ratios):.3f} (median of pairs; quartiles {low:.3f} to {high:.3f})"
        if memory:
            verdict += f", memory {memory['ours'] / memory['reference']:.3f}"
        lines += ["", verdict]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of one CycleGAN training step.")
    parser.add_argument("--reference", type=Path, help="checkout of the reference implementation")
    parser.add_argument("--images", type=Path, help="folder of pictures; noise where it is left out")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--width", type=int, default=64, help="channels after a generator's first layer")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each")
    parser.add_argument("--warmup", type=int, default=3, help="steps of each before those")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's own choice where it is left out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--measure_memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output", type=Path, help="text file to write the report to as well")
    parser.add_argument("--only", choices=SUBJECTS, help="train one alone and print the MiB it took at most")
    arguments = parser.parse_args()

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.only:
        step = SUBJECTS[arguments.only](arguments)
        for _ in range(arguments.warmup + min(arguments.steps, 5)):  # the peak does not grow after a few steps
            step()
        print(highest_memory(arguments.device))
        return

    names = ["ours", "reference"] if arguments.reference else ["ours"]
    # Memory first: a process started by a large one inherits the large one's highest resident set.
    memory = {name: memory_alone(name) for name in names} if arguments.measure_memory else {}
    times = by_turns({name: SUBJECTS[name](arguments) for name in names}, arguments)
    text = report(times, memory, arguments)
    print(text, end="")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
