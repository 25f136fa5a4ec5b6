"""One training step, of ours in any setting or of the reference's, in a process of its own.

Accelerate knows one precision a process, and the highest memory is a process's. So each subject lives alone, is told
through a pipe to take some steps, and answers with the milliseconds; who compares several lets them take turns.
"""

import contextlib
import gc
import importlib
import io
import multiprocessing
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
DISTINCT = 8  # batches that take turns
CLASSES = 10
PAIRED = ("cyclegan", "cut", "pix2pix")  # with two pictures a row

Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What takes steps.

    Args:
        pipeline: of ours; cyclegan and pix2pix are the reference's too.
        reference: a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, which is driven at its own defaults; None: ours.
        size: side of the pictures in pixels.
        batch_size: rows of a step.
        precision: no (float32), bf16; None: what `quagga train` takes on this device.
        compile: torch.compile; None as before.
        channels_last: the networks' memory format; None as before.
        gradient_checkpointing: activations are computed again instead of being kept.
        device: cpu or cuda.
        width: channels after a generator's first layer.
        build: further options of the pipeline.
        images: a folder of pictures; None: noise.
        threads: of the CPU; None: torch's own choice.
    """

    pipeline: str = "cyclegan"
    reference: Path | None = None
    size: int = 256
    batch_size: int = 1
    precision: str | None = "no"
    compile: bool | None = False
    channels_last: bool | None = False
    gradient_checkpointing: bool = False
    device: str = "cpu"
    width: int = 64
    build: dict[str, Any] = field(default_factory=dict)
    images: Path | None = None
    threads: int | None = None


# -- the subjects ------------------------------------------------------------------------------------------------------


def pictures(setting: Setting) -> list[Tensor]:
    """Eight batches (N, 3, H, W) in [-1, 1]: noise, or the first pictures of a folder."""
    size, count = setting.size, DISTINCT * setting.batch_size
    if setting.images is None:
        stack = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    else:
        files = sorted(f for f in setting.images.rglob("*") if f.suffix.lower() in SUFFIXES)
        if not files:
            raise SystemExit(f"{setting.images} has 0 pictures: expected {', '.join(SUFFIXES)}")
        opened = [Image.open(files[n % len(files)]).convert("RGB") for n in range(count)]
        arrays = [np.asarray(ImageOps.fit(picture, (size, size)), dtype=np.float32) for picture in opened]
        stack = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1
    return list(stack.to(setting.device).split(setting.batch_size))


def trainer(setting: Setting) -> Any:
    """Our trainer, as `quagga train` would make it for this setting."""
    from quagga.option_groups import call_flat
    from quagga.pipelines import PIPELINES
    from quagga.pipelines.core.game_protocol import networks_of
    from quagga.pipelines.core.minimax_trainer import Trainer
    from quagga.pipelines.core.schedule import Schedule
    from quagga.training.hardware.acceleration import acceleration_for, apply_acceleration
    from quagga.training.hardware.device_setup import start_accelerator

    options = {"width": setting.width, **setting.build}
    if setting.pipeline in PAIRED:
        options["crop_size"] = setting.size
    else:
        options |= {"size": setting.size, "x_channels": 3}
    if setting.pipeline == "conditional":
        options["names"] = [str(number) for number in range(CLASSES)]
    torch.manual_seed(0)
    game = call_flat(importlib.import_module(PIPELINES[setting.pipeline][0]).build, **options)
    endless = 10**12
    schedule = Schedule(images=endless, batch_size=setting.batch_size)
    accelerator = start_accelerator(setting.device, setting.precision)
    networks = networks_of(game)
    means = setting.compile, setting.channels_last, setting.gradient_checkpointing, False
    pace, _ = acceleration_for(accelerator.device, *means, networks, accelerator.mixed_precision)
    apply_acceleration(networks, pace)
    return Trainer(game, schedule, endless, accelerator)


def batches(setting: Setting) -> Iterator[dict[str, Tensor]]:
    """What our trainer plays with, for ever."""
    data, n = pictures(setting), setting.batch_size
    classes = torch.arange(n, device=setting.device) % CLASSES
    more = {"c": classes, "other": classes.roll(1)} if setting.pipeline == "conditional" else {}
    for i in count():
        batch = {"x": data[i % DISTINCT], "y": data[(i + 1) % DISTINCT]}
        yield {**batch, **more, "row": torch.arange(i * n, (i + 1) * n)}


def played(player: Any, rows: Iterator[dict[str, Tensor]]) -> Step:
    """A call of the returned function is one whole step of our trainer."""
    steps = player.play(rows)
    return lambda: next(steps)


def ours(setting: Setting) -> Step:
    """The same of a new trainer."""
    return played(trainer(setting), batches(setting))


def chosen(step: Step, steps: int) -> int:
    """The number of threads that a run of so many steps begins with, and is played with from here on."""
    from quagga.training.hardware.cpu_threads import ThreadTrial, plan_trial, run_trial

    counts, rounds = plan_trial(torch.get_num_threads(), steps)
    if rounds:
        trial = ThreadTrial(run_trial(step, counts, rounds, torch.set_num_threads), 0.0)
        torch.set_num_threads(trial.chosen)
    return torch.get_num_threads()


def looked(player: Any, batch: dict[str, Tensor]) -> None:
    """As a run looks at its pictures: strips of the averaged generators, whose statistics are taken anew before, over
    minibatches of the training's size."""
    from quagga.training.reporting.sample_sheets import draw_strips

    draw_strips(player, {name: tensor[:4] for name, tensor in batch.items()}, [batch], averaged=True)


