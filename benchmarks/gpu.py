"""Every figure that needs a GPU, in under 9 minutes, from a bare checkout.

    python benchmarks/gpu.py --output results [--reference DIR] [--root horse2zebra] [--budget 520]

To be importable: torch, torchvision, numpy, Pillow; accelerate, tensorboard, jsonargparse (with docstring-parser and
typeshed-client), safetensors, annotated-types, cv2 (opencv-python-headless), pyyaml, tqdm, filelock, psutil, tifffile;
for the training also albumentations with albucore, pydantic and scipy. DIR is a checkout of
junyanz/pytorch-CycleGAN-and-pix2pix, which takes the same steps at its own defaults (it needs no more).

What is measured, in this order: the hardware's ceilings; CycleGAN at 256 pixels, ResNet of 9 blocks, identity loss,
eager at several batches and compiled at the best; pix2pix likewise, and the reference's; CycleGAN at batch 1 beside the
reference; `quagga train`. No part takes the time that those after it need. Where more is left: pix2pix at batch 1;
float32 beside bf16 and the memory that gradient checkpointing saves. A part that fails or is left out says
so and the rest goes on. Ours takes a look at pictures before it is timed, as a run does. In the folder: gpu.txt,
written line by line, and a sheet of samples. `--device cpu --small` goes through all of it in minutes with networks of
a few channels, to show that it runs; there nothing is compiled, which takes a CPU longer than all the rest.

`--recipe` measures something else, in as many minutes: four minutes of `--recipe half-hour` with its sheet and a
judge's figures, the tests that need a GPU, and one process beside two (benchmarks/gpu_recipe.py; it needs the extra
features, and pytest for the tests).
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
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))  # a bare checkout

import torch  # noqa: E402
from stepping import Failed, Setting, Subject, copy_rate, matrix_rate, rounds  # noqa: E402
from train_step import Rates, by_turns, machine, ratio, setting_of, started, tera  # noqa: E402

from quagga.training.hardware.device_setup import has_bf16  # noqa: E402
from quagga.training.intervals import MIN_POINTS, TIME_SHARES  # noqa: E402

SCHEDULE = 266_800  # pairs: 200 epochs of horse2zebra
PROMISED = {"cyclegan": 150.0, "pix2pix": 1500.0}  # pairs/s, 256x256, best batch, on an H200
SHARE = 0.35  # of a matrix product's rate: CycleGAN
TIMES = 3.0  # as fast as the reference at batch 1: CycleGAN
MINUTES = 30.0  # for the whole schedule of horse2zebra
UNKNOWN = Rates(float("nan"), float("nan"))
GAINED = 1.03  # a larger batch is tried as long as it gives so many times the pairs/s
SWEEP = 0.36  # of its time, in which a part tries batches; the rest is for compiling
STRETCH = 1500  # milliseconds
TURNS = 25  # seconds that subjects need to take their turns when all are ready
COMPARING = 12  # seconds that a reference needs that has started
LOOK = 10  # seconds between two looks of a training
STOPPING = 25  # seconds in which a training stops, saves and is read


@dataclass
class Scale:
    """How large everything is.

    Args:
        size: pixels a side.
        width: channels after a generator's first layer.
        batches: that are tried of each pipeline, smallest first, as long as they gain.
        steps: between two looks at the clock; fewer where those take longer than `STRETCH`.
        turns: of a comparison.
        build: further options of CycleGAN.
        training: seconds it is played at most.
    """

    size: int = 256
    width: int = 64
    batches: dict[str, Sequence[int]] = field(
        default_factory=lambda: {"cyclegan": (16, 32, 64), "pix2pix": (64, 128, 256)}
    )
    steps: int = 10
    turns: int = 5
    build: dict[str, int] = field(default_factory=lambda: {"blocks": 9})
    training: float = 120


SMALL = Scale(
    size=128,  # the least that the reference's U-Net takes
    width=4,
    batches={"cyclegan": (1, 2), "pix2pix": (2, 4)},
    steps=1,
    turns=1,
    build={"blocks": 1, "layers": 1, "width_discriminator": 4},
    training=40,
)


@dataclass
class Bench:
    """What the parts share: how large, where, until when, the ceilings, and what was best."""

    scale: Scale
    device: str
    reference: Path | None
    root: Path | None
    output: Path
    until: float  # when all must be over, and within a part when that must be, by perf_counter
    rates: Rates = UNKNOWN
    operations: dict[str, float] = field(default_factory=dict)  # of a pair
    best: dict[str, int] = field(default_factory=dict)  # batch
    reached: dict[str, float] = field(default_factory=dict)  # pairs/s there

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

    def subject(self, setting: Setting, keeping: float = 0) -> Subject:
        """Which answers so many seconds before the part must be over, or is ended."""
        return Subject(setting, until=self.until - keeping)

    def measured(self, subject: Subject, setting: Setting, operations: float, called: str) -> tuple[float, str]:
        """Pairs/s of a setting, and a line about it. Raises Failed."""
        begin = perf_counter()
        subject.become(setting)
        steps = max(2, min(self.scale.steps, round(STRETCH / warm(subject))))
        ready = perf_counter() - begin
        taken = median(subject.milliseconds(steps) for _ in range(3))
        rate = 1000 * setting.batch_size / taken
        achieved = rate * operations
        return rate, (
            f"{called:<34}{setting.batch_size:>6}{taken:>10.1f}{rate:>10.4g}{tera(achieved):>9}"
            f"{achieved / self.rates.bf16:>8.1%}{subject.memory():>9.0f}{ready:>9.0f}"
        )


def warm(subject: Subject) -> float:
    """Steps that compile and search, and, of ours, a look at pictures, as a run goes on after one. Returns a step's
    milliseconds. Raises Failed."""
    subject.milliseconds()
    if not subject.setting.reference:
        subject.look()
    return min(subject.milliseconds() for _ in range(3))


HEAD = f"{'':<34}{'batch':>6}{'ms/step':>10}{'pairs/s':>10}{'TFLOP/s':>9}{'share':>8}{'MiB':>9}{'ready s':>9}"


def ceilings(bench: Bench) -> Iterator[str]:
    bench.rates = Rates(*(matrix_rate(bench.device, dtype) for dtype in (torch.bfloat16, torch.float32)))
    float32 = "float32, as TF32" if rounds(bench.device) else "float32"
    yield f"matrix product: {tera(bench.rates.bf16)} TFLOP/s in bf16, {tera(bench.rates.float32)} in {float32}"
    copied = copy_rate(bench.device, 1024 if bench.device.startswith("cuda") else 64)
    yield f"copy: {copied / 1e9:.4g} GB/s read and written"
    if bench.device.startswith("cuda"):
        torch.cuda.empty_cache()


def beside_the_best(bench: Bench, pipeline: str, theirs: float) -> Iterator[str]:
    """What was reached, where something was, in times of the reference's pairs/s."""
    if pipeline in bench.reached:
        reached = bench.reached[pipeline]
        at = f"{reached:.4g} pairs/s at batch {bench.best[pipeline]}"
        yield f"{pipeline}: {at}, {reached / theirs:.2f} x as many as the reference's {theirs:.4g} at its defaults"


