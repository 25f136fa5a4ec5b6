"""Stopped and resumed against never stopped: how many bytes differ.

    python benchmarks/resume.py --output benchmarks/results/resume.txt

One process: a run of 24 steps is stopped by a signal after every single one of its steps, goes on, and is compared with
the run that was never stopped: all of the last checkpoint (weights, optimisers, averages, pools, rows, counters), the
model, and every curve but those of the clock. Two processes: the same; and a change of their number, in float64 with
plain gradient descent, where the order of a sum is the only difference.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from report import processor
from tiny_run import another_second, differing, left, pictures, signalled, words

from quagga.cli.main import command_line
from quagga.training import checkpoint

STEPS = 24
HERE = Path(__file__).resolve().parent
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
CASES = [(workers, accumulation) for workers in (0, 2) for accumulation in (1, 2)]


def one_process(folder: Path, workers: int, accumulation: int, stops: list[int]) -> int:
    """Bytes that differ, over all the stops."""
    root = pictures(folder)
    options = {"images": STEPS * accumulation, "workers": workers, "accumulation": accumulation}
    assert command_line(words(root, folder / "straight", **options)) == 0
    straight, count = left(folder / "straight"), 0
    for stop in stops:
        run = folder / f"stopped-{stop}"
        with signalled(signal.SIGTERM, stop):
            code = command_line(words(root, run, **options))
        assert code == (143 if stop < STEPS else 0), code
        another_second()
        assert command_line(words(root, run, **options)) == 0
        count += differing(straight, left(run))
    return count


def two_processes(folder: Path, workers: int, accumulation: int, stop: int) -> int:
    """Bytes that differ after a signal to the second of two processes."""
    root = pictures(folder)
    options = {"images": STEPS * accumulation, "workers": workers, "accumulation": accumulation}
    launched(["-m", "quagga", *words(root, folder / "straight", **options)])
    stopped = words(root, folder / "stopped", **options)
    launched([str(HERE / "tiny_run.py"), f"SIGTERM:{stop}:1", *stopped])
    assert not (folder / "stopped" / "checkpoints" / f"{STEPS * accumulation:09d}").exists(), "it did not stop"
    another_second()
    launched(["-m", "quagga", *stopped])
    return differing(left(folder / "straight"), left(folder / "stopped"))


def launched(command: list[str], processes: int = 2, **environment: str) -> None:
    """gloo's processes may abort after their work is done: they are judged by what they leave."""
    env = os.environ | {"OMP_NUM_THREADS": "1", **environment}
    subprocess.run([*LAUNCH, str(processes), *command], env=env, capture_output=True, timeout=300)


# Where the game that is played stands, and what it borrows.
TESTS = os.pathsep.join(str(HERE.parent / "tests" / room) for room in ("", "pipelines/core"))
GAME = """
import json, os, sys, torch
sys.path[:0] = os.environ["TESTS"].split(os.pathsep)
from accelerate import Accelerator
from test_minimax_trainer import small_cyclegan
from toys import Rows, weights
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.training import checkpoint
processes, until = json.loads(os.environ["LEG"])
accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == processes
game = small_cyclegan(seed=accelerator.process_index, pool_size=4)
trainer = Trainer(game, Schedule(images=24, batch_size=2 // processes, optimizer="sgd", lr=0.01), 24, accelerator)
from pathlib import Path
folder = Path(os.environ["FOLDER"])
if (saved := checkpoint.list_saved(folder)):
    trainer.load_state_dict(checkpoint.load(saved[-1]))
for seen in trainer.play(Rows(2 // processes, place=(accelerator.process_index, processes)).batches(trainer.row)):
    if seen == until:
        break
state = trainer.state_dict()
if accelerator.is_main_process:
    checkpoint.save(folder, until, state, keep=9)
"""


def other_numbers_of_processes(folder: Path, legs: list[tuple[int, int]]) -> float:
    """The largest difference of a weight, a pool or a running sum from the same 24 images on one process. `legs`:
    (processes, images until which they play)."""
    script = folder / "game.py"
    script.write_text(GAME)
    states = []
    for name, plan in {"straight": [(1, 24)], "changed": legs}.items():
        for leg in plan:
            environment = {"LEG": json.dumps(leg), "FOLDER": str(folder / name), "TESTS": TESTS}
            launched([str(script)], leg[0], **environment)
        state = checkpoint.load(folder / name / "000000024")
        states.append({k: v for k, v in tensors("", state) if "memory" in k or "ators" in k})
    straight, changed = states
    assert straight.keys() == changed.keys()
    return max(float((straight[key] - changed[key]).abs().max()) for key in straight)


def tensors(name: str, value: object):
    if isinstance(value, torch.Tensor):
        yield name, value.double()
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors(f"{name}/{key}", item)


def report() -> list[str]:
    lines = ["stopped and resumed against never stopped", ""]
    with tempfile.TemporaryDirectory() as temporary:
        for workers, accumulation in CASES:
            folder = Path(temporary) / f"{workers}-{accumulation}"
            count = one_process(folder, workers, accumulation, list(range(1, STEPS)))
            lines.append(
                f"1 process, {workers} workers, accumulation {accumulation}: {STEPS - 1} stops, {count} differing bytes"
            )
            print(lines[-1], flush=True)
        good = 0
        for workers, accumulation, stop in ((0, 1, 5), (0, 2, 11), (1, 1, 7)):
            count = two_processes(Path(temporary) / f"two-{stop}", workers, accumulation, stop)
            good += count == 0
            lines.append(
                f"2 processes, {workers} workers, accumulation {accumulation}, stop at {stop}: {count} differing bytes"
            )
            print(lines[-1], flush=True)
        for legs in ([(1, 10), (2, 24)], [(2, 10), (1, 24)], [(1, 6), (2, 14), (1, 24)]):
            folder = Path(temporary) / f"legs-{'-'.join(str(leg[0]) for leg in legs)}"
            folder.mkdir()
            distance = other_numbers_of_processes(folder, legs)
            good += distance < 1e-12
            path = " -> ".join(str(processes) for processes, _ in legs)
            lines.append(f"{path} processes: largest difference {distance:.1e} (float64; promised below 1e-12)")
            print(lines[-1], flush=True)
        lines.append(f"with 2 processes, and with a change of their number: {good} of 6")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a text file for the figures")
    chosen = parser.parse_args()
    text = "\n".join([*report(), "", f"{processor()}, torch {torch.__version__}"]) + "\n"
    print(text)
    if chosen.output:
        chosen.output.write_text(text)
