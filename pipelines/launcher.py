"""What launchers (torchrun, `accelerate launch`, a script of one's own) leave in the environment of a process.

This module needs the standard library only: the command line asks it before torch is imported.
"""

import os

from quagga import BadInput

# accelerate's variables ACCELERATE_USE_...
ENGINES = {"DEEPSPEED": "DeepSpeed", "FSDP": "FSDP", "MEGATRON_LM": "Megatron-LM"}
MEETING = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # without one of these torch.distributed cannot begin


def started() -> int:
    """How many processes a launcher says that it has started for this run; 1: this one alone, or no launcher."""
    return _number("WORLD_SIZE", 1)


def several() -> bool:
    """Whether this is one process of several that train together."""
    return started() > 1


def first() -> bool:
    """Whether this process is alone, or the first of all."""
    return not several() or _number("RANK", 0) == 0


def first_here() -> bool:
    """Whether this process is alone, or the first on its machine."""
    return not several() or _number("LOCAL_RANK", 0) == 0


def check_launcher() -> None:
    """Raises BadInput where the environment asks for an engine that cannot play a game, or names this process one of
    several and does not say where they meet."""
    for key, engine in ENGINES.items():
        if os.environ.get(f"ACCELERATE_USE_{key}", "").lower() == "true":
            raise BadInput(
                f"{engine} pairs one engine with one model and a game has several: choose plain multi-GPU in"
                f" `accelerate config`, or unset ACCELERATE_USE_{key}"
            )
    alone = {"LOCAL_RANK": "-1", "WORLD_SIZE": "1"}
    said = [
        f"{name}={os.environ[name]}" for name, value in alone.items() if os.environ.get(name) not in (None, "", value)
    ]
    missing = [name for name in MEETING if not os.environ.get(name)]
    if said and missing:
        raise BadInput(
            f"the environment says {' and '.join(said)}, as if this were one of several processes, and not"
            f" {', '.join(missing)}: start them with torchrun or `accelerate launch`, or unset"
            f" {' and '.join(word.partition('=')[0] for word in said)}"
        )


def asked_for_several() -> bool:
    """Whether `accelerate launch` was asked for more than the one process it has started: for a CPU, or without
    --multi_gpu, it starts one, whatever --num_processes says. The number is not handed on, but then it leaves an
    address to meet at and nobody to meet there."""
    return not several() and all(os.environ.get(name) for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR", "MASTER_PORT"))


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else otherwise
