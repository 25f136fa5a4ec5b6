"""A run small enough to be stopped a thousand times, and what it leaves, byte by byte.

Called as a program, it is `quagga` with a signal to itself on the way, for one process of several:

    python benchmarks/tiny_run.py SIGTERM:5:0 train cyclegan ...    after step 5, on the process of rank 0
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before torch: a net of four channels gains nothing by more, and forks of a process with one thread are safe.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import quagga.pipelines.cyclegan
import quagga.training.train  # noqa: F401  what a run imports when it is called is here already, for forks
from quagga.cli.main import command_line
from quagga.data.synthetic import scenes
from quagga.training import checkpoint
from quagga.training.loop import TrainingLoop

OPTIONS = {
    "load_size": 20,
    "crop_size": 16,
    "width": 4,
    "blocks": 1,
    "width_discriminator": 4,
    "layers": 1,
    "lr": 0.001,
    "workers": 0,
    "device": "cpu",
    "pool_size": 3,
    "x_name": "horse",
    "y_name": "zebra",
    "diffaugment": "[color]",
    # points, strips and checkpoints at moments that have nothing to do with where a run is stopped
    "log_every": 3,
    "sample_every": 11,
    "save_every": 7,
}


def pictures(folder: Path) -> Path:
    return scenes.write(folder / "pictures", train=8, test=4, size=32)


def words(root: Path, output: Path, **options: object) -> list[str]:
    """The command line of a run."""
    chosen = {**OPTIONS, "root": root, "output": output, **options}
    return ["train", "cyclegan", *(f"--{name}={value}" for name, value in chosen.items())]


@contextmanager
def signalled(number: int, step: int, rank: int = 0) -> Iterator[None]:
    """Within, a run sends itself a signal after so many steps."""
    after_step, count = TrainingLoop.after_step, 0

    def counting(self: TrainingLoop, seen: int) -> None:
        nonlocal count
        count += 1
        if count == step and os.environ.get("RANK", "0") == str(rank):
            os.kill(os.getpid(), number)
        after_step(self, seen)

    TrainingLoop.after_step = counting
    try:
        yield
    finally:
        TrainingLoop.after_step = after_step


def another_second() -> None:
    """TensorBoard puts event files in order by the second in their names; two starts of a run are further apart."""
    time.sleep(1.01 - time.time() % 1)


def left(run: Path) -> dict[str, Any]:
    """What a run has left: every number and tensor of its newest checkpoint and model, and every point of every curve
    but those of the clock."""
    newest = checkpoint.list_saved(run / "checkpoints")[-1]
    state = checkpoint.load(newest)
    del state["config"], state["intervals"]  # which name the folder, and hold seconds
    found = dict(flat("state", state))
    found |= {f"model/{path.name}": path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))}
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    for tag in events.Tags()["scalars"]:
        if not tag.startswith("speed/"):
            found[f"curve/{tag}"] = [(point.step, point.value) for point in events.Scalars(tag)]
    return found


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(f"{name}/{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from flat(f"{name}/{number}", item)
    elif isinstance(value, torch.Tensor):
        yield (
            name,
            value.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.ndim else repr(value.item()),
        )
    else:
        yield name, value


def differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Bytes that differ; a number, a point or a name that is missing on one side counts as one."""
    count = len(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if isinstance(a, bytes) and isinstance(b, bytes):
            count += abs(len(a) - len(b)) + sum(x != y for x, y in zip(a, b, strict=False))
        elif isinstance(a, list):
            count += len(set(a) ^ set(b)) + abs(len(a) - len(b))
        else:
            count += repr(a) != repr(b)
    return count


if __name__ == "__main__":
    name, step, rank = sys.argv[1].split(":")
    with signalled(getattr(signal, name), int(step), int(rank)):
        code = command_line(sys.argv[2:])
    sys.stdout.flush()
    os._exit(code)  # gloo's processes now and then abort on their way out