def batches(bench: Bench, pipeline: str, compared: bool = False) -> Iterator[str]:
    """The best batch, eager; then compiled there, which is the figure. compared: with the reference at its defaults,
    which starts while ours does and has its turn when ours is done."""
    base, until = bench.setting(pipeline), perf_counter() + SWEEP * bench.left()
    settings = {"ours": base}
    if compared and bench.reference:
        settings["reference"] = replace(base, precision="no", reference=bench.reference, build={})
    with started(settings, bench.subject) as (subjects, missing):
        if "ours" not in subjects:
            raise Failed(missing["ours"])
        yield from swept(bench, base, subjects["ours"], until, keeping=COMPARING * (len(settings) - 1))
        if "reference" in subjects:
            yield from alone(bench, pipeline, subjects["reference"])
        elif "reference" in missing:
            yield f"reference: {missing['reference']}"


def alone(bench: Bench, pipeline: str, subject: Subject) -> Iterator[str]:
    """The reference at its defaults, which are batch 1 and float32, and what was reached beside it."""
    try:
        warm(subject)
        taken = median(subject.milliseconds(bench.scale.steps) for _ in range(3))
    except Failed as error:
        yield f"reference: {error}"
        return
    yield f"{'reference':<34}{1:>6}{taken:>10.1f}{1000 / taken:>10.4g}"
    yield from beside_the_best(bench, pipeline, 1000 / taken)


