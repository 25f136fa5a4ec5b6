"""The command line: which module runs which command, and how errors are shown.

Torch takes two seconds to import and `quagga --help` must not wait for it: this file needs the standard library only,
and the module of a command is imported when that command is called. `COMMANDS` and `PIPELINES` are the only look-ups by
name in the package.
"""

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from quagga import __version__
from quagga.cli.options.usage import asks_for_help, usage
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput, exhausted_resource, one_line
from quagga.escapes import escaping_output, printable
from quagga.pipelines import PIPELINES
from quagga.training.hardware.launcher import is_distributed, is_first_on_machine, is_first_process
from quagga.training.signals import Stopped, handling_signals

COMMANDS = {  # name -> (module with `main(argv) -> int`, help line)
    "train": ("quagga.cli.train", "train a pipeline on your pictures"),
    "plan": ("quagga.cli.plan", "find batch and crop that fit this device, and how long it takes"),
    "translate": ("quagga.cli.translate", "translate pictures with a trained run"),
    "sample": ("quagga.cli.sample", "make new pictures with a trained run"),
    "evaluate": ("quagga.cli.evaluate", "say how good a run is, beside real pictures and doing nothing"),
    "verify": ("quagga.cli.verify", "check that a saved model still makes the same pictures"),
    "import": ("quagga.cli.import_authors_weights", "make a run of weights of the CycleGAN authors' program"),
    "export": ("quagga.cli.export_weights", "write a run's networks as weights for that program"),
    "list": ("quagga.cli.list", "show the recipes and models that come with it"),
    "data": ("quagga.cli.data", "get pictures, check them, see what training will see"),
    "demo": ("quagga.cli.demo", "from horses to zebras in minutes, without a download"),
}
SAVE_ON_SIGNAL = ("train", "demo")  # commands that save when a signal comes
PEER_ENDED = ("Connection closed by peer", "Connection reset by peer", "ncclRemoteError")  # messages of gloo and NCCL
PEER_UNREACHABLE = ("DistBackendError", "DistNetworkError", "DistStoreError")  # torch's errors between processes
MAX_NAME_BYTES = 255  # of the name of a file or folder, on the disks of Linux, macOS and Windows


def command_line(argv: Sequence[str]) -> int:
    """Runs `quagga ARGV...`. Returns the exit code: 0; 2 for bad input or a lack of memory, disk and the like (one line
    on stderr); 128 + its number for a signal, such as 130 for Ctrl-C and 143 for SIGTERM; 1 for a bug of Quagga (one
    line that names the file of the traceback)."""
    replace_closed_streams()
    return run_explaining_errors(lambda: dispatch(list(argv)))


