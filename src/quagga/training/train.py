"""Trains a game: from options to a run's folder.

RUN/config.yaml      every option; `quagga train NAME --config RUN/config.yaml` repeats the run
RUN/events.*         TensorBoard
RUN/samples/*.png    TensorBoard's strips as pictures
RUN/checkpoints/     from which an interrupted run is resumed
RUN/model/           the averaged generators, for `quagga translate` or `quagga sample`, and `quagga.load`
RUN/best/            with --keep_best: those of the checkpoint that was best
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from quagga.atomic import check_folder, check_replaceable
from quagga.data.loading.row_order import Rows
from quagga.errors import BadInput
from quagga.fields import Field, classifies, encodes, field_of, fills, samples, translates
from quagga.inference.model_files.model_saving import describe_model, save_model
from quagga.option_groups import is_ours
from quagga.pipelines.core.game_protocol import networks_of
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.training import checkpoint
from quagga.training.hardware.acceleration import acceleration_for, agree_on_acceleration, apply_acceleration
from quagga.training.hardware.cpu_threads import choose_threads
from quagga.training.hardware.device_setup import start_accelerator
from quagga.training.lock import hold_lock
from quagga.training.loop import RESUME_AUTO, TrainingLoop
from quagga.training.overwrite_checks import check_run_folder
from quagga.training.process_agreement import ProcessAgreement, shared_settings
from quagga.training.reporting.best_checkpoint import BestCheckpoint
from quagga.training.reporting.curve_names import check_curve
from quagga.training.reporting.sample_sheets import StripCallback
from quagga.training.reporting.start_lines import start_lines
from quagga.training.reporting.tensorboard_logger import Logger
from quagga.training.resume import BEST, CHECKPOINTS, SUPERSEDED, resume, write_config
from quagga.training.run_context import RunContext
from quagga.training.run_options import RunOptions
from quagga.training.setup.first_minibatches import first_minibatches
from quagga.training.setup.rows_and_game import (
    add_known_options,
    build_game,
    check_game,
    load_rows,
    prepare_rows,
)
from quagga.training.setup.run_data import read_run_data
from quagga.training.signals import Stopped, handling_signals
from quagga.training.warm_start import load_initial_weights


def train(
    pipeline: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    options: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
    on_strips: StripCallback | None = None,
) -> Path:
    """Trains a pipeline's game and returns the run's folder.

    Args:
        pipeline: its name.
        build: builds the game from options["build"].
        data: opens the training data with options["data"].
        options: keyword arguments by their receiver: "data", "build", "schedule", "run".
        config: all options in one flat dictionary, to be written to the run's folder.
        on_strips: is called with the strips whenever they are drawn.

    Raises:
        BadInput: options, folders or devices cannot work, the folder holds another run, is in use or holds files that
            no run has written under a run's names, or a loss is not finite.
        DataFault: a worker that reads pictures died, hung or raised.
        Stopped: a signal came; the run has been saved.
    """
    run, schedule = RunOptions(**options["run"]), Schedule(**options["schedule"])
    with ExitStack() as stack:
        signals = stack.enter_context(handling_signals())
        accelerator = start_accelerator(run.device, run.mixed_precision, run.deterministic)
        stack.push(end_training_on_exit(accelerator))
        agreement = stack.enter_context(ProcessAgreement(accelerator))

        # The data, and the options that follow from them.
        rows = load_rows(build, data, options)
        build_options, config = add_known_options(options["build"], config, rows.known())
        length, phases, rows_of_phases = prepare_rows(rows, schedule, accelerator)

        # The game, perhaps with the weights of another run's model.
        game, build_warnings = build_game(build, build_options, rows, schedule.seed)
        # What could not be loaded is refused now, not when the first model has been trained.
        describe_model(pipeline, build_options, game.exports, rows.domains(), rows.preprocessing())
        check_game(game, pipeline, phases)
        folder = Path(run.output or f"runs/{rows.title}-{pipeline}")
        if run.init_from and run.resume not in (*RESUME_AUTO, "never"):
            raise BadInput("--init_from begins a run, --resume PATH goes on with one: choose one of them")
        has_checkpoint = bool(checkpoint.list_saved(folder / CHECKPOINTS))
        taken = load_initial_weights(game, Path(run.init_from)) if run.init_from and not has_checkpoint else []

        # The trainer, on hardware that all processes have.
        networks = networks_of(game)
        wanted = run.compile, run.channels_last, run.gradient_checkpointing, run.deterministic
        acceleration, slower = acceleration_for(accelerator.device, *wanted, networks, accelerator.mixed_precision)
        resolved = {"output": str(folder), "mixed_precision": accelerator.mixed_precision}
        agreement.compare(partial(shared_settings, {**config, **resolved}, rows, length))
        acceleration, others_slower = agree_on_acceleration(acceleration, accelerator)
        slower += [*others_slower, *apply_acceleration(networks, acceleration, accelerator.num_processes)]
        trainer = Trainer(game, schedule, length, accelerator)

        # From here on the folder is this run's; it goes on where the run was stopped.
        lock = None
        with ProcessAgreement(accelerator):
            if accelerator.is_main_process:
                check_run_folder(folder)
                lock = stack.enter_context(hold_lock(folder))
                check_output_folders(folder)
        resumed = resume(trainer, folder, run.resume, config, rows.images_per_epoch)
        run_data = read_run_data(rows_of_phases, trainer, run)
        if run.keep_best is not None and trainer.images_seen < length:
            [batch] = first_minibatches(run_data[0].rows, phases[0].batch_size, 1)
            check_curve(run.keep_best, trainer, batch, run_data[0].examined)
        log = None
        if accelerator.is_main_process:
            write_config(folder, config)
            log = stack.enter_context(Logger(folder, config, trainer.images_seen, length))
            notices = dict.fromkeys(line for each in (rows, *rows_of_phases) for line in each.notices)
            found = [*build_warnings, *taken, *resumed.lines, *slower]
            for line in [*notices, *found, *start_lines(trainer, folder, run.deterministic)]:
                log.say(line)
        stack.callback(torch.set_num_threads, torch.get_num_threads())  # the caller's number is restored afterwards
        for line in choose_threads(
            trainer, rows_of_phases[0], resumed.from_checkpoint, resumed.threads, run.deterministic
        ):
            if log:
                log.say(line)

        # The steps; the loop saves.
        context = RunContext(run, config, folder, signals, log, lock)
        write = partial(write_model, trainer=trainer, pipeline=pipeline, options=build_options)
        try:
            TrainingLoop(trainer, run_data, context, resumed, write, on_strips).run()
            if log:
                command = command_after_training(game, folder, rows.domains(), program_of(build))
                log.say(f"{folder / 'model'} is the result; next: {command}")
                best = BestCheckpoint(folder / CHECKPOINTS, run, length, accelerator).images_seen()
                if best not in (None, trainer.images_seen):
                    log.say(f"{folder / BEST} is the model of {best:,} images, when {run.keep_best} was lowest")
        finally:
            if log and rows.skipped:
                log.say(f"{len(rows.skipped)} pictures were skipped: {'; '.join(list(rows.skipped)[:5])}")
        return folder


def check_output_folders(folder: Path) -> None:
    """Checks before the first step that everything a run writes in its folder can be written. Raises BadInput."""
    for name in ("model", BEST):
        check_replaceable(folder / name)
    for name in (CHECKPOINTS, Path(CHECKPOINTS, SUPERSEDED), "samples"):
        check_folder(folder / name, must_be_writable=True)


def program_of(build: Callable[..., Any]) -> str:
    """Returns how the commands for a game begin: a game of a user's own has its file for them."""
    return "quagga" if is_ours(build) else f"python {Path(sys.argv[0]).name}"


