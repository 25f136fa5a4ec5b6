"""A run: a game, its data and a schedule become a folder that holds all one wants of it.

RUN/config.yaml      every option; `quagga train NAME --config RUN/config.yaml` repeats the run
RUN/events.*         TensorBoard
RUN/samples/*.png    the strips of TensorBoard as pictures
RUN/checkpoints/     from which an interrupted run goes on
RUN/model/           the averaged generators, for `quagga translate` or `quagga sample`, and `quagga.load`
RUN/best/            with --keep_best: those of the checkpoint that was best
"""

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.utils.data import default_collate

from quagga import BadInput
from quagga.data.rows import Rows
from quagga.pipelines import checkpoint
from quagga.pipelines.agreement import Meeting, parts_of
from quagga.pipelines.curves import check_curve
from quagga.pipelines.init_from import init_from
from quagga.pipelines.launcher import asked_for_several, check_launcher, started
from quagga.pipelines.lock import locked
from quagga.pipelines.logbook import Logbook
from quagga.pipelines.minimax import Batch, Trainer, networks_of
from quagga.pipelines.model_folder import save_model
from quagga.pipelines.overwrite import check_run
from quagga.pipelines.pace import agreed, keep_memory, pace_for, quicken
from quagga.pipelines.play import AUTO, Play, Watch, gives
from quagga.pipelines.resume import ASIDE, BEST, CHECKPOINTS, resume, write_config
from quagga.pipelines.run_options import RunOptions
from quagga.pipelines.schedule import Schedule
from quagga.pipelines.stop import Stopped, listening
from quagga.pipelines.threads import settle
from quagga.pipelines.whole import check_folder, check_replaceable

PRECISIONS = ("no", "bf16", "fp16")
STATISTICS_ROWS = 256
STATISTICS_BYTES = 1 << 26


def start(device: str, mixed_precision: str | None, deterministic: bool = False) -> Accelerator:
    """The processes, the device and the precision a run is played with.

    Raises:
        BadInput: there is no such device or precision here, or the processes that a launcher has started cannot train
            together.
    """
    check_launcher()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it, before its first call
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "no CUDA GPU is visible to torch: check `nvidia-smi` and the torch build, or leave out --device cuda"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise BadInput("torch finds no Apple GPU (MPS) here: leave out --device mps")
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_gpu and not deterministic:
        torch.backends.cudnn.benchmark = True  # batches are of one size: the fastest algorithms are found once
    precision = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "").lower()
    if not precision:
        on_mps = device in ("auto", "mps") and torch.backends.mps.is_available()
        precision = "bf16" if has_bf16(on_gpu) and not on_mps else "no"
    if precision not in PRECISIONS:
        raise BadInput(f"ACCELERATE_MIXED_PRECISION asks for {precision}: say --mixed_precision no, bf16 or fp16")
    if precision == "fp16" and not on_gpu:
        raise BadInput("fp16 needs a CUDA GPU: take --mixed_precision no or bf16")
    # Else it refuses another precision than that of an earlier run of this process, and keeps to that one's device.
    AcceleratorState._reset_state(reset_partial_state=not dist.is_initialized())
    # Only of processes that are said to be on the CPU does accelerate make a group there.
    on_cpu = device == "cpu" or (device == "auto" and not torch.accelerator.is_available())
    try:
        accelerator = Accelerator(cpu=on_cpu, mixed_precision=precision)
    except (ValueError, NotImplementedError, dist.DistError) as error:
        why = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"this process cannot begin ({why}): docs/many_gpus.md has the lines that start several"
        ) from error
    if accelerator.num_processes < started():
        raise BadInput(
            f"{started()} processes were started, and on {accelerator.device.type} each would train alone: start one,"
            " or add --device cpu"
        )
    if accelerator.device.type == "cpu":
        keep_memory()
    return accelerator


