"""The command line: which module answers to which word, and what a failure looks like.

Torch takes two seconds to import and `quagga --help` must not wait for it: this file needs the standard library only,
and the module of a command is imported when that command is called. `COMMANDS` and `PIPELINES` are the only look-ups by
name in the package.
"""

import difflib
import errno
import inspect
import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NoReturn

from quagga import BadInput, __version__
from quagga.pipelines.launcher import first, first_here, several
from quagga.pipelines.other_trainers import called_here
from quagga.pipelines.printable import escaping, printable
from quagga.pipelines.stop import Stopped, listening

COMMANDS = {  # name -> (module with `main(argv) -> int`, help line)
    "train": ("quagga.pipelines.options", "train a pipeline on your pictures"),
    "plan": ("quagga.pipelines.plan", "which batch and crop fit this device, how long it takes, and the command"),
    "translate": ("quagga.pipelines.translate", "translate pictures with what was trained"),
    "sample": ("quagga.pipelines.sample_command", "make pictures of noise and conditions with what was trained"),
    "verify": ("quagga.pipelines.verify", "replay what was saved with a model: does it still come out the same?"),
    "import": ("quagga.pipelines.import_command", "make a run of weights of the CycleGAN and pix2pix authors' program"),
    "export": ("quagga.pipelines.export_command", "write a run's networks as weights for that program"),
    "data": ("quagga.pipelines.data_command", "get pictures, check them, look at what training will see"),
    "demo": ("quagga.pipelines.demo", "from horses to zebras in minutes, on any machine, without a download"),
}
PIPELINES = {  # name -> (module with `build`, `data` and `defaults`, help line)
    "cyclegan": ("quagga.pipelines.cyclegan", "two folders of pictures, unpaired: horses <-> zebras"),
    "pix2pix": ("quagga.pipelines.pix2pix", "pairs of pictures: edges -> photos, label maps -> facades"),
    "conditional": (
        "quagga.pipelines.conditional",
        "pictures with classes, attributes or captions -> new ones as asked",
    ),
    "gan": ("quagga.pipelines.gan", "one folder of pictures -> new ones like them"),
}
PLAYED = ("train", "demo")  # what saves when a signal comes
ENDED = ("Connection closed by peer", "Connection reset by peer", "ncclRemoteError")  # gloo's and NCCL's words
UNREACHED = ("DistBackendError", "DistNetworkError", "DistStoreError")  # torch's errors between processes
# Torch's words and its libraries'. Of cuDNN's engines only those are found that have room.
NO_MEMORY = ("out of memory", "can't allocate memory", "unable to find an engine", "ALLOC_FAILED", "ALLOCATION_FAILED")
SHARED_MEMORY = ("</torch_", "shared memory")  # where torch cannot hand a tensor to another process
OUT_OF_MEMORY, UNCOMPILED = "out of memory", "the networks could not be compiled"
HELP = ("-h", "--help")
LONGEST_NAME = 255  # bytes of the name of a file or folder, on the disks of Linux, macOS and Windows


def command_line(argv: Sequence[str]) -> int:
    """Obeys `quagga ARGV...`; returns the exit code: 0; 2 for bad input or a machine that cannot (one line on stderr);
    128 + its number for a signal, such as 130 for Ctrl-C and 143 for SIGTERM; 1 for a bug of ours (one line, with the
    file that holds the traceback)."""
    open_streams()
    return explained(lambda: dispatch(list(argv)))


