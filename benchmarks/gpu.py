"""Every figure that needs a GPU, in under 9 minutes, from a bare checkout.

    python benchmarks/gpu.py --output results [--reference DIR] [--root horse2zebra] [--budget 520]

To be importable: torch, torchvision, numpy, Pillow; accelerate, tensorboard, jsonargparse (with docstring-parser and
typeshed-client), safetensors, cv2 (opencv-python-headless), pyyaml, tqdm, filelock, psutil, tifffile; for the training
also albumentations with albucore, pydantic and scipy. DIR is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, which
takes the same steps at its own defaults (it needs no more).

What is measured, in this order, until the budget ends: the hardware's ceilings; CycleGAN at 256 pixels, ResNet of 9
blocks, identity loss, for several batches, and compiled at the best; the same at batch 1 beside the reference; pix2pix
likewise; float32 beside bf16 and the memory that gradient checkpointing saves; and `quagga train` for as long as is
left. A part that fails says so and the rest goes on. In the folder: gpu.txt, written line by line, and a sheet of
samples. `--device cpu --small` goes through all of it in minutes with networks of a few channels, to show that it runs;
there nothing is compiled, which takes a CPU longer than all the rest.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a bare checkout

import torch  # noqa: E402
from stepping import Failed, Setting, Subject, copy_rate, matrix_rate  # noqa: E402
from train_step import Rates, by_turns, machine, ratio, setting_of, tera  # noqa: E402

from quagga.pipelines.run import has_bf16  # noqa: E402

SCHEDULE = 266_800  # pairs: 200 epochs of horse2zebra
PROMISED = {"cyclegan": 150.0, "pix2pix": 1500.0}  # pairs/s, 256x256, best batch, on an H200
SHARE = 0.35  # of a matrix product's rate: CycleGAN
TIMES = 3.0  # as fast as the reference at batch 1: CycleGAN
MINUTES = 30.0  # for the whole schedule of horse2zebra
UNKNOWN = Rates(float("nan"), float("nan"))
GAINED = 1.03  # a larger batch is tried as long as it gives so many times the pairs/s


@dataclass
class Scale:
    """How large everything is.

    Args:
        size: pixels a side.
        width: channels after a generator's first layer.
        batches: that are tried of each pipeline.
        steps: between two looks at the clock.
        turns: of a comparison.
        build: further options of CycleGAN.
        longest: seconds that one answer may take; compiling is the longest.
        training: seconds that are kept for the training.
        longest_training: seconds; else it takes what is left.
    """

    size: int = 256
    width: int = 64
    batches: dict[str, Sequence[int]] = field(
        default_factory=lambda: {"cyclegan": (1, 4, 8, 16, 32, 64), "pix2pix": (1, 16, 64, 128, 256)}
    )
    steps: int = 10
    turns: int = 5
    build: dict[str, int] = field(default_factory=lambda: {"blocks": 9})
    longest: float = 180
    training: float = 150
    longest_training: float = inf


SMALL = Scale(
    size=32,
    width=4,
    batches={"cyclegan": (1, 2), "pix2pix": (2, 4)},
    steps=1,
    turns=1,
    build={"blocks": 1, "layers": 1, "width_discriminator": 4},
    longest=600,
    training=30,
    longest_training=25,
)


@dataclass
class Bench:
    """What the parts share: how large, where, the ceilings, and what was best."""

    scale: Scale
    device: str
    reference: Path | None
    root: Path | None
    output: Path
    until: float  # when all must be over, by perf_counter
    rates: Rates = UNKNOWN
    best: dict[str, int] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds."""
        return self.until - perf_counter()

    def verdict(self, said: str, reached: float, promised: float) -> str:
        """A figure beside its promise, which is one for the full size alone."""
        if self.scale is SMALL:
            return f"{said}; too small for a promise"
        return f"{said}; promise (H200): at least {promised:g}, {'kept' if reached >= promised else 'NOT KEPT'}"

    def setting(self, pipeline: str) -> Setting:
        """In bf16 where there is hardware for it, eager."""
        precision = "bf16" if has_bf16(self.device.startswith("cuda")) else "no"
        build = self.scale.build if pipeline == "cyclegan" else {}
        return Setting(
            pipeline,
            size=self.scale.size,
            width=self.scale.width,
            device=self.device,
            precision=precision,
            build=dict(build),
        )

    def subject(self, setting: Setting) -> Subject:
        """Which answers, or is ended while there is time for the training."""
        return Subject(setting, self.scale.longest, self.until - min(self.scale.training, 60))

    def measured(self, subject: Subject, setting: Setting, operations: float, called: str) -> tuple[float, str]:
        """Pairs/s of a setting, and a line about it. Raises Failed."""
        begin = perf_counter()
        subject.become(setting)
        for _ in range(4):
            subject.milliseconds()
        ready = perf_counter() - begin
        taken = median(subject.milliseconds(self.scale.steps) for _ in range(3))
        rate = 1000 * setting.batch_size / taken
        achieved = rate * operations
        return rate, (
            f"{called:<34}{setting.batch_size:>6}{taken:>10.1f}{rate:>10.4g}{tera(achieved):>9}"
            f"{achieved / self.rates.bf16:>8.1%}{subject.memory():>9.0f}{ready:>9.0f}"
        )