def has_bf16(on_gpu: bool) -> bool:
    """Whether products of bfloat16 have units of their own here; emulated ones are slower than float32."""
    if on_gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # AMX, Intel's tiles: a step of CycleGAN takes 0.4 of its time in float32. AVX-512's bf16 was not measured to win.
    known = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch cannot say
    return bool(known.get("amx_bf16"))


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
        BadInput: options, folders or devices cannot work, the folder holds another run, is being played in or holds
            what no run has written under a run's names, or a loss is not finite.
        DataFault: a worker that reads pictures died, hung or raised.
        Stopped: a signal came; the run has been saved.
    """
    run, schedule = RunOptions(**options["run"]), Schedule(**options["schedule"])
    with ExitStack() as stack:
        ear = stack.enter_context(listening())
        accelerator = start(run.device, run.mixed_precision, run.deterministic)
        stack.push(ending(accelerator))
        meeting = stack.enter_context(Meeting(accelerator))
        rows = rows_of(build, data, options)
        build_options, config = with_known(options["build"], config, rows.known())
        rows.check(schedule.batch_size * accelerator.num_processes * schedule.accumulation)
        if getattr(rows, "cache", None) == "device":
            rows.on(accelerator.device)  # pyright: ignore[reportAttributeAccessIssue]
        length = schedule.length(rows.images_per_epoch)
        if schedule.warmup >= length:
            raise BadInput(f"warmup is {schedule.warmup} of {length} images: it must end before the run does")
        torch.manual_seed(schedule.seed)
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always", UserWarning)
            game = build(**build_options)
        if not gives(game):
            raise BadInput(
                f'{pipeline} does not say what it makes: give its game translations = {{"G": ("x", "y")}} where it'
                ' makes pictures of pictures, samples = {"G": "x"} and z_size where it makes them of noise'
            )
        if not hasattr(game, "examine"):
            raise BadInput(f"{pipeline} reads nothing of held-out pictures: give its game examine(batch, draw)")
        check_batch(game, schedule.batch_size)
        folder = Path(run.output or f"runs/{rows.title}-{pipeline}")
        if run.init_from and run.resume not in (*AUTO, "never"):
            raise BadInput("--init_from begins a run, --resume PATH goes on with one: choose one of them")
        begun = bool(checkpoint.saved(folder / CHECKPOINTS))
        taken = init_from(game, Path(run.init_from)) if run.init_from and not begun else []
        networks = networks_of(game)
        means = run.compile, run.channels_last, run.gradient_checkpointing, run.deterministic
        pace, slower = pace_for(accelerator.device, *means, networks, accelerator.mixed_precision)
        settled = {"output": str(folder), "mixed_precision": accelerator.mixed_precision}
        meeting.compare(partial(parts_of, {**config, **settled}, rows, length))
        pace, others_slower = agreed(pace, accelerator)
        slower += [*others_slower, *quicken(networks, pace, accelerator.num_processes)]
        trainer = Trainer(game, schedule, length, accelerator)
        lock = None
        with Meeting(accelerator):
            if accelerator.is_main_process:
                check_run(folder)
                lock = stack.enter_context(locked(folder))
                check_places(folder)
        resumed = resume(trainer, folder, run.resume, config, rows.images_per_epoch)
        # before anything is written: a picture that cannot be read, or is gone later, must not keep a run from saving
        example = rows.held_out(1)
        statistics = minibatches(rows, schedule.batch_size) if trainer.has_statistics else []
        if run.keep_best is not None and trainer.images_seen < length:
            held_out = partial(rows.held_out, run.examined) if run.examined else None
            check_curve(run.keep_best, trainer, minibatches(rows, schedule.batch_size, 1)[0], held_out)
        log = None
        if accelerator.is_main_process:
            write_config(folder, config)
            log = stack.enter_context(Logbook(folder, config, trainer.images_seen, length))
            for line in [*rows.notices, *(str(remark.message) for remark in remarks), *taken, *resumed.lines, *slower]:
                log.say(line)
            for line in [*idle(accelerator), *(not_deterministic(trainer) if run.deterministic else [])]:
                log.say(line)
            log.say(describe(trainer, folder))
        stack.callback(torch.set_num_threads, torch.get_num_threads())  # who called goes on as before
        for line in settle(trainer, rows, resumed.begun, resumed.threads, run.deterministic):
            if log:
                log.say(line)
        keep = partial(
            keep_model,
            trainer=trainer,
            pipeline=pipeline,
            rows=rows,
            options=build_options,
            example=example,
        )
        try:
            left = {"scores": resumed.scores, "owed": resumed.owed, "measured": resumed.measured, "lock": lock}
            Play(trainer, rows, run, folder, log, ear, keep, watch, config, statistics, **left).to_the_end()
            if log:
                log.say(f"{folder / 'model'} is the result; next: {use(game, folder, build_options)}")
        finally:
            if log and rows.skipped:
                log.say(f"{len(rows.skipped)} pictures were skipped: {'; '.join(list(rows.skipped)[:5])}")
        return folder


def rows_of(build: Callable[..., Any], data: Callable[..., Any], options: Mapping[str, Mapping[str, Any]]) -> Rows:
    """The rows that the options ask for. Raises BadInput where they are none, or decide what the user has decided."""
    rows: Rows = data(**options["data"])
    if not hasattr(rows, "known"):
        given = type(rows).__name__
        raise BadInput(f"the data's function gives {given}, no rows: let it return Conditioned.of(...) or its kin")
    known = rows.known()
    for name in known.keys() & options["build"].keys() - options["data"].keys():
        if options["build"][name] not in (None, known[name], default_of(build, name)):
            raise BadInput(f"--{name} is decided by the data, whose function takes no {name}: leave it out")
    return rows


def check_batch(game: Any, batch_size: int) -> None:
    """Raises BadInput where a process holds too few rows for the generators' batch normalisation."""
    if batch_size == 1 and any(
        isinstance(layer, nn.BatchNorm1d) for network in game.generators.values() for layer in network.modules()
    ):
        raise BadInput("batch norm of a single row of numbers is 0: raise --batch_size, or --norm none")


