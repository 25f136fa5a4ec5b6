"""A run: a game, its data and a schedule become a folder that holds all one wants of it.

RUN/config.yaml      every option; `quagga train NAME --config RUN/config.yaml` repeats the run
RUN/events.*         TensorBoard
RUN/samples/*.png    the strips of TensorBoard as pictures
RUN/checkpoints/     from which an interrupted run goes on
RUN/model/           the averaged generators, for `quagga translate` and `quagga.load`
"""

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedType

from quagga import BadInput
from quagga.data.preview import contact_sheet, for_the_eye
from quagga.pipelines import checkpoint
from quagga.pipelines.logbook import Logbook
from quagga.pipelines.minimax import Images, NotFinite, Schedule, Trainer
from quagga.pipelines.model_folder import save_model
from quagga.pipelines.resume import resume, write_config

Watch = Callable[[int, dict[str, Images]], None]  # is given the images seen and the strips of the averaged generators


@dataclass(frozen=True)
class RunOptions:
    """Where a run lives and how it is watched.

    Args:
        output: the run's folder; None takes runs/<x>2<y>-<pipeline>.
        resume: auto goes on from the folder's newest checkpoint; never refuses a folder that has one.
        log_every: images between two points of a curve.
        sample_every: images between two strips of held-out pictures. (The first come sooner, at a quarter more images
            each.)
        samples: held-out pictures in a strip.
        save_every: images between two checkpoints.
        keep: checkpoints kept.
        mixed_precision: bf16, fp16 or no; None obeys `accelerate launch`, and else takes bf16 on a GPU that has it.
        device: auto takes a GPU if there is one.
    """

    output: str | None = None
    resume: Literal["auto", "never"] = "auto"
    log_every: int = 100
    sample_every: int = 5000
    samples: int = 4
    save_every: int = 5000
    keep: int = 3
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    def __post_init__(self):
        counts = {"log_every": self.log_every, "sample_every": self.sample_every, "save_every": self.save_every}
        for name, count in {**counts, "samples": self.samples, "keep": self.keep}.items():
            if count < 1:
                raise BadInput(f"{name} is {count}: it must be 1 or more")


def start(device: str, mixed_precision: str | None) -> Accelerator:
    """The processes, the device and the precision a run is played with."""
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "no CUDA GPU is visible to torch: check `nvidia-smi` and the torch build, or leave out --device cuda"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise BadInput("torch finds no Apple GPU (MPS) here: leave out --device mps")
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    precision = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION")
    if precision is None:
        precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    if precision == "fp16" and not on_gpu:
        raise BadInput("fp16 needs a CUDA GPU: take --mixed_precision no or bf16")
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    if accelerator.distributed_type in (DistributedType.DEEPSPEED, DistributedType.FSDP):
        raise BadInput(
            f"{accelerator.distributed_type.value} pairs one engine with one model and a game has several: "
            "choose plain multi-GPU in `accelerate config`"
        )
    return accelerator


def train(
    pipeline: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    options: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
    watch: Watch | None = None,
) -> Path:
    """Plays a pipeline's game and returns the run's folder.

    Args:
        pipeline: its name.
        build: makes the game of options["build"].
        data: makes the rows of options["data"].
        options: keyword arguments by their taker: "data", "build", "schedule", "run".
        config: all options in one flat dictionary, to be written down.
        watch: is shown the strips whenever they are drawn.

    Raises:
        BadInput: options, folders or devices cannot work, the folder holds another run, or a loss is not finite.
        DataFault: a worker that reads pictures died, hung or raised.
    """
    run, schedule = RunOptions(**options["run"]), Schedule(**options["schedule"])
    accelerator = start(run.device, run.mixed_precision)
    try:
        rows = data(**options["data"])
        rows.check(schedule.batch_size * accelerator.num_processes * schedule.accumulation)
        length = schedule.length(rows.images_per_epoch)
        torch.manual_seed(schedule.seed)
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always", UserWarning)
            game = build(**options["build"])
        if not hasattr(game, "translations"):
            raise BadInput(
                f'{pipeline} does not say what it translates: give its game translations = {{"G": ("x", "y")}}'
            )
        trainer = Trainer(game, schedule, length, accelerator)
        folder = Path(run.output or f"runs/{rows.names['x']}2{rows.names['y']}-{pipeline}")
        changes = resume(trainer, folder, run.resume, config)
        log = None
        if accelerator.is_main_process:
            write_config(folder, config)
            log = Logbook(folder, config, trainer.images_seen, length)
            for line in [*rows.notices, *(str(remark.message) for remark in remarks), *changes]:
                log.say(line)
            log.say(describe(trainer, folder, length))
        try:
            play(
                trainer,
                rows,
                run,
                folder,
                log,
                watch,
                lambda: keep_model(trainer, folder, pipeline, rows, options["build"]),
            )
        finally:
            if log:
                if rows.skipped:
                    log.say(f"{len(rows.skipped)} pictures were skipped: {'; '.join(list(rows.skipped)[:5])}")
                log.close()
        return folder
    finally:
        accelerator.end_training()