def command_after_training(
    game: Any, folder: Path, domains: Mapping[str, Mapping[str, Any]], program: str = "quagga"
) -> str:
    """Returns the command that makes pictures with a run.

    Args:
        game: That was trained.
        folder: Of the run.
        domains: What the data say of the pictures of each side.
        program: What a command begins with.
    """
    for export in game.exports.values():
        condition = field_of(export.inputs, "condition")
        if translates(export.inputs, export.output):
            picture = field_of(export.inputs, "picture")
            takes_edges = picture is not None and domains[picture.name].get("as") == "edges"
            photo = " (of a photo: --from_photo true)" if takes_edges else ""
            return f"{program} translate {folder} PICTURE{example_condition(condition)} --output DIR{photo}"
        if fills(export.inputs, export.output):
            return f"{program} translate {folder} PICTURE --mask DIR --output DIR (masks: white where it is missing)"
        if classifies(export.inputs, export.output):
            return f"{program} translate {folder} PICTURE --output DIR (a table of what they show)"
        if encodes(export.inputs, export.output):
            return f"{program} translate {folder} PICTURE --to code --output DIR"
        if samples(export.inputs, export.output):
            takes_turns = condition is not None and condition.condition == "class"
            return f"{program} sample {folder}{'' if takes_turns else example_condition(condition)} --output DIR"
    return f"in Python, quagga.load({str(folder)!r})"


def example_condition(condition: Field | None) -> str:
    """Returns the option that asks for a condition, with a blank before it; nothing where there is none."""
    if condition is None:
        return ""
    match condition.condition:
        case "caption":
            return f" --caption '{' '.join(condition.names[:3])}'"
        case "attributes":
            return f" --attributes '{', '.join(condition.names[:2])}'"
        case _:
            return f" --label '{condition.names[0]}'"


def end_training_on_exit(accelerator: Accelerator) -> Callable[..., None]:
    """Returns an exit callback that ends the process group, except after an error with other processes alive: they may
    wait in a collective forever, and this process must be free to report the error. The launcher then ends them."""

    def end(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Stopped) or accelerator.num_processes == 1:
            accelerator.end_training()

    return end


def write_model(folder: Path, trainer: Trainer, pipeline: str, rows: Rows, options: Mapping[str, Any]) -> None:
    """Writes the game's exports as a model folder, with all that `quagga.load` needs.

    Args:
        folder: is replaced.
        trainer: of the run.
        pipeline: its name.
        rows: the training data.
        options: of the pipeline's `build`.
    """
    save_model(
        folder,
        pipeline=pipeline,
        options=options,
        exports=trainer.game.exports,
        domains=rows.domains(),
        preprocessing=rows.preprocessing(),
        images_seen=trainer.images_seen,
    )