def default_of(build: Callable[..., Any], name: str) -> Any:
    """What an option is where nobody says."""
    return signature(build).parameters[name].default


def with_known(
    options: Mapping[str, Any], config: Mapping[str, Any], known: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of `build` and the config, with what the data knows: it has read what the user said of it, too."""
    filled = {name: value for name, value in known.items() if name in options}
    return {**options, **filled}, {**config, **filled}


def check_places(folder: Path) -> None:
    """Looks whether all that a run replaces or fills in its folder can be, before the first step. Raises BadInput."""
    for name in ("model", BEST):
        check_replaceable(folder / name)
    for place in (CHECKPOINTS, Path(CHECKPOINTS, ASIDE), "samples"):
        check_folder(folder / place, written_into=True)


def minibatches(rows: Rows, batch_size: int, count: int | None = None) -> list[Batch]:
    """The first rows of the run, from which averaged weights learn what batch normalisation must know of them: so many
    minibatches; None: of 256 rows, or fewer where they are large, as they stay in memory."""
    if count is None:
        first = {name: torch.as_tensor(value) for name, value in rows.sample(0).tensors.items()}
        most = STATISTICS_BYTES // sum(4 * tensor.numel() for tensor in first.values())
        count = max(1, min(STATISTICS_ROWS, most) // batch_size)
    starts = [number * batch_size for number in range(count)]
    samples = [[rows.sample(row).tensors for row in range(start, start + batch_size)] for start in starts]
    return [
        {**default_collate(part), "row": torch.arange(start, start + batch_size)}
        for start, part in zip(starts, samples, strict=True)
    ]


def use(game: Any, folder: Path, options: Mapping[str, Any]) -> str:
    """The command that makes pictures with a run."""
    if getattr(game, "translations", {}):
        photo = " (of a photo: --from_photo true)" if options.get("x_as") == "edges" else ""
        return f"quagga translate {folder} PICTURE --output DIR{photo}"
    asked = {"attributes": "--attributes", "caption": "--caption"}.get(options.get("condition", ""))
    joined = " ".join(options["names"][:3]) if asked == "--caption" else ", ".join((options.get("names") or [])[:2])
    words = f" {asked} '{joined}'" if asked else ""
    return f"quagga sample {folder}{words} --output DIR"


def ending(accelerator: Accelerator) -> Callable[..., None]:
    """Ends the process group; not after an error with other processes alive: they may wait in a collective for ever,
    and this process must be free to say what happened. The launcher then ends them."""

    def end(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Stopped) or accelerator.num_processes == 1:
            accelerator.end_training()

    return end


def not_deterministic(trainer: Trainer) -> list[str]:
    """The layers that give other bits every time in spite of `--deterministic`."""
    if trainer.accelerator.device.type == "cpu":
        return []
    networks = {**trainer.game.generators, **trainer.game.discriminators}
    mirrored = [
        f"{name}.{key}"
        for name, network in networks.items()
        for key, layer in network.named_modules()
        if isinstance(layer, nn.ReflectionPad2d) or getattr(layer, "padding_mode", "") == "reflect"
    ]
    some = ", ".join(mirrored[:4]) + (f" and {len(mirrored) - 4} more" if len(mirrored) > 4 else "")
    return [f"not deterministic on a GPU: the gradient of mirrored borders, in {some}"] if mirrored else []


def idle(accelerator: Accelerator) -> list[str]:
    """A line where more could train than do: GPUs that stand by, processes that were asked for and not started."""
    if accelerator.num_processes > 1:
        return []
    on_gpu = accelerator.device.type == "cuda"
    if on_gpu and (count := torch.cuda.device_count()) > 1:
        return [
            f"one of {count} GPUs is used: `accelerate launch --multi_gpu --num_processes {count} -m quagga train ...`"
            " uses all, docs/many_gpus.md"
        ]
    if not asked_for_several():
        return []
    two = "`torchrun --standalone --nproc_per_node 2 -m quagga train ...` starts two, docs/many_gpus.md"
    why = "this machine has one GPU" if on_gpu else f"on a CPU it starts no more; {two}"
    return [f"`accelerate launch` was asked for several processes and has started one: {why}"]


def describe(trainer: Trainer, folder: Path) -> str:
    """What begins, for the user: images, device, precision, parameters, how to watch; or that none are left to play."""
    length, accelerator, game = trainer.length, trainer.accelerator, trainer.game
    networks = networks_of(game)
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
        for name, network in [*game.generators.items(), *game.discriminators.items()]
    )
    where = f"{accelerator.num_processes} x {accelerator.device.type}, mixed precision: {accelerator.mixed_precision}"
    where += ", compiled" if any(network._compiled_call_impl for network in networks) else ""
    begun = f"going on from {trainer.images_seen:,} of" if trainer.images_seen else "playing"
    if trainer.images_seen >= length:
        return f"{folder} has seen its {length:,} images: raise --images or --epochs to go on"
    watch = f"tensorboard --samples_per_plugin images=200 --logdir {folder}"
    return f"{begun} {length:,} images on {where}\nparameters: {sizes}\nwatch: {watch}"


def keep_model(
    folder: Path,
    trainer: Trainer,
    pipeline: str,
    rows: Rows,
    options: Mapping[str, Any],
    example: Batch,
) -> None:
    """Writes the generators as a folder that describes itself."""
    game: Any = trainer.game
    translations, samples = getattr(game, "translations", {}), getattr(game, "samples", {})
    golden = {name: (example[source],) for name, (source, _target) in translations.items()}
    for name in samples:
        z = torch.randn(1, game.z_size, generator=torch.Generator().manual_seed(0))
        golden[name] = (z, example["c"][:1]) if "c" in example else (z,)
    save_model(
        folder,
        pipeline=pipeline,
        options=dict(options),
        networks=game.generators,
        translations=translations,
        samples=samples,
        domains=rows.domains(),
        preprocessing=rows.preprocessing(),
        images_seen=trainer.images_seen,
        golden=golden,
    )
