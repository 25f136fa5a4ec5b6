"""`quagga plan PIPELINE [OPTION ...]`: which batch and crop fit this device, how fast each is, and the command to run.

Put `plan` in place of `train`: a few real steps of training run on the pictures that the options name, and nothing is
written. `quagga.training.step_profiler` measures them.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quagga.cli.options.config_file import extract_option
from quagga.cli.options.config_parser import resolve
from quagga.cli.train import run_for_pipeline
from quagga.errors import BadInput
from quagga.training.hardware.launcher import is_distributed, is_first_process
from quagga.training.reporting.time_estimate import format_duration, scaled_sizes

GROWTH = 1.05  # what a doubled batch must gain in images/s to count as a gain
MAX_WAITING = 0.05  # share of a step; above it the plan says how to wait less for data
PATIENCE = 2.0  # a step that is predicted to take more than so many times `seconds` is not tried
LONG_SCHEDULE = 3600.0  # seconds from which on compiling on a CPU is worth its minutes
MAX_MEMORY = 0.9  # share of the free memory that an entry on the CPU is predicted to take at most
MAX_BATCH = 4096  # rows


@dataclass(frozen=True)
class PlanOptions:
    """How long each entry of the table is measured.

    Args:
        seconds: time for each line of the table; after a warm-up, and at least for one step.
    """

    seconds: float = 10.0

    def __post_init__(self):
        if self.seconds <= 0:
            raise BadInput(f"seconds is {self.seconds}: it must be above 0")


def main(argv: list[str]) -> int:
    """Runs `quagga plan ARGV...`. The first argument names the pipeline, or a saved config does. Returns 0."""
    return run_for_pipeline(argv, "plan", plan)


def plan(
    name: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Prints the plan of a training. The arguments are those of `quagga.cli.train.parse_and_train`. Returns 0."""
    if is_distributed():
        if not is_first_process():  # one says it
            return 0
        raise BadInput(
            "quagga plan runs in one process, and its --batch_size is that of each: start it without the launcher"
        )
    config, options = resolve(name, build, data, argv, prog, defaults, {"plan": PlanOptions})
    seconds = PlanOptions(**options.pop("plan")).seconds
    from quagga.training.step_profiler import ProfileJob  # torch

    if options["schedule"]["phases"] is not None:
        print("--phases are left out: each line of the table is measured at one size and one batch", flush=True)
        options["schedule"]["phases"] = None
    job = ProfileJob(name, build, data, options, seconds)
    for line in plan_lines(job, config, prog.replace(" plan", " train", 1), argv):
        print(line, flush=True)
    return 0