def swept(bench: Bench, base: Setting, subject: Subject, until: float, keeping: float) -> Iterator[str]:
    """until: when no further batch is tried. keeping: seconds that are another's."""
    best, pipeline, tried = 0.0, base.pipeline, bench.scale.batches[base.pipeline]
    try:
        operations = bench.operations[pipeline] = subject.flops_of_a_row()
        yield f"{tera(operations)} TFLOP a pair"
        yield HEAD
        subject.until = until
        for batch in tried:
            begin = perf_counter()
            try:
                rate, line = bench.measured(subject, replace(base, batch_size=batch), operations, "eager")
            except Failed as error:
                yield f"{'eager':<34}{batch:>6}  {error}"
                break
            yield line
            gained, best = rate >= GAINED * best, max(best, rate)
            if rate == best:
                bench.best[pipeline] = batch
            if not gained or perf_counter() + 1.5 * (perf_counter() - begin) > until:
                break
        top = bench.best.get(pipeline, tried[0])
        fast = replace(base, batch_size=top, compile=True, channels_last=bench.device.startswith("cuda"))
        try:  # a compiler that is missing or hangs leaves what was reached without it
            if not subject.alive():
                subject = bench.subject(fast, keeping)
            subject.until = bench.until - keeping
            rate, line = bench.measured(subject, fast, operations, "compiled")
            yield line
            best, bench.best[pipeline] = max(best, rate), top
        except Failed as error:
            yield f"{'compiled':<34}{top:>6}  {error}"
    finally:
        subject.end()
    if not best:
        yield f"{pipeline}: not measured, since batch {top} failed both eager and compiled, see above"
        return
    bench.reached[pipeline] = best
    share = best * operations / bench.rates.bf16
    yield bench.verdict(f"{pipeline}: {best:.4g} pairs/s", best, PROMISED[pipeline])
    if pipeline == "cyclegan":
        yield bench.verdict(f"{pipeline}: {share:.1%} of the matrix product's rate", share, SHARE)


def beside_the_reference(bench: Bench, pipeline: str) -> Iterator[str]:
    """Batch 1: as the paper, as `quagga train` plays, and the reference at its defaults. What is compiled comes last
    and has the time that is left; the others' figures do not wait for it."""
    base = replace(bench.setting(pipeline), precision="no")
    settings = {"reference": replace(base, reference=bench.reference, build={})} if bench.reference else {}
    settings |= {mode: setting_of(mode, base, 1) for mode in ("paper", "default")}
    with started(settings, lambda setting: bench.subject(setting, keeping=TURNS)) as (subjects, missing):
        for name in list(subjects):
            try:
                warm(subjects[name])
                subjects[name].until = bench.until
            except Failed as error:
                missing[name] = str(error)
                subjects.pop(name).end()
        times, failed = by_turns(subjects, bench.scale.turns, warmup=1, steps=bench.scale.steps)
    for name, taken in times.items():
        yield f"{name:<12}{median(taken):>9.1f} ms/step{1000 / median(taken):>10.4g} pairs/s"
    for name, why in {**missing, **failed}.items():
        yield f"{name:<12}{why}"
    ours = [name for name in times if name != "reference" and "reference" in times]
    for name in ours:
        yield ratio(name, times[name], times["reference"], None)
    if pipeline == "cyclegan" and "reference" in times:
        yield from beside_the_best(bench, pipeline, 1000 / median(times["reference"]))
    if pipeline == "cyclegan" and ours:
        name = ours[-1]  # default, or what is left of ours
        reached = median(b / a for a, b in zip(times[name], times["reference"], strict=True))
        yield bench.verdict(f"{pipeline} at batch 1, {name}: {reached:.2f} x as fast as the reference", reached, TIMES)
    elif pipeline == "cyclegan":
        yield f"{pipeline} at batch 1: not compared, {'see above' if bench.reference else 'without --reference'}"