def main(
    build: Callable[..., Any],
    data: Callable[..., Any] | None = None,
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> NoReturn:
    """The whole command line for a game written outside this package. A file `stripes.py` that ends with

        if __name__ == "__main__":
            quagga.main(build)

    is called as `python stripes.py train --x A --y B --output runs/mine`, by `accelerate launch` too.

    Args:
        build: the function that makes the game; its typed keyword arguments become options of `train`
        data: the class of its data, or a function that makes it; fields or typed keyword arguments become options as
            well, and one of the same name, such as `seed`, is the same option; None: two folders, unpaired (`Unpaired`)
        argv: what stands after the file's name; None: what the process was started with
        defaults: options whose defaults are others than data, `Schedule` and `RunOptions` have: {"batch_size": 64}
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    sys.exit(explained(lambda: dispatch_for(build, data, arguments, defaults), ours=False))


def open_streams() -> None:
    """Opens the null device in place of standard streams that are closed, as daemons are often started. Else printing
    raises, and the next file to be opened takes their number, and with it what C libraries print."""
    streams = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
    for number in range(len(streams)):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number, which is this one, is taken
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, mode in streams:
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def dispatch(argv: list[str]) -> int:
    """Calls the command that `argv` begins with, or prints help; returns the exit code.

    Raises:
        BadInput: the command or the pipeline is unknown, or what the command raises.
    """
    if not argv or argv[0] in HELP:
        print(usage("quagga COMMAND [OPTION ...]", "commands", COMMANDS, "`quagga COMMAND --help` says more of each."))
        return 0
    if argv[0] == "--version":
        print(f"quagga {__version__}")
        return 0
    command, *rest = argv
    if command not in COMMANDS:
        raise BadInput(f"unknown command {command}{suggestion(command, COMMANDS)}")
    if command in ("train", "plan"):
        if not rest or rest[0] in HELP:
            after = f"`quagga {command} PIPELINE --help` lists its options. A saved config names its pipeline itself."
            print(usage(f"quagga {command} PIPELINE [--config FILE.yaml] [OPTION ...]", "pipelines", PIPELINES, after))
            return 0
        if not rest[0].startswith("-") and rest[0] not in PIPELINES:
            if Path(rest[0]).is_dir():
                from quagga.data.recognise import pipeline_of

                raise BadInput(f"name the pipeline too: quagga {command} {pipeline_of(Path(rest[0]))} {rest[0]}")
            raise BadInput(f"unknown pipeline {rest[0]}{suggestion(rest[0], PIPELINES)}")
    if command in PLAYED:
        with listening(alone=True):  # before torch is imported
            return import_module(COMMANDS[command][0]).main(rest)
    return import_module(COMMANDS[command][0]).main(rest)


def dispatch_for(
    build: Callable[..., Any],
    data: Callable[..., Any] | None,
    argv: list[str],
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """The same for a game written outside this package, see `main`; there are fewer commands.

    Raises:
        BadInput: the command is unknown, or what the command raises.
    """
    script = Path(sys.argv[0]).name  # not the file of build, which may be one of ours
    commands = {name: COMMANDS[name] for name in ("train", "plan", "translate", "sample", "verify")}
    if not argv or argv[0] in HELP:
        after = f"The pipeline is {name_of(build)}."
        print(usage(f"python {script} COMMAND [OPTION ...]", "commands", commands, after))
        return 0
    command, *rest = argv
    if command not in commands:
        raise BadInput(f"unknown command {command}{suggestion(command, commands)}")
    if command not in ("train", "plan"):
        return import_module(COMMANDS[command][0]).main(rest, build)
    if command == "plan":
        module, data = import_module(COMMANDS[command][0]), data or import_module("quagga.data.unpaired").Unpaired
        return module.plan(name_of(build), build, data, rest, f"python {script} plan", defaults)
    with listening(alone=True):
        module = import_module(COMMANDS[command][0])
        data = data or import_module("quagga.data.unpaired").Unpaired
        return module.train(name_of(build), build, data, rest, f"python {script} train", defaults)


def name_of(build: Callable[..., Any]) -> str:
    """A pipeline is called as its function; a function that is only called `build` leaves the name to its file."""
    return build.__name__ if build.__name__ != "build" else Path(inspect.getfile(build)).stem


def usage(line: str, title: str, table: dict[str, tuple[str, str]], after: str) -> str:
    """The text of a --help: how to call it, name and help line of each entry of a table, and a last line."""
    width = max(map(len, table))
    rows = [f"  {name:{width}}  {text}" for name, (_, text) in table.items()]
    about = "Quagga teaches one kind of picture to become another."
    return "\n".join([f"usage: {line}", "", about, "", f"{title}:", *rows, "", after])


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the option that is called so in other trainers, else the nearest known
    one, or all of them where none is near."""
    spelled = {name.replace("-", "_"): name for name in known}
    plain = word.replace("-", "_")
    dashes = plain[: len(plain) - len(plain.lstrip("_"))]
    near = [dashes + name for name in called_here(plain.lstrip("_")) if dashes + name in spelled]
    near = near or difflib.get_close_matches(plain, spelled, n=1)
    if near:
        return f": did you mean {spelled[near[0]]}?"
    return f": there is {', '.join(spelled.values())}" if len(spelled) < 10 else ": --help lists all there are"


def explained(action: Callable[[], int], ours: bool = True) -> int:
    """Runs `action`; what the user or the machine caused becomes one line on stderr. So does a bug of ours; with `ours`
    False the code of somebody else is played, who needs the traceback, and the exception is passed on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # redirected, it may have no letters for a name: that ends no run
            stream.reconfigure(errors="backslashreplace")
    try:
        with escaping():
            return action()
    except SystemExit as end:  # argparse's --help and --print_config
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `quagga data check ... | head`: who listens has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest goes when Python ends
        return 141
    except Stopped as stop:
        if first():
            with suppress(OSError):  # the terminal may have gone
                print(f"quagga: {printable(str(stop))}", file=sys.stderr, flush=True)
        return stop.code
    except BadInput as error:
        # A data loader's worker hands its traceback over as the message: what was said stands at its end.
        complain(str(error).strip().rpartition("quagga.BadInput: ")[2])
        return left(2)
    except Exception as error:
        reason = exhausted(error) or lost(error) or too_long(error)
        if reason is not None:
            for note in getattr(error, "__notes__", []):  # where a worker raised: that may be a bug of ours
                with escaping():
                    print(note, file=sys.stderr)
            complain(reason)
            return left(2)
        if ours:
            complain(bug(error))
        elif several():
            traceback.print_exc()
        else:
            raise
        return left(1)


def bug(error: Exception) -> str:
    """What to say of an error that nobody foresaw. Its traceback is kept in a file, since nobody may be looking."""
    last = str(error).strip().splitlines()[-1:]
    what = ": ".join([type(error).__name__, *last])[:200]
    try:
        how = {"mode": "w", "encoding": "utf-8", "errors": "backslashreplace"}
        with NamedTemporaryFile(prefix="quagga-traceback-", suffix=".txt", delete=False, **how) as file:
            traceback.print_exception(error, file=file)
        where = f"which is in {file.name}"
    except OSError:  # there is no room for a file
        traceback.print_exception(error)
        where = "which stands above"
    return f"this is a bug of Quagga ({what}): please report it to its authors with the traceback, {where}"


def left(code: int) -> int:
    """Of several processes, one that fails ends at once: on the way out of Python it could wait for the others, and
    they for it. The launcher ends them."""
    if several():
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    return code


def lost(error: Exception) -> str | None:
    """What became of another process: of those that read pictures, of those that train."""
    if type(error).__name__ == "DataFault":  # by its name, since its module imports torch
        return str(error)
    text = str(error)
    if several() and any(words in text for words in ENDED):
        return "another process of this run has ended: its message says why"
    if type(error).__name__ in UNREACHED:
        why = " ".join(text.split())[:200]
        return f"the processes of this run cannot work together ({why}): docs/many_gpus.md has lines that start them"
    return None


def too_long(error: Exception) -> str | None:
    """Which name no disk can have; None if it is another kind of error."""
    if not isinstance(error, OSError) or error.errno != errno.ENAMETOOLONG:
        return None
    parts = Path(os.fsdecode(error.filename or "")).parts
    longest = max(parts, key=lambda part: len(os.fsencode(part)), default="")
    size = len(os.fsencode(longest))
    if size <= LONGEST_NAME:
        return f"a path of {len(parts)} folders is longer than this system can open: choose a shorter one"
    return (
        f"the name {longest[:40]}... has {size} bytes, and a file or folder may have {LONGEST_NAME}: choose a shorter"
        " one (without --output a run is named after its pictures)"
    )


def exhausted(error: Exception) -> str | None:
    """What ran out, and what to do about it; None if it is another kind of error. Torch is known by its words here."""
    text = str(error)
    if (  # before what compilers say, which may wrap it
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(words in text for words in NO_MEMORY))
    ):
        return (
            f"{OUT_OF_MEMORY}: lower --batch_size (--accumulation keeps the effective batch), --crop_size or --width,"
            " or take --gradient_checkpointing true; `quagga plan PIPELINE ...` in place of train shows what fits"
            f" ({text.splitlines()[0][:120] if text else type(error).__name__})"
        )
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo", "triton")):
        why = " ".join(text.split())[:200]
        return f"{UNCOMPILED} ({why}): --compile false plays them as they are written"
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left on device" in text:
        if any(words in text for words in SHARED_MEMORY) or module_of(error).startswith("multiprocessing"):
            return (
                "no shared memory left (/dev/shm), through which data workers hand over what they have read: take"
                " --workers 0, or give the container more (docker run --shm-size 2g)"
            )
        place = getattr(error, "filename", None)
        return f"no space left on the disk{f' for {place}' if place else ''}: free some, or choose another --output"
    return None


def module_of(error: BaseException) -> str:
    """The module that raised it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__", "") if frames else ""


def complain(message: str) -> None:
    """Prints `quagga: error: MESSAGE` on stderr, in one line; all but the first process of a machine wait 3 s."""
    # Of several processes that fail alike one speaks: the launcher ends the others while they wait. Where only
    # another one failed it speaks after all, and nothing is lost.
    if not first_here():
        time.sleep(3)
    with suppress(OSError):
        print(f"quagga: error: {printable(message)}", file=sys.stderr, flush=True)