HEAD = f"{'':<34}{'batch':>6}{'ms/step':>10}{'pairs/s':>10}{'TFLOP/s':>9}{'share':>8}{'MiB':>9}{'ready s':>9}"


def ceilings(bench: Bench) -> Iterator[str]:
    bench.rates = Rates(*(matrix_rate(bench.device, dtype) for dtype in (torch.bfloat16, torch.float32)))
    yield f"matrix product: {tera(bench.rates.bf16)} TFLOP/s in bf16, {tera(bench.rates.float32)} in float32"
    copied = copy_rate(bench.device, 1024 if bench.device.startswith("cuda") else 64)
    yield f"copy: {copied / 1e9:.4g} GB/s read and written"
    if bench.device.startswith("cuda"):
        torch.cuda.empty_cache()


def batches(bench: Bench, pipeline: str) -> Iterator[str]:
    """The best batch, eager; then compiled there, which is the figure."""
    base = bench.setting(pipeline)
    with bench.subject(base) as subject:
        operations = subject.flops_of_a_row()
        yield f"{tera(operations)} TFLOP a pair"
        yield HEAD
        best = 0.0
        for batch in bench.scale.batches[pipeline]:
            try:
                rate, line = bench.measured(subject, replace(base, batch_size=batch), operations, "eager")
            except Failed as error:
                yield f"{'eager':<34}{batch:>6}  {error}"
                break
            yield line
            gained, best = rate >= GAINED * best, max(best, rate)
            if rate == best:
                bench.best[pipeline] = batch
            if not gained:
                break
        top = replace(base, batch_size=bench.best[pipeline])
        yield bench.measured(subject, replace(top, channels_last=True), operations, "eager, channels-last")[1]
    try:  # a compiler that is missing or hangs leaves what was reached without it
        with bench.subject(top) as subject:
            fast = replace(top, compile=True, channels_last=bench.device.startswith("cuda"))
            rate, line = bench.measured(subject, fast, operations, "compiled")
            yield line
            best = max(best, rate)
    except Failed as error:
        yield f"{'compiled':<34}{top.batch_size:>6}  {error}"
    share = best * operations / bench.rates.bf16
    yield bench.verdict(f"{pipeline}: {best:.4g} pairs/s", best, PROMISED[pipeline])
    if pipeline == "cyclegan":
        yield bench.verdict(f"{pipeline}: {share:.1%} of the matrix product's rate", share, SHARE)