def variants(bench: Bench, pipeline: str = "cyclegan") -> Iterator[str]:
    """At the best batch: float32, and gradient checkpointing."""
    batch, operations = bench.best.get(pipeline, 1), bench.operations.get(pipeline, float("nan"))
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
                yield bench.measured(subject, setting, operations, name)[1]
        except Failed as error:
            yield f"{name:<34}{batch:>6}  {error}"


# -- a training --------------------------------------------------------------------------------------------------------


def training(bench: Bench) -> Iterator[str]:
    """`quagga train cyclegan`, stopped as by a launcher. It looks and saves so often that some of it falls into the
    time there is; the schedule is reckoned with the most that looks may take where nobody says how many there are."""
    scale, batch = bench.scale, bench.best.get("cyclegan", 1)
    often = max(20 * batch, round(LOOK * bench.reached.get("cyclegan", 0)))
    with tempfile.TemporaryDirectory() as folder:
        root = bench.root or drawn(Path(folder) / "set", scale.size)
        run = Path(folder) / "run"
        words = ["--root", str(root), "--output", str(run), "--device", bench.device.split(":")[0]]
        words += ["--batch_size", str(batch), "--images", str(SCHEDULE), "--width", str(scale.width)]
        words += ["--crop_size", str(scale.size), "--load_size", str(scale.size * 286 // 256)]
        words += ["--log_every", str(20 * batch), "--sample_every", str(often), "--save_every", str(often)]
        words += ["--cache", "ram"]
        words += [word for name, value in scale.build.items() for word in (f"--{name}", str(value))]
        seconds = min(scale.training, bench.left() - STOPPING)
        yield f"quagga train cyclegan {' '.join(words[4:])}, for {seconds:.0f} s"
        yield from played(words, seconds)
        yield from curves(run, often)
        sheets = sorted((run / "samples").glob("*.png"), key=lambda path: path.stat().st_mtime)
        if sheets:
            shutil.copy(sheets[-1], bench.output / "samples.png")
            yield f"{sheets[-1].name} is kept as samples.png"


def drawn(folder: Path, size: int) -> Path:
    from quagga.data.synthetic import scenes

    return scenes.write(folder, train=64 if size > 64 else 8, test=16 if size > 64 else 4, size=size)


def played(
    words: Sequence[str], seconds: float, pipeline: str = "cyclegan", launcher: Sequence[str] = ()
) -> Iterator[str]:
    """Trains for so many seconds; yields how it ended, if not by being stopped, and what the training said last."""
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, *launcher, "-m", "quagga", "train", pipeline, *words]
    begin = perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stdout=said, stderr=said)
        try:
            process.wait(seconds)
            yield f"it ended by itself after {perf_counter() - begin:.0f} s, exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            process.terminate()  # no Ctrl-C, which nobody hears who was started in the background of a shell
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                yield "it had not stopped 20 s after SIGTERM"
        said.seek(0)
        # A launcher has codes of its own.
        if process.returncode not in (128 + signal.SIGTERM, 0) and not launcher:
            yield from said.read().splitlines()[-12:]