def main(
    build: Callable[..., Any],
    data: Callable[..., Any] | None = None,
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Runs the command line for a game written outside this package. A file `stripes.py` that ends with

        if __name__ == "__main__":
            quagga.main(build)

    is called as `python stripes.py train --x A --y B --output runs/mine`, also by `accelerate launch`.

    Args:
        build: the function that makes the game; its typed keyword arguments, and the fields of those that are
            dataclasses, become options of `train`
        data: the class of its data, or a function that makes it; its fields or typed keyword arguments become options
            too, and those of the same name, such as `seed`, are one option; None: two folders, unpaired (`Unpaired`)
        argv: the arguments after the file's name; None: those of this process
        defaults: defaults in place of those of data, `Schedule` and `RunOptions`: {"batch_size": 64}
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    replace_closed_streams()
    sys.exit(run_explaining_errors(lambda: dispatch_for(build, data, arguments, defaults), own_code=False))


def replace_closed_streams() -> None:
    """Opens the null device in place of closed standard streams, with which daemons are often started. Otherwise
    printing raises, and the next file that is opened takes their number, so that C libraries print into it."""
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
    """Runs the command that `argv` begins with, or prints help. Returns the exit code.

    Raises:
        BadInput: the command or the pipeline is unknown, or the command raises it.
    """
    if not argv or asks_for_help(argv[0]):
        print(
            usage(
                "quagga COMMAND [OPTION ...]",
                "commands",
                COMMANDS,
                "`quagga COMMAND --help` shows its main options, `--help all` the rest.",
            )
        )
        return 0
    if argv[0] == "--version":
        print(f"quagga {__version__}")
        return 0
    command, *rest = argv
    if command not in COMMANDS:
        raise BadInput(f"unknown command {command}{did_you_mean(command, COMMANDS)}")
    if command in ("train", "plan"):
        if not rest or asks_for_help(rest[0]):
            after = f"`quagga {command} PIPELINE --help` shows the main options, `--help all` the rest."
            print(usage(f"quagga {command} PIPELINE [DIR] [OPTION ...]", "pipelines", PIPELINES, after))
            return 0
        if not rest[0].startswith("-") and rest[0] not in PIPELINES:
            if Path(rest[0]).is_dir():
                from quagga.data.sources.layout import pipeline_of

                raise BadInput(f"name the pipeline too: quagga {command} {pipeline_of(Path(rest[0]))} {rest[0]}")
            raise BadInput(f"unknown pipeline {rest[0]}{did_you_mean(rest[0], PIPELINES)}")
    if command in SAVE_ON_SIGNAL:
        with handling_signals(ends_process=True):  # before torch is imported
            return import_module(COMMANDS[command][0]).main(rest)
    return import_module(COMMANDS[command][0]).main(rest)


def dispatch_for(
    build: Callable[..., Any],
    data: Callable[..., Any] | None,
    argv: list[str],
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Runs a command for a game written outside this package, see `main`; there are fewer commands.

    Raises:
        BadInput: the command is unknown, or the command raises it.
    """
    script = Path(sys.argv[0]).name  # not the file of build, which may be one of ours
    commands = {name: COMMANDS[name] for name in ("train", "plan", "translate", "sample", "verify")}
    if not argv or asks_for_help(argv[0]):
        after = f"The pipeline is {pipeline_name(build)}."
        print(usage(f"python {script} COMMAND [OPTION ...]", "commands", commands, after))
        return 0
    command, *rest = argv
    if command not in commands:
        raise BadInput(f"unknown command {command}{did_you_mean(command, commands)}")
    if command not in ("train", "plan"):
        return import_module(COMMANDS[command][0]).main(rest, build)
    if command == "plan":
        module, data = import_module(COMMANDS[command][0]), data or import_module("quagga.data.unpaired").Unpaired
        return module.plan(pipeline_name(build), build, data, rest, f"python {script} plan", defaults)
    with handling_signals(ends_process=True):
        module = import_module(COMMANDS[command][0])
        data = data or import_module("quagga.data.unpaired").Unpaired
        return module.parse_and_train(pipeline_name(build), build, data, rest, f"python {script} train", defaults)


def pipeline_name(build: Callable[..., Any]) -> str:
    """Returns the name of the function, or that of its file if the function is named `build`."""
    if build.__name__ != "build":
        return build.__name__
    import inspect  # a tenth of the time of `quagga --help`

    return Path(inspect.getfile(build)).stem


def run_explaining_errors(action: Callable[[], int], own_code: bool = True) -> int:
    """Runs `action` and returns the exit code. An error that the user or the machine caused becomes one line on stderr.

    Args:
        action: Returns an exit code.
        own_code: Whether only Quagga's code runs: then a bug becomes one line too. Otherwise its author needs the
            traceback, and the exception is passed on.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a redirected stream may not encode every name: that ends no run
            stream.reconfigure(errors="backslashreplace")
    try:
        with escaping_output():
            return action()
    except SystemExit as end:  # argparse's --help and --print_config
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # such as `quagga data check ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest there when it ends
        return 141
    except Stopped as stop:
        if is_first_process():
            with suppress(OSError):  # the terminal may be closed
                print(f"quagga: {printable(str(stop))}", file=sys.stderr, flush=True)
        return stop.code
    except BadInput as error:
        # The message of an error in a data loader's worker is its traceback, which ends with the message proper.
        print_error(str(error).strip().rpartition("quagga.BadInput: ")[2])
        return exit_if_distributed(2)
    except Exception as error:
        reason = exhausted_resource(error) or process_failure(error) or name_too_long(error)
        if reason is not None:
            for note in getattr(error, "__notes__", []):  # where a worker raised it, which may be a bug of Quagga
                with escaping_output():
                    print(note, file=sys.stderr)
            print_error(reason)
            return exit_if_distributed(2)
        if own_code:
            from quagga.cli.output.bug_report import save_traceback  # what it imports costs `quagga --help` a fifth

            print_error(save_traceback(error))
        elif is_distributed():
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            raise
        return exit_if_distributed(1)


def exit_if_distributed(code: int) -> int:
    """Returns the exit code of a process that fails. One of several processes exits here at once: while Python ends it
    could wait for the others, and they for it. The launcher ends them."""
    if is_distributed():
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    return code


def process_failure(error: Exception) -> str | None:
    """Returns what to say of an error that another process caused, a data loader's worker or one of several that train;
    None if it is another kind of error."""
    if type(error).__name__ == "DataFault":  # by its name, since its module imports torch
        return str(error)
    text = str(error)
    if is_distributed() and any(message in text for message in PEER_ENDED):
        return "another process of this run has ended: its message says why"
    if type(error).__name__ in PEER_UNREACHABLE:
        reason = one_line(error)
        return f"the processes of this run cannot work together ({reason}): docs/many_gpus.md says how to start them"
    return None


def name_too_long(error: Exception) -> str | None:
    """Returns what to say of a name that no disk can have; None if it is another kind of error."""
    if not isinstance(error, OSError) or error.errno != errno.ENAMETOOLONG:
        return None
    parts = Path(os.fsdecode(error.filename or "")).parts
    longest = max(parts, key=lambda part: len(os.fsencode(part)), default="")
    size = len(os.fsencode(longest))
    if size <= MAX_NAME_BYTES:
        return f"a path of {len(parts)} folders is longer than this system can open: choose a shorter one"
    return (
        f"the name {longest[:40]}... has {size} bytes, and a file or folder may have {MAX_NAME_BYTES}: choose a shorter"
        " one (without --output a run is named after its pictures)"
    )


def print_error(message: str) -> None:
    """Prints `quagga: error: MESSAGE` on stderr, in one line; all but the first process of a machine wait 3 s."""
    # If several processes fail alike, only the first prints: the launcher ends the others while they wait. If only
    # another one fails, it prints after the wait.
    if not is_first_on_machine():
        time.sleep(3)
    with suppress(OSError):
        print(f"quagga: error: {printable(message)}", file=sys.stderr, flush=True)