def beside_the_reference(bench: Bench, pipeline: str) -> Iterator[str]:
    """Batch 1: as the paper, as `quagga train` plays, and the reference at its defaults."""
    base = replace(bench.setting(pipeline), precision="no")
    settings = {mode: setting_of(mode, base, 1) for mode in ("paper", "default")}
    if bench.reference:
        settings["reference"] = replace(base, reference=bench.reference, build={})
    subjects: dict[str, Subject] = {}
    try:
        for name, setting in settings.items():
            subjects[name] = bench.subject(setting)
        times, failed = by_turns(subjects, bench.scale.turns, warmup=4, steps=bench.scale.steps)
    finally:
        for subject in subjects.values():
            subject.end()
    for name, taken in times.items():
        yield f"{name:<12}{median(taken):>9.1f} ms/step{1000 / median(taken):>10.4g} pairs/s"
    for name, why in failed.items():
        yield f"{name:<12}{why}"
    for name in [name for name in times if name != "reference" and "reference" in times]:
        yield ratio(name, times[name], times["reference"], None)
    if pipeline == "cyclegan" and {"default", "reference"} <= times.keys():
        reached = median(b / a for a, b in zip(times["default"], times["reference"], strict=True))
        yield bench.verdict(f"{pipeline} at batch 1: {reached:.2f} x as fast as the reference", reached, TIMES)


def variants(bench: Bench, pipeline: str = "cyclegan") -> Iterator[str]:
    """At the best batch: float32, and gradient checkpointing."""
    batch = bench.best.get(pipeline, bench.scale.batches[pipeline][0])
    base = replace(bench.setting(pipeline), batch_size=batch)
    ways = {
        "eager, bf16": base,
        "eager, bf16, checkpointing": replace(base, gradient_checkpointing=True),
        "eager, float32": replace(base, precision="no"),
    }
    yield HEAD
    for name, setting in ways.items():
        try:
            with bench.subject(setting) as subject:
                yield bench.measured(subject, setting, subject.flops_of_a_row(), name)[1]
        except Failed as error:
            yield f"{name:<34}{batch:>6}  {error}"


# -- a training --------------------------------------------------------------------------------------------------------