def curves(run: Path, often: int) -> Iterator[str]:
    """What TensorBoard's file says of the speed. often: images from one look to the next."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    names = [f"speed/{name}" for name in ("images_per_second", "seconds_waiting_for_data")]
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    if run.is_dir():
        events.Reload()
    if not run.is_dir() or not set(names) <= set(events.Tags()["scalars"]):
        yield "no rate: the training ended before its first reading"
        return
    speed, waits = map(events.Scalars, names)
    settled = len(speed) // 2  # the first readings hold the compiling
    if not settled:
        yield f"no rate: {speed[0].step:,} pairs, a single reading, which holds the compiling"
        return
    first, last = speed[settled - 1], speed[-1]
    rate = median(point.value for point in speed[settled:])
    waited = sum(point.value for point in waits[settled:]) * rate / (last.step - first.step)
    yield f"{last.step:,} pairs, {rate:.4g} pairs/s between looks; {waited:.1%} of the time waited for data"
    looks = last.step // often - first.step // often
    aside = max(0.0, last.wall_time - first.wall_time - (last.step - first.step) / rate)
    look = aside / looks if looks else 0.0  # more than one takes, as strips are denser at first
    yield f"strips, readings and a checkpoint: {look:.1f} s" if looks else "no look fell into its second half"
    minutes = (SCHEDULE / rate + max(MIN_POINTS * look, SCHEDULE / rate * sum(TIME_SHARES.values()))) / 60
    kept = "kept" if minutes <= MINUTES else "NOT KEPT"
    yield (
        f"{SCHEDULE:,} pairs, and looks at them, would take {minutes:.1f} minutes; promise (H200): at most"
        f" {MINUTES:g}, {kept}"
    )


# -- all of it ---------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """Of the report.

    Args:
        title: above its lines.
        lines: what it yields.
        needs: seconds without which it is not begun.
        promised: whether the parts before it leave it those seconds.
    """

    title: str
    lines: Callable[[Bench], Iterable[str]]
    needs: float
    promised: bool = True


# An estimate, for a process that starts in 10 s, CycleGAN that compiles in 90, pix2pix in 50. Together less than the
# budget, as nothing else ensures that all of those promised are begun.
PARTS = (
    Part("ceilings", ceilings, 10),
    Part("CycleGAN, ResNet, identity loss", lambda bench: batches(bench, "cyclegan"), 150),
    Part("pix2pix, U-Net", lambda bench: batches(bench, "pix2pix", compared=True), 112),
    Part("CycleGAN at batch 1", lambda bench: beside_the_reference(bench, "cyclegan"), 130),
    Part("pix2pix at batch 1", lambda bench: beside_the_reference(bench, "pix2pix"), 90, promised=False),
    Part("a training", training, 100),
    Part("precision and memory, CycleGAN", variants, 90, promised=False),
)


def guarded(part: Part, bench: Bench) -> Iterator[str]:
    """The lines of a part; one line instead of its failure, or if there is too little time for it."""
    begin = perf_counter()
    yield ""
    yield f"== {part.title}"
    if bench.left() < part.needs:
        yield f"left out: it needs {part.needs:.0f} s, and there are {max(0, bench.left()):.0f} for it"
        return
    try:
        yield from part.lines(bench)
    except Exception as error:  # whatever it is, the other parts are to be measured
        yield f"failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
    yield f"({perf_counter() - begin:.0f} s)"


def report(bench: Bench, parts: Sequence[Part] = PARTS) -> Iterator[str]:
    """Part by part; each must be over while there is the time that the promised ones after it need."""
    end = bench.until
    yield f"Training on a GPU: {bench.scale.size}x{bench.scale.size}, width {bench.scale.width}"
    yield machine(bench.device)
    for number, part in enumerate(parts):
        bench.until = end - sum(later.needs for later in parts[number + 1 :] if later.promised)
        yield from guarded(part, bench)


def main() -> None:
    begin = perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for gpu.txt and samples.png")
    parser.add_argument("--reference", type=Path, help="checkout of the reference implementation")
    parser.add_argument("--root", type=Path, help="folder with trainA, trainB; the embedded set where it is left out")
    parser.add_argument("--budget", type=float, default=520, help="seconds, in which all is over")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a few channels and pixels, to show that it runs")
    parser.add_argument("--recipe", action="store_true", help="how good pictures become, in place of how fast it is")
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
    parts, name = PARTS, "gpu.txt"
    if arguments.recipe:
        sys.modules.setdefault("gpu", sys.modules[__name__])  # this very module, for the parts that stand apart
        from gpu_recipe import PARTS as parts

        name = "recipe.txt"
    with (arguments.output / name).open("w") as file:
        for line in report(bench, parts):
            print(line, flush=True)
            print(line, file=file, flush=True)


if __name__ == "__main__":
    main()
