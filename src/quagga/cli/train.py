"""`quagga train`: a pipeline is trained on pictures."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from quagga.cli.options.config_file import extract_configs, read_config
from quagga.cli.options.config_parser import resolve
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput
from quagga.pipelines import PIPELINES


def main(argv: list[str]) -> int:
    """Runs `quagga train ARGV...`. The first word names the pipeline; without it a saved config does."""
    return run_for_pipeline(argv, "train", parse_and_train)


def run_for_pipeline(argv: list[str], command: str, action: Callable[..., int]) -> int:
    """Calls `action` as `parse_and_train` is called, for the pipeline that the first word or else a saved config names.

    Raises:
        BadInput: neither names one, or what `action` raises.
    """
    if argv[0].startswith("-"):
        files, _ = extract_configs(argv)
        if not files:
            raise BadInput(
                f"name a pipeline, as `quagga {command} {next(iter(PIPELINES))} ...`, or give a --recipe or a saved"
                " --config"
            )
        name, rest = str(read_config(files[-1]).get("pipeline")), argv
        if name not in PIPELINES:
            raise BadInput(f"{files[-1]} should say `pipeline: NAME`{did_you_mean(name, PIPELINES)}")
    else:
        name, *rest = argv
    module = import_module(PIPELINES[name][0])
    return action(name, module.build, module.data, rest, f"quagga {command} {name}", module.defaults)


def parse_and_train(
    name: str,
    build: Callable[..., Any],
    data: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Parses the options of a training, and trains the game of `build` on `data`. Returns 0.

    Args:
        name: The pipeline's name.
        build: Makes its game.
        data: Makes its rows.
        argv: The options as they were typed.
        prog: What the user typed before them.
        defaults: What the pipeline prefers where an owner of options states another default.
    """
    config, options = resolve(name, build, data, argv, prog, defaults)
    from quagga.training.train import train  # imports torch, which --help and a misspelt option need not wait for

    train(name, build, data, options, config)
    return 0