def training(bench: Bench) -> Iterator[str]:
    """`quagga train cyclegan` for what is left of the budget, stopped as by Ctrl-C."""
    scale, batch = bench.scale, bench.best.get("cyclegan", 1)
    with tempfile.TemporaryDirectory() as folder:
        root = bench.root or drawn(Path(folder) / "set", scale.size)
        run = Path(folder) / "run"
        words = ["--root", str(root), "--output", str(run), "--device", bench.device.split(":")[0]]
        words += ["--batch_size", str(batch), "--images", str(SCHEDULE), "--width", str(scale.width)]
        words += ["--crop_size", str(scale.size), "--load_size", str(scale.size * 286 // 256)]
        words += ["--log_every", str(20 * batch), "--save_every", str(SCHEDULE), "--samples", "4", "--examined", "0"]
        words += ["--cache", "ram"]
        words += [word for name, value in scale.build.items() for word in (f"--{name}", str(value))]
        seconds = min(scale.longest_training, bench.left() - 25)  # to save, and to read what was written
        yield f"quagga train cyclegan {' '.join(words[4:])}, for {seconds:.0f} s"
        yield from played(words, seconds)
        yield from curves(run)
        sheets = sorted((run / "samples").glob("*.png"), key=lambda path: path.stat().st_mtime)
        if sheets:
            shutil.copy(sheets[-1], bench.output / "samples.png")
            yield f"{sheets[-1].name} is kept as samples.png"


def drawn(folder: Path, size: int) -> Path:
    from quagga.data import embedded

    return embedded.write(folder, train=64 if size > 64 else 8, test=4, size=size)


def played(words: Sequence[str], seconds: float) -> Iterator[str]:
    """Trains for so many seconds; yields what the training said last, if it did not go on until it was stopped."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "quagga", "train", "cyclegan", *words]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stdout=said, stderr=said)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                yield "it had not stopped 20 s after Ctrl-C"
        said.seek(0)
        if process.returncode not in (130, 0, -signal.SIGKILL):
            yield from said.read().splitlines()[-12:]


def curves(run: Path) -> Iterator[str]:
    """What TensorBoard's file says of the speed."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    speed, waits = (events.Scalars(f"speed/{name}") for name in ("images_per_second", "seconds_waiting_for_data"))
    settled = len(speed) // 2  # the first points hold the compiling
    rate = median(point.value for point in speed[settled:])
    images = speed[-1].step - (speed[settled - 1].step if settled else 0)
    waited = sum(point.value for point in waits[settled:]) * rate / images
    yield f"{speed[-1].step:,} pairs, {rate:.4g} pairs/s; {waited:.1%} of the time waited for data"
    if settled:
        seconds = speed[-1].wall_time - speed[settled - 1].wall_time
        yield f"with strips, readings and all: {images / seconds:.4g} pairs/s"
    minutes = SCHEDULE / rate / 60
    kept = "kept" if minutes <= MINUTES else "NOT KEPT"
    yield f"{SCHEDULE:,} pairs would take {minutes:.1f} minutes; promise (H200): at most {MINUTES:g}, {kept}"


# -- all of it ---------------------------------------------------------------------------------------------------------


def guarded(title: str, bench: Bench, part: Callable[[], Iterable[str]], needs: float = 0) -> Iterator[str]:
    """The lines of a part; one line instead of its failure. needs: seconds without which it is not begun."""
    begin = perf_counter()
    yield ""
    yield f"== {title}"
    if bench.left() < needs:
        yield f"left out: {bench.left():.0f} s are left of the budget, and it needs {needs:.0f}"
        return
    try:
        yield from part()
    except Exception as error:  # whatever it is, the other parts are to be measured
        yield f"failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
    yield f"({perf_counter() - begin:.0f} s)"


def report(bench: Bench) -> Iterator[str]:
    size, kept = bench.scale.size, bench.scale.training
    yield f"Training on a GPU: {size}x{size}, width {bench.scale.width}"
    yield machine(bench.device)
    yield from guarded("ceilings", bench, lambda: ceilings(bench))
    yield from guarded("CycleGAN, ResNet, identity loss", bench, lambda: batches(bench, "cyclegan"), kept + 40)
    yield from guarded("CycleGAN at batch 1", bench, lambda: beside_the_reference(bench, "cyclegan"), kept + 40)
    yield from guarded("pix2pix, U-Net", bench, lambda: batches(bench, "pix2pix"), kept + 40)
    yield from guarded("pix2pix at batch 1", bench, lambda: beside_the_reference(bench, "pix2pix"), kept + 30)
    yield from guarded("precision and memory, CycleGAN", bench, lambda: variants(bench), kept + 30)
    yield from guarded("a training", bench, lambda: training(bench), min(kept, 60))


def main() -> None:
    begin = perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for gpu.txt and samples.png")
    parser.add_argument("--reference", type=Path, help="checkout of the reference implementation")
    parser.add_argument("--root", type=Path, help="folder with trainA, trainB; the embedded set where it is left out")
    parser.add_argument("--budget", type=float, default=520, help="seconds, in which all is over")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a few channels and pixels, to show that it runs")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.small:
        os.environ["TORCHDYNAMO_DISABLE"] = (
            "1"  # heeded by the subjects, in whose processes torch is yet to be imported
        )
    bench = Bench(
        SMALL if arguments.small else Scale(),
        arguments.device,
        arguments.reference,
        arguments.root,
        arguments.output,
        begin + arguments.budget,
    )
    with (arguments.output / "gpu.txt").open("w") as file:
        for line in report(bench):
            print(line, flush=True)
            print(line, file=file, flush=True)


if __name__ == "__main__":
    main()
