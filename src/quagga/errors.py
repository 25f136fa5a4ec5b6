"""Errors that users see: bad input, and resources that the machine has run out of.

This module imports the standard library only, since `quagga --help` must not wait for torch.
"""

import errno
from collections.abc import Sequence

# In messages of torch and its libraries when memory runs out. (cuDNN finds only engines for which there is memory.)
OUT_OF_MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "unable to find an engine",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
)
SHARED_MEMORY_PHRASES = ("</torch_", "shared memory")  # torch could not pass a tensor to another process
OUT_OF_MEMORY, COMPILATION_FAILED = "out of memory", "the networks could not be compiled"


class BadInput(ValueError):
    """The user's input cannot work. The message is one line that names the next move; the command line exits with code
    2."""


def some(names: Sequence[object], most: int) -> str:
    """Returns at most the first `most` names, and how many more there are: "a, b, c and 4 more"."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest


def one_line(error: object, limit: int | None = 200) -> str:
    """Returns an error's message as one line, cut to `limit` characters; None: not cut."""
    return " ".join(str(error).split())[:limit]


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether memory ran out. Torch's errors are recognized by their text, since this module must not import
    torch, which has a class for them only on CUDA."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in OUT_OF_MEMORY_PHRASES))
    )


def exhausted_resource(error: Exception) -> str | None:
    """Returns which resource ran out and the next move, in one line; None for any other error."""
    text = str(error)
    if is_out_of_memory(error):  # first, since a compiler may wrap this error in its own
        return (
            f"{OUT_OF_MEMORY}: lower --batch_size (--accumulation keeps the effective batch), --crop_size or --width,"
            " or take --gradient_checkpointing true; `quagga plan PIPELINE ...` in place of train shows what fits"
            f" ({text.splitlines()[0][:120] if text else type(error).__name__})"
        )
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo", "triton")):
        return f"{COMPILATION_FAILED} ({one_line(error)}): --compile false runs them uncompiled"
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left on device" in text:
        if any(phrase in text for phrase in SHARED_MEMORY_PHRASES) or raising_module(error).startswith(
            "multiprocessing"
        ):
            return (
                "no shared memory left (/dev/shm), through which data workers pass the pictures they have read: take"
                " --workers 0, or give the container more (docker run --shm-size 2g)"
            )
        path = getattr(error, "filename", None)
        return f"no space left on the disk{f' for {path}' if path else ''}: free some, or choose another --output"
    return None


def raising_module(error: BaseException) -> str:
    """Returns the name of the module that raised an error; "" if unknown."""
    name, trace = "", error.__traceback__
    while trace is not None:
        name, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return name