def blocks_of(setting: Setting) -> int:
    """Residual blocks of CycleGAN's generators, where nothing is said as many as the paper takes (Sec. 7.2)."""
    return setting.build.get("blocks") or (9 if setting.size >= 256 else 6)


def reference(setting: Setting) -> Step:
    """A call of the returned function is one pass of the reference's inner loop: set_input, optimize_parameters."""
    data = pictures(setting)
    rows = [{"A": data[i], "B": data[(i + 1) % DISTINCT], "A_paths": "", "B_paths": ""} for i in range(DISTINCT)]
    large = setting.size >= 256
    model, network = {
        "cyclegan": ("cycle_gan", f"resnet_{blocks_of(setting)}blocks"),
        "pix2pix": ("pix2pix", "unet_256" if large else "unet_128"),
    }[setting.pipeline]
    sys.path.insert(0, str(setting.reference))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        argv, sys.argv = sys.argv, ["train.py", "--dataroot", folder, "--checkpoints_dir", folder]
        sys.argv += ["--model", model, "--netG", network, "--ngf", str(setting.width)]
        sys.argv += ["--batch_size", str(setting.batch_size)]
        options = importlib.import_module("options.train_options").TrainOptions().parse()
        sys.argv = argv
        options.device = torch.device(setting.device)
        made = importlib.import_module("models").create_model(options)
        made.setup(options)
    taken = 0

    def step() -> None:
        nonlocal taken
        made.set_input(rows[taken % DISTINCT])
        made.optimize_parameters()
        taken += 1

    return step


# -- what is read off them ---------------------------------------------------------------------------------------------


