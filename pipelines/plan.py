"""`quagga plan PIPELINE [OPTION ...]`: which batch and crop fit this device, how fast each is, and the command to run.

Put `plan` in place of `train`: a few real steps of the game are played on the pictures that the options name, and
nothing is written. Where and how an entry is played is in `plan_entry`.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quagga import BadInput
from quagga.pipelines.launcher import first, several
from quagga.pipelines.options import for_a_pipeline, resolve, taken_out

GROWTH = 1.05  # what a doubled batch must gain in images/s to count as a gain
WAITED = 0.05  # share of a step above which waiting for data is worth a word
PATIENCE = 2.0  # a step that is predicted to take more than so many times `seconds` is not tried
LONG = 3600.0  # seconds of a schedule from which on compiling on a CPU is worth its minutes
SPARE = 0.9  # share of the free memory that an entry on the CPU may be predicted to take
LARGEST = 4096  # rows of a batch


@dataclass(frozen=True)
class PlanOptions:
    """How long each entry of the table is measured.

    Args:
        seconds: how long each line of the table is measured, after a warm-up; at least one step is played.
    """

    seconds: float = 10.0

    def __post_init__(self):
        if self.seconds <= 0:
            raise BadInput(f"seconds is {self.seconds}: it must be above 0")


def main(argv: list[str]) -> int:
    """Obeys `quagga plan ARGV...`; the first word names the pipeline, or a saved config does."""
    return for_a_pipeline(argv, "plan", plan)


def plan(
    name: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Prints the plan of a training; takes what `quagga.pipelines.options.train` takes."""
    if several():
        if not first():  # one says it
            return 0
        raise BadInput("a plan is of one process, and its --batch_size that of each: start it without the launcher")
    config, options = resolve(name, build, data, argv, prog, defaults, {"plan": PlanOptions})
    seconds = PlanOptions(**options.pop("plan")).seconds
    from quagga.pipelines.plan_entry import Job  # torch

    job = Job(name, build, data, options, seconds)
    for line in lines_of(job, config, prog.replace(" plan", " train", 1), argv):
        print(line, flush=True)
    return 0