def describe(trainer: Trainer, folder: Path, length: int) -> str:
    accelerator, game = trainer.accelerator, trainer.game
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
        for name, network in [*game.generators.items(), *game.discriminators.items()]
    )
    where = f"{accelerator.num_processes} x {accelerator.device.type}, mixed precision: {accelerator.mixed_precision}"
    begun = f"going on from {trainer.images_seen:,} of" if trainer.images_seen else "playing"
    watch = f"tensorboard --samples_per_plugin images=200 --logdir {folder}"
    return f"{begun} {length:,} images on {where}\nparameters: {sizes}\nwatch: {watch}"


def play(
    trainer: Trainer,
    rows: Any,
    run: RunOptions,
    folder: Path,
    log: Logbook | None,
    watch: Watch | None,
    save_model_now: Callable[[], None],
) -> None:
    """Plays to the end: readings, strips and checkpoints where they are due."""
    held_out = rows.held_out(run.samples)
    place = {"process": trainer.accelerator.process_index, "processes": trainer.accelerator.num_processes}
    step, epoch = trainer.minibatch, rows.images_per_epoch

    def after(seen: int) -> int:  # the next strips: often at first
        return seen + min(run.sample_every, max(run.log_every, seen // 4))

    next_strips = 0 if trainer.images_seen == 0 else after(trainer.images_seen)
    pending, clock = 0, perf_counter()

    def due(every: int, seen: int) -> bool:
        return seen // every > (seen - step) // every or seen >= trainer.length

    def show(seen: int) -> None:
        if log is None:
            return
        for which in ("averaged", "raw"):
            strips = look(trainer, held_out, averaged=which == "averaged")
            strips = for_the_eye(strips, trainer.game.translations, rows.forms)  # pyright: ignore[reportAttributeAccessIssue]
            log.strips(strips, which, seen)
            if which == "averaged":
                keep_samples(strips, folder / "samples", seen)
                if watch:
                    watch(seen, strips)

    if next_strips == 0:
        show(0)
        next_strips = run.log_every
    with closing(rows.batches(trainer.row, trainer.schedule.batch_size, **place)) as stream:
        for seen in trainer.play(lambda _row: stream):
            pending += step
            if log:
                log.progress(step)
            saving, showing = due(run.save_every, seen), seen >= next_strips or seen >= trainer.length
            if not (saving or showing or due(run.log_every, seen)):
                continue
            waited = trainer.waited
            try:
                values = trainer.readings()  # raises before anything that is not finite can be saved
            except NotFinite as fault:
                files = [name for row in list(fault.rows)[:8] for name in rows.files(row)]
                raise BadInput(
                    f"{fault}; the pictures were {', '.join(files)}. What was saved is clean;"
                    " try a lower --lr, or --clip_gradients 1"
                ) from fault
            seconds = perf_counter() - clock
            values |= {
                "speed/images_per_second": pending / seconds,
                "speed/seconds_waiting_for_data": waited,
                "speed/epoch": seen / epoch,
            }
            for side in trainer.sides:
                values[f"{side}/total"] = sum(value for name, value in values.items() if name.startswith(f"{side}/"))
            if log:
                log.scalars(values, seen)
            if showing:
                show(seen)
                next_strips = after(seen)
            if saving:
                state = trainer.state_dict()
                if log:
                    save_model_now()  # first: a stop between the two leaves a run that will save both again
                    checkpoint.save(folder / "checkpoints", seen, state, run.keep)
                    log.flush()
            pending, clock = 0, perf_counter()


def look(trainer: Trainer, batch: dict[str, torch.Tensor], averaged: bool) -> dict[str, Images]:
    if not averaged:
        return trainer.visualize(batch)
    with trainer.averaged():
        return trainer.visualize(batch)


def keep_samples(strips: Mapping[str, Images], folder: Path, images_seen: int) -> None:
    folder.mkdir(exist_ok=True)
    for name, images in strips.items():
        contact_sheet(images, folder / f"{images_seen:09d} {name}.png")


def keep_model(trainer: Trainer, folder: Path, pipeline: str, rows: Any, options: Mapping[str, Any]) -> None:
    """Writes the averaged generators as a folder that describes itself."""
    example = rows.held_out(1)
    translations = trainer.game.translations  # pyright: ignore[reportAttributeAccessIssue]
    save_model(
        folder / "model",
        pipeline=pipeline,
        options=dict(options),
        networks=trainer.averages,
        translations=translations,
        domains=rows.domains(),
        preprocessing=rows.preprocessing(),
        images_seen=trainer.images_seen,
        golden={name: example[source] for name, (source, _target) in translations.items()},
    )