def plan_lines(job: Any, config: Mapping[str, Any], prog: str, argv: Sequence[str]) -> Iterator[str]:
    """Yields the lines of the plan as they are measured.

    Raises:
        BadInput: a training with these options is impossible, or nothing fits.
    """
    from quagga.pipelines.core.game_protocol import networks_of
    from quagga.training.hardware.acceleration import has_instance_norm, missing_for_compile
    from quagga.training.step_profiler import (
        acceleration_of,
        accelerator_for,
        free_device_memory,
        profile,
        with_cached_bytes,
    )

    accelerator = accelerator_for(job)
    rows, game = job.rows_and_game()  # what is wrong with the options themselves is said before the table
    job, kept = with_cached_bytes(job, rows)
    length = job.schedule.length(rows.images_per_epoch)
    name = next((name for name in ("crop_size", "size") if name in job.options["data"]), "")
    own = (job.options["data"][name] or rows.known().get(name)) if name else None
    yield f"{prog}: {length:,} images on {accelerator.device}, mixed precision: {accelerator.mixed_precision}"
    free = free_device_memory(accelerator) / 1e9
    yield f"{free:.1f} GB of memory are free; {job.seconds:g} s for each line of the table, and a warm-up"
    acceleration, notes = acceleration_of(replace(job, compiled=True), accelerator)
    yield from [*notes, *kept]
    if acceleration.compile:
        yield "compiling takes minutes for each line: only the best of the table is compiled, at the end"
    yield ""
    yield f"{name or 'size':>9}  batch  images/s  most memory  the whole schedule  waits for data"
    best: dict[int | None, Any] = {}
    written: dict[str, str] = {}  # --compile false, where compiling fails
    known: list[tuple[int, Any]] = []  # rows * pixels of an entry, and the entry
    for size in [None] if own is None else sorted({max(8, own // 2), own, own * 2}):
        sizes = scaled_sizes(size, own, name, config)
        measured = []
        for entry in entries(job, sizes, size, accelerator, known, own):
            head = f"{size or '':>9}  {entry.batch:>5}"
            if entry.problem:
                yield f"{head}  {entry.problem}"
                continue
            measured.append(entry)
            yield head + entry_columns(entry, length) + ("  not compiled" if acceleration.compile else "")
        if measured:  # the smallest that is about as fast as any
            fast = max(entry.rate for entry in measured) / GROWTH
            best[size] = next(entry for entry in measured if entry.rate >= fast)
    if own not in best:
        raise BadInput(f"not even one picture of --{name} {own} fits or can be trained on: see above")
    if acceleration.compile:
        entry = profile(replace(job.at_size(best[own].batch, {}), compiled=True), accelerator)
        result = f"  {entry.problem}" if entry.problem else entry_columns(entry, length)
        yield f"{own or '':>9}  {entry.batch:>5}{result}  compiled"
        best[own] = best[own] if entry.problem else entry
        written = {"compile": "false"} if entry.may_work_uncompiled else {}
    yield ""
    if best[own].waited > MAX_WAITING:
        kept = ", or take --cache ram" if config.get("cache") == "none" else ""
        yield f"{best[own].waited:.0%} of a step is spent waiting for data: raise --workers{kept}"
    bf16_on_cpu = accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16"
    # Where compiling was measured to gain (benchmarks/cpu_means.py).
    gains = bf16_on_cpu and has_instance_norm(networks_of(game))
    unasked = gains and config.get("compile") is None and length / best[own].rate > LONG_SCHEDULE
    if unasked and not missing_for_compile(accelerator.device):
        yield "on a CPU --compile true may save a fifth of the time, after a minute or two of compiling"
    if best[own].batch != config["batch_size"]:
        yield "another --batch_size changes the training: docs/batch_size.md says how --lr_rule and --warmup help"
    for size, entry in sorted(best.items(), key=lambda item: item[0] != own):
        at = "" if size is None else f" at {size} pixels"
        state = ", not compiled" if acceleration.compile and not entry.compiled else ""
        yield f"fastest{at}: {entry.rate:.3g} images/s, {format_duration(length / entry.rate)}{state}. The command:"
        chosen = scaled_sizes(size, own, name, config)
        yield f"    {train_command(prog, argv, {'batch_size': entry.batch, **chosen, **written})}"


def entries(
    job: Any,
    sizes: Mapping[str, int],
    size: int | None,
    accelerator: Any,
    known: list[tuple[int, Any]],
    own_size: int | None,
) -> Iterator[Any]:
    """Yields the entries of one size with growing batches, until two doublings gain nothing, or a batch does not fit.

    Args:
        job: The training.
        sizes: Options of the size, such as load_size and crop_size.
        size: Pixels a side; None where no option sets it.
        accelerator: Of the job.
        known: rows * pixels of all entries before, and the entries. From these it is predicted which batch takes too
            long, and on the CPU which does not fit: these are not tried. New entries are added.
        own_size: The size that the options name.
    """
    from quagga.training.step_profiler import DOES_NOT_FIT, StepProfile, free_device_memory, profile, with_cached_bytes

    doublings_without_gain, fastest = 0, 0.0
    own = job.options["schedule"]["batch_size"]
    try:
        rows, _ = job.at_size(own, sizes).rows_and_game()
        job = with_cached_bytes(job, rows)[0] if sizes else job
    except BadInput as error:  # such as a size that the pipeline's networks cannot have
        yield StepProfile(own, problem=f"cannot be trained: {error}")
        return
    for batch in sorted({*(2**n for n in range(MAX_BATCH.bit_length())), own}):
        extent = batch * (size or 1) ** 2
        memory, seconds = predict_step(known, extent)
        memory += job.cached
        if accelerator.device.type == "cpu" and memory > MAX_MEMORY * free_device_memory(accelerator):
            yield StepProfile(batch, problem=f"not tried: it would take {memory / 1e9:.1f} GB of memory")
            return
        asked = size == own_size and batch in (1, own)  # measured however long it takes
        if seconds > PATIENCE * job.seconds and not asked:
            why = f"not tried: a step would take {seconds:.3g} s (--seconds {seconds:.3g} tries it)"
            yield StepProfile(batch, problem=why)
            if size == own_size and batch < own:
                continue
            return
        entry = profile(job.at_size(batch, sizes), accelerator)
        if entry.cached and entry.memory > free_device_memory(accelerator):  # the pictures were counted, not there
            entry = StepProfile(batch, problem=f"{DOES_NOT_FIT}: it would take {entry.memory / 1e9:.1f} GB of memory")
        yield entry
        if entry.problem:
            if batch >= own or entry.exceeds_memory:
                return
            continue  # such as a batch that is no multiple of --pair_every
        known.append((extent, entry))
        if batch & (batch - 1) == 0:  # a doubling
            gained = entry.rate > GROWTH * fastest
            doublings_without_gain = 0 if gained else doublings_without_gain + 1
        fastest = max(fastest, entry.rate)
        if doublings_without_gain == 2 and batch >= own:
            return


def entry_columns(entry: Any, length: int) -> str:
    """Returns the columns of an entry, for a schedule of `length` images."""
    whole = format_duration(length / entry.rate)
    return f"  {entry.rate:>8.3g}  {entry.memory / 1e9:>8.2f} GB  {whole:>18}  {entry.waited:>14.0%}"


def predict_step(known: Sequence[tuple[int, Any]], extent: int) -> tuple[float, float]:
    """Predicts bytes and seconds of a step over `extent` rows * pixels: in proportion to the largest entry that was
    measured; with two or more, the memory is on a line through all."""
    if not known:
        return 0.0, 0.0
    largest, entry = max(known, key=lambda item: item[0])
    times = extent / largest
    memory = entry.baseline + (entry.peak - entry.baseline) * times
    if len({extent for extent, _ in known}) > 1:
        slope, ground = np.polyfit([extent for extent, _ in known], [entry.peak for _, entry in known], 1)
        memory = ground + slope * extent
    return float(memory), entry.seconds * times


def train_command(prog: str, argv: Sequence[str], options: Mapping[str, int | str]) -> str:
    """Returns the command that the user typed, with these options in place of theirs."""
    words = list(argv)
    for name in ("seconds", *options):
        _, words = extract_option(words, f"--{name}")
    return f"{prog} {shlex.join([*words, *(word for name, n in options.items() for word in (f'--{name}', str(n)))])}"
