"""Reads what launchers (torchrun, `accelerate launch`, a user's script) put into the environment of a process.

This module imports the standard library only, since the command line uses it before torch is imported.
"""

import os

from quagga.errors import BadInput

# accelerate's variables ACCELERATE_USE_...
UNSUPPORTED_ENGINES = {"DEEPSPEED": "DeepSpeed", "FSDP": "FSDP", "MEGATRON_LM": "Megatron-LM"}
# torch.distributed needs all of them
RENDEZVOUS_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched_processes() -> int:
    """Returns the number of processes that a launcher has started for this run; 1: this one alone, or no launcher."""
    return _environment_number("WORLD_SIZE", 1)


def is_distributed() -> bool:
    """Returns whether this is one of several processes that train together."""
    return launched_processes() > 1


def is_first_process() -> bool:
    """Returns whether this process is alone, or the first of all."""
    return not is_distributed() or _environment_number("RANK", 0) == 0


def is_first_on_machine() -> bool:
    """Returns whether this process is alone, or the first on its machine."""
    return not is_distributed() or _environment_number("LOCAL_RANK", 0) == 0


def check_launcher() -> None:
    """Raises BadInput if the environment asks for an engine that cannot train a game, or says that this is one of
    several processes without saying where they meet."""
    for key, engine in UNSUPPORTED_ENGINES.items():
        if os.environ.get(f"ACCELERATE_USE_{key}", "").lower() == "true":
            raise BadInput(
                f"{engine} pairs one engine with one model and a game has several: choose plain multi-GPU in"
                f" `accelerate config`, or unset ACCELERATE_USE_{key}"
            )
    single = {"LOCAL_RANK": "-1", "WORLD_SIZE": "1"}  # their values for a single process
    found = {name: os.environ[name] for name, value in single.items() if os.environ.get(name) not in (None, "", value)}
    missing = [name for name in RENDEZVOUS_VARIABLES if not os.environ.get(name)]
    if found and missing:
        stated = " and ".join(f"{name}={value}" for name, value in found.items())
        raise BadInput(
            f"the environment says {stated}, as if this were one of several processes, and not"
            f" {', '.join(missing)}: start them with torchrun or `accelerate launch`, or unset"
            f" {' and '.join(found)}"
        )


def launched_fewer_than_asked() -> bool:
    """Returns whether `accelerate launch` was asked for more than the one process it has started: for a CPU, or without
    --multi_gpu, it starts one, whatever --num_processes says. It does not pass the number on, but it sets the address
    of a process group for a single process."""
    return not is_distributed() and all(
        os.environ.get(name) for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR", "MASTER_PORT")
    )


def _environment_number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