def lines_of(job: Any, config: Mapping[str, Any], prog: str, argv: Sequence[str]) -> Iterator[str]:
    """The lines of the plan, as they come.

    Raises:
        BadInput: the options as they are cannot be played, or nothing fits.
    """
    from quagga.pipelines.minimax import networks_of
    from quagga.pipelines.pace import has_instance_norm, missing_for_compile
    from quagga.pipelines.plan_entry import begin, free, measure, pace_of, with_kept

    accelerator = begin(job)
    rows, game = job.prepared()  # what is wrong with the options themselves is said before the table
    job, kept = with_kept(job, rows)
    length = job.schedule.length(rows.images_per_epoch)
    name = next((name for name in ("crop_size", "size") if name in job.options["data"]), "")
    own = (job.options["data"][name] or rows.known().get(name)) if name else None
    yield f"{prog}: {length:,} images on {accelerator.device}, mixed precision: {accelerator.mixed_precision}"
    yield f"{free(accelerator) / 1e9:.1f} GB of memory are free; {job.seconds:g} s a line of the table, and a warm-up"
    pace, slower = pace_of(replace(job, compiled=True), accelerator)
    yield from [*slower, *kept]
    if pace.compile:
        yield "compiling takes minutes a line: only the best of the table is compiled, at the end"
    yield ""
    yield f"{name or 'size':>9}  batch  images/s  most memory  the whole schedule  waits for data"
    best: dict[int | None, Any] = {}
    written: dict[str, str] = {}  # the option of a run whose networks are not to be compiled
    known: list[tuple[int, Any]] = []
    for size in [None] if own is None else sorted({max(8, own // 2), own, own * 2}):
        sizes = sizes_for(size, own, name, config)
        played = []
        for entry in entries(job, sizes, size, accelerator, known, own):
            head = f"{size or '':>9}  {entry.batch:>5}"
            if entry.why:
                yield f"{head}  {entry.why}"
                continue
            played.append(entry)
            yield head + line_of(entry, length) + ("  not compiled" if pace.compile else "")
        if played:  # the smallest that is about as fast as any
            fast = max(entry.rate for entry in played) / GROWTH
            best[size] = next(entry for entry in played if entry.rate >= fast)
    if own not in best:
        raise BadInput(f"not a single picture of --{name} {own} fits or can be played: see above")
    if pace.compile:
        entry = measure(replace(job.of(best[own].batch, {}), compiled=True), accelerator)
        yield f"{own or '':>9}  {entry.batch:>5}{f'  {entry.why}' if entry.why else line_of(entry, length)}  compiled"
        best[own] = best[own] if entry.why else entry
        written = {"compile": "false"} if entry.uncompiled else {}
    yield ""
    if best[own].waited > WAITED:
        kept = ", or take --cache ram" if config.get("cache") == "none" else ""
        yield f"{best[own].waited:.0%} of a step is spent waiting for data: raise --workers{kept}"
    narrow = accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16"
    # Where compiling was measured to gain (benchmarks/cpu_means.py).
    gains = narrow and has_instance_norm(networks_of(game))
    unasked = gains and config.get("compile") is None and length / best[own].rate > LONG
    if unasked and not missing_for_compile(accelerator.device):
        yield "on a CPU --compile true may take a fifth off, after a minute or two of compiling"
    if best[own].batch != config["batch_size"]:
        yield "another --batch_size is another game: --lr_rule and --warmup are for that, see docs/batch_size.md"
    for size, entry in sorted(best.items(), key=lambda item: item[0] != own):
        at = "" if size is None else f" at {size} pixels"
        state = ", not compiled" if pace.compile and not entry.compiled else ""
        yield f"fastest{at}: {entry.rate:.3g} images/s, {duration(length / entry.rate)}{state}. The command:"
        yield f"    {command(prog, argv, {'batch_size': entry.batch, **sizes_for(size, own, name, config), **written})}"


def entries(
    job: Any,
    sizes: Mapping[str, int],
    size: int | None,
    accelerator: Any,
    known: list[tuple[int, Any]],
    own_size: int | None,
) -> Iterator[Any]:
    """The entries of one size, batches rising, until nothing is gained by two doublings, or one does not fit.

    known: rows * pixels of all entries before, and what was measured; from these it is predicted what takes too long,
    and on the CPU what does not fit: neither is tried.
    """
    from quagga.pipelines.plan_entry import OVER, Measured, free, measure, with_kept

    flat, fastest = 0, 0.0
    own = job.options["schedule"]["batch_size"]
    try:
        rows, _ = job.of(own, sizes).prepared()
        job = with_kept(job, rows)[0] if sizes else job
    except BadInput as error:  # such as a size that the pipeline's networks cannot have
        yield Measured(own, why=f"cannot be played: {error}")
        return
    for batch in sorted({*(2**n for n in range(LARGEST.bit_length())), own}):
        extent = batch * (size or 1) ** 2
        memory, seconds = predicted(known, extent)
        memory += job.kept
        if accelerator.device.type == "cpu" and memory > SPARE * free(accelerator):
            yield Measured(batch, why=f"not tried: it would take {memory / 1e9:.1f} GB of memory")
            return
        asked = size == own_size and batch in (1, own)  # measured however long it takes
        if seconds > PATIENCE * job.seconds and not asked:
            why = f"not tried: a step would take {seconds:.3g} s (--seconds {seconds:.3g} tries it)"
            yield Measured(batch, why=why)
            if size == own_size and batch < own:
                continue
            return
        entry = measure(job.of(batch, sizes), accelerator)
        if entry.kept and entry.memory > free(accelerator):  # the pictures were counted, not there
            entry = Measured(batch, why=f"{OVER}: it would take {entry.memory / 1e9:.1f} GB of memory")
        yield entry
        if entry.why:
            if batch >= own or entry.over:
                return
            continue  # such as a batch that is no multiple of --pair_every
        known.append((extent, entry))
        if batch & (batch - 1) == 0:  # a doubling
            flat = 0 if entry.rate > GROWTH * fastest else flat + 1
        fastest = max(fastest, entry.rate)
        if flat == 2 and batch >= own:
            return


def line_of(entry: Any, length: int) -> str:
    """The figures of an entry, of a schedule of so many images."""
    whole = duration(length / entry.rate)
    return f"  {entry.rate:>8.3g}  {entry.memory / 1e9:>8.2f} GB  {whole:>18}  {entry.waited:>14.0%}"


def predicted(known: Sequence[tuple[int, Any]], extent: int) -> tuple[float, float]:
    """Bytes and seconds of a step over rows * pixels, in proportion to the largest that was measured, and where two
    were, for memory on a line through all."""
    if not known:
        return 0.0, 0.0
    largest, entry = max(known, key=lambda item: item[0])
    times = extent / largest
    memory = entry.ground + (entry.peak - entry.ground) * times
    if len({extent for extent, _ in known}) > 1:
        slope, ground = np.polyfit([extent for extent, _ in known], [entry.peak for _, entry in known], 1)
        memory = ground + slope * extent
    return float(memory), entry.step * times


def sizes_for(size: int | None, own: int | None, name: str, config: Mapping[str, Any]) -> dict[str, int]:
    """The options of another size: a cut, and in the same ratio what it is cut from."""
    if size is None or own is None or size == own:
        return {}
    more = (
        {"load_size": round(config["load_size"] * size / own)} if name == "crop_size" and "load_size" in config else {}
    )
    return {name: size, **more}


def command(prog: str, argv: Sequence[str], options: Mapping[str, int | str]) -> str:
    """What the user typed, with these options in place of theirs."""
    words = list(argv)
    for name in ("seconds", *options):
        _, words = taken_out(words, f"--{name}")
    return f"{prog} {shlex.join([*words, *(word for name, n in options.items() for word in (f'--{name}', str(n)))])}"


def duration(seconds: float) -> str:
    """Its two largest units: "2 d 3 h", "3 h 12 min", "5 min 10 s"."""
    for length, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} {seconds % length // smaller:.0f} {name}"
    return f"{seconds:.0f} s"