def wait(device: str) -> None:
    """Until the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def milliseconds(step: Step, device: str, steps: int = 1) -> float:
    """Of one step, over `steps` in a row: between them the host does not wait for the device, as in training."""
    wait(device)
    start = perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return 1000 * (perf_counter() - start) / steps


def highest_memory(device: str) -> float:
    """MiB: the largest resident set this process ever had, or the most that tensors took on a CUDA device."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def flops(step: Step) -> float:
    """Floating-point operations of one step, forward and backward, multiplications and additions counted apart; those
    of convolutions and matrix products, which are nearly all. The step must be eager: compiled code is not seen."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def flops_of_a_row(setting: Setting) -> float:
    """Of a step of ours, divided by its rows, played plainly in this process."""
    rows = 1 if setting.pipeline in PAIRED else 2  # batch norm wants two
    plain = replace(setting, batch_size=rows, compile=False, channels_last=False, gradient_checkpointing=False)
    return flops(ours(plain)) / rows


def matrix_rate(device: str, dtype: torch.dtype, side: int | None = None, repeats: int = 10) -> float:
    """FLOP/s of a product of two square matrices, the median of some: what the hardware gives to whoever asks well. On
    CUDA float32 is rounded to TF32 if convolutions are, of which steps are made."""
    n = side or (8192 if device.startswith("cuda") else 2048)
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, rounds(device)
    try:
        milliseconds(lambda: a @ b, device, 3)
        return 2 * n**3 / (median(milliseconds(lambda: a @ b, device) for _ in range(repeats)) / 1000)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def rounds(device: str) -> bool:
    """Whether convolutions in float32 take TF32."""
    return device.startswith("cuda") and torch.backends.cudnn.allow_tf32


def copy_rate(device: str, mebibytes: int = 1024) -> float:
    """Bytes/s that a copy on the device reads and writes."""
    source = torch.zeros(mebibytes * 2**18, device=device)
    target = torch.empty_like(source)
    milliseconds(lambda: target.copy_(source), device, 3)
    return (
        2 * 2**20 * mebibytes / (median(milliseconds(lambda: target.copy_(source), device) for _ in range(10)) / 1000)
    )


# -- in a process of its own -------------------------------------------------------------------------------------------


class Failed(RuntimeError):
    """What the other process could not do, in one line."""


class Subject:
    """A process that takes steps when it is told.

    Args:
        setting: of what; `become` changes it, within one precision.
        longest: seconds that any one answer may take.
        until: when the last answer must have come, by perf_counter.

    Raises Failed if it cannot begin; the process is then ended.
    """

    def __init__(self, setting: Setting, longest: float = inf, until: float = inf):
        # Not a fork, which would inherit what this process holds, and could not use CUDA.
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.setting, self.longest, self.until = setting, longest, until
        self.process = context.Process(target=serve, args=(other, setting.threads), daemon=True)
        self.process.start()
        other.close()
        try:
            self.become(setting)
        except Failed:
            self.end()  # else it would keep its memory while the others are measured
            raise

    def become(self, setting: Setting) -> None:
        """Begins anew with another setting. Raises Failed."""
        self.setting = setting
        self._ask("become", setting)

    def milliseconds(self, count: int = 1) -> float:
        """Of a step, over `count` of them. Raises Failed."""
        return self._ask("milliseconds", count)

    def choose(self, steps: int) -> int:
        """Sets and returns the number of threads that a run of ours of so many steps begins with, by its trial steps.
        Raises Failed."""
        return self._ask("choose", steps)

    def look(self) -> None:
        """At pictures, as a run does where they are due; of ours alone. Raises Failed."""
        self._ask("look", 0)

    def memory(self) -> float:
        """MiB at most since it became what it is; on the CPU since it began."""
        return self._ask("memory", 0)

    def flops_of_a_row(self) -> float:
        """Operations of a step for each row of it."""
        return self._ask("flops", 0)

    def _ask(self, what: str, value: Any) -> Any:
        seconds = max(0.0, min(self.longest, self.until - perf_counter()))
        try:
            self.pipe.send((what, value))
            if not self.pipe.poll(seconds if seconds < inf else None):
                self.end()
                raise Failed(f"no answer after {seconds:.0f} s")
            good, answer = self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            raise Failed("its process has died, perhaps for lack of memory") from None
        if not good:
            raise Failed(answer)
        return answer

    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self.process.is_alive()

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.join()

    def __enter__(self) -> "Subject":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def serve(pipe: Connection, threads: int | None) -> None:
    """The other process: obeys until it is ended."""
    if threads:
        torch.set_num_threads(threads)
    step: Step | None = None
    player: Any = None  # our trainer, and what it is given
    rows: Iterator[dict[str, Tensor]] = iter(())
    setting = Setting()
    while True:
        try:
            what, value = pipe.recv()
        except EOFError:
            return
        try:
            if what == "become":
                setting, step, player, rows = value, None, None, iter(())
                torch.compiler.reset()
                gc.collect()
                if setting.device.startswith("cuda"):
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                if setting.reference:
                    step = reference(setting)
                else:
                    player, rows = trainer(setting), batches(setting)
                    step = played(player, rows)
                answer = None
            elif what == "milliseconds":
                assert step is not None
                answer = milliseconds(step, setting.device, value)
            elif what == "choose":
                assert step is not None
                answer = chosen(step, value)
            elif what == "look":
                answer = looked(player, next(rows))
            elif what == "memory":
                answer = highest_memory(setting.device)
            else:
                answer = flops_of_a_row(setting)
            pipe.send((True, answer))
        except BaseException as error:  # also SystemExit of an option parser: the other side is to hear of it
            step = player = None
            if not isinstance(error, torch.OutOfMemoryError):
                traceback.print_exc(limit=-4)
            said = str(error).strip().splitlines()
            pipe.send((False, f"{type(error).__name__}: {said[0] if said else ''}"[:200]))
