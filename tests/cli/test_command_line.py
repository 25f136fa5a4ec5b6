"""The command line: one flat list of options, and one line for whatever the user got wrong."""

import errno
import inspect
import json
import multiprocessing
import multiprocessing.synchronize  # before a test replaces what it is made of
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from quagga.cli import main
from quagga.cli.main import COMMANDS, command_line
from quagga.cli.options import config_parser
from quagga.cli.options.help_text import argument_texts, full_help, hints_of
from quagga.cli.options.other_trainers import OTHER_NAMES
from quagga.data.io.tensors import with_floats
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput
from quagga.pipelines import PIPELINES
from quagga.pipelines.core.schedule import Schedule
from quagga.training.run_options import RunOptions


@dataclass(frozen=True)
class Pictures:
    """Two folders.

    Args:
        x: folder of the pictures of X.
        crop_size: side of the crop in pixels.
        x_channels: channels of X.
        augment: transforms and their arguments, by name.
    """

    x: str | None = None
    crop_size: int = 256
    x_channels: int = 3
    augment: dict[str, dict[str, int | float | str]] | None = None


@dataclass(frozen=True)
class Clock:
    """When it moves.

    Args:
        lr: learning rate.
        precision: of the numbers.
    """

    lr: float = 2e-4
    precision: Literal["no", "bf16"] | None = None


def build(*, width: int = 64, x_channels: int = 3, flip: bool = True, colours: list[str] | None = None) -> None:
    """A game.

    Args:
        width: channels after the first layer.
        x_channels: channels of X.
        flip: mirror half of them.
        colours: which.
    """


OWNERS = {"data": Pictures, "build": build, "schedule": Clock}


def parsed(*argv: str) -> dict[str, Any]:
    return config_parser.parse("quagga train toy", OWNERS, argv, pipeline="toy")


def complaint_of(*argv: str) -> str:
    with pytest.raises(BadInput) as error:
        parsed(*argv)
    assert "\n" not in str(error.value)
    return str(error.value)


def saved(folder: Path, text: str) -> str:
    file = folder / "config.yaml"
    file.write_text(text, "utf-8")
    return str(file)


# -- options ----------------------------------------------------------------------------------------------------------


def test_an_option_stated_twice_is_one_and_goes_to_all_who_take_it():
    options = config_parser.split_by_owner(parsed("--x_channels", "1"), OWNERS)
    assert options["data"]["x_channels"] == options["build"]["x_channels"] == 1
    assert "x_channels" not in options["schedule"]
    assert Pictures(**options["data"]).x_channels == 1


def test_owners_must_agree_on_an_option():
    default = inspect.signature(Pictures).parameters["crop_size"].default

    def with_another_default(*, crop_size: int = default + 1) -> None: ...
    def with_another_type(*, crop_size: int | None = default) -> None: ...

    for other in (with_another_default, with_another_type):
        with pytest.raises(BadInput, match="crop_size"):
            config_parser.parser_for({"data": Pictures, "build": other})


def test_only_plain_values_can_be_options():
    """Otherwise a stranger's config could name a class, and run it."""

    def with_any(*, thing: Any = None) -> None: ...
    def with_class(*, thing: Path | None = None) -> None: ...
    def with_function(*, thing: dict[str, Callable[[], None]] | None = None) -> None: ...
    def untyped(*, thing=None) -> None: ...

    for owner in (with_any, with_class, with_function, untyped):
        with pytest.raises(BadInput, match="thing"):
            config_parser.parser_for({"build": owner})


def test_the_full_help_shows_every_option_below_its_owner_with_its_text():
    text = " ".join(full_help("quagga train toy", OWNERS).split())
    for expected in (
        "data: Two folders",
        "schedule: When it moves",
        "--crop_size",
        "side of the crop in pixels",
        "default: 64",
    ):
        assert expected in text
    assert text.count("--x_channels") == 1


def test_what_print_config_prints_repeats_the_options(tmp_path, capsys):
    typed = ["--x", "Größe 3/a: b", "--lr", "1e-05", "--precision", "no", "--flip", "false", "--colours", '["a", "2"]']
    typed += ["--augment", '{"Blur": {"p": 0.5, "kernel": 3, "mode": "no"}}']
    with pytest.raises(SystemExit) as end:
        parsed(*typed, "--print_config")
    printed = capsys.readouterr().out
    assert not end.value.code
    assert printed.startswith("pipeline: toy\n")
    assert parsed("--config", saved(tmp_path, printed)) == parsed(*typed)


def test_a_saved_config_repeats_the_options(tmp_path):
    config = parsed("--x", "2024", "--width", "8")
    assert parsed("--config", saved(tmp_path, yaml.safe_dump(config))) == config


def test_a_line_of_a_config_means_what_it_means_when_typed(tmp_path):
    """YAML 1.1 makes False of `no`, 2024 of a folder's name and text of 1e-4."""
    config = parsed("--config", saved(tmp_path, "precision: no\nx: 2024\nlr: 1e-4\ncrop_size:  64  # px\n"))
    assert (config["precision"], config["x"], config["lr"], config["crop_size"]) == ("no", "2024", 1e-4, 64)
    assert parsed("--config", saved(tmp_path, "x: null\nprecision:\n")) == parsed()


TEXTS = [
    "true",
    "1e3",
    "007",
    "2024-01-01",
    "~",
    "Null",
    "#1",
    "&a",
    "*a",
    "!b",
    "a: b",
    "[a]",
    "- a",
    " a ",
    "=b",
    "@",
]


@pytest.mark.parametrize(
    ("pipeline", "theirs", "ours"),
    [
        ("cyclegan", "--image_size", "--crop_size"),
        ("cyclegan", "--size", "--crop_size"),
        ("gan", "--image-size", "--size"),
        ("pix2pix", "--batch", "--batch_size"),
        ("cyclegan", "--learning_rate", "--lr"),
        ("cyclegan", "--gpu_ids", "--device"),
        ("cyclegan", "--dataroot", "--root"),
        ("cyclegan", "--lambda_A", "--lambda_cycle"),
        ("pix2pix", "--direction", "--side"),
    ],
)
def test_options_of_other_trainers_are_answered_with_ours(pipeline, theirs, ours, tmp_path, capsys):
    assert command_line(["train", pipeline, theirs, "3"]) == 2
    assert f"unknown option {theirs}: did you mean {ours}?" in capsys.readouterr().err
    key = theirs.strip("-")
    assert command_line(["train", pipeline, "--config", saved(tmp_path, f"{key}: 3\n")]) == 2
    assert f"did you mean {ours.strip('-')}?" in capsys.readouterr().err


def test_what_others_call_an_option_is_none_of_ours_beside_it():
    """Else a name of ours would be answered with another one."""
    for ours, theirs in OTHER_NAMES.items():
        for name in PIPELINES:
            known = hints_of(import_module(PIPELINES[name][0]).build).keys() | hints_of(Schedule).keys()
            known |= hints_of(RunOptions).keys() | hints_of(import_module(PIPELINES[name][0]).data).keys()
            assert ours not in known or not known & set(theirs.split())
    assert all(theirs == theirs.lower() for theirs in OTHER_NAMES.values())


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_text_whatever_yaml_would_read_in_it(text, tmp_path):
    for argv in (["--x", text], [f"--x={text}"], ["--config", saved(tmp_path, yaml.safe_dump({"x": text}))]):
        assert parsed(*argv)["x"] == text
    for argv in (["--colours", f"[{json.dumps(text)}, b]"], [f"--colours=['{text}', b]"]):
        assert parsed(*argv)["colours"] == [text, "b"]


@pytest.mark.parametrize("how", ["typed", "in a config"])
def test_a_list_of_text_needs_no_quotation_marks(how, tmp_path):
    for words in ("[null, true, 1e3, 007, 2024-01-01]", "[~, no, 0x10, .inf, ä]"):
        argv = ["--colours", words] if how == "typed" else ["--config", saved(tmp_path, f"colours: {words}\n")]
        assert parsed(*argv)["colours"] == words[1:-1].split(", ")


def named(*argv: str) -> dict[str, Any]:
    def owner(*, label: str | None = None, output: str | None = None) -> None: ...

    return config_parser.parse("quagga sample", {"owner": owner}, argv)


def test_null_is_a_name_where_users_name_things_and_nothing_elsewhere(tmp_path):
    assert named("--label", "null", "--output", "null") == {"label": "null", "output": None}
    assert named("--label=a", "--output=b", "--config", saved(tmp_path, "label:\noutput: null\n")) == {
        "label": "a",
        "output": "b",
    }
    assert named("--config", saved(tmp_path, "label: null\n"))["label"] is None
    assert named("--config", saved(tmp_path, 'label: "null"\n'))["label"] == "null"


def test_a_zero_byte_in_a_config_is_refused_in_one_line(tmp_path):
    """YAML can write one, and the system has no such file: Python raises ValueError for each in its own place."""
    for line in ('x: "a\\0b"', 'colours: ["a\\0"]', 'augment: {"a\\0": {}}', 'augment: {"a": {"b": "\\0"}}'):
        assert "holds a zero byte" in complaint_of("--config", saved(tmp_path, line + "\n"))


def test_what_is_typed_wins_over_the_config_on_either_side_of_it(tmp_path):
    file = saved(tmp_path, "width: 8\ncrop_size: 64\n")
    for argv in (("--width", "16", "--config", file), ("--config", file, "--width", "16")):
        assert (parsed(*argv)["width"], parsed(*argv)["crop_size"]) == (16, 64)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--widht", "3"], "unknown option --widht: did you mean --width?"),
        (["--crop-size=3"], "unknown option --crop-size: did you mean --crop_size?"),
        (["--wid", "3"], "--wid: did you mean --width?"),
        (["--width", "3.5"], "--width should be a whole number, not 3.5"),
        (["--width", "true"], "--width should be a whole number, not True"),
        (["--lr", "fast"], "--lr should be a number, not fast"),
        (["--precision", "fp8"], "--precision should be one of no, bf16 or null, not fp8"),
        (["--flip", "perhaps"], "--flip should be true or false, not perhaps"),
        (["--augment", "[1]"], "--augment should be a dictionary or null, not [1]"),
        (["--width"], "--width needs a value: a whole number"),
        (["--config"], "--config needs a value"),
        (["pictures"], "options begin with --, unlike pictures"),
        (["--config", "nowhere.yaml"], "cannot read the config nowhere.yaml: No such file"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(argv, expected):
    assert expected in complaint_of(*argv)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("widht: 3", "unknown key widht in FILE: did you mean width?"),
        ("width: 3.5", "--width should be a whole number, not 3.5"),
        ("pipeline: pipix\nwidth: 3", "FILE is for pipix; run `quagga train pipix --config FILE`"),
        ("width: [3", "FILE is not YAML"),
        ("3", "FILE holds no options: expected lines such as"),
        ("print_config: true", "unknown key print_config in FILE"),
        ("!!python/object/apply:os.system [echo]", "FILE is not YAML"),
        ("width: 3\nwidth: 4", "FILE states the key width twice"),
        ("augment: {Blur: {p: 1, p: 0}}", "FILE states the key p twice"),
        ("x: &a hi\ny: *a", "FILE uses an anchor of YAML"),
        ("colours: " + "[" * 20 + "]" * 20, "FILE is more than 16 lists and dictionaries deep"),
        ("x: " + "a" * 600_000, "FILE is longer than 524,288 bytes"),
        ("width: " + "9" * 5000, "FILE is not YAML"),
        ("width: 2024-99-99", "FILE is not YAML"),
        ("lr: .nan", "--lr should be a number that is finite and below 2**63, not nan"),
        ("lr: -.inf", "--lr should be a number that is finite"),
        ("width: " + "9" * 40, "--width should be a whole number that is finite and below 2**63"),
    ],
)
def test_a_mistake_in_a_config_is_one_line(tmp_path, text, expected):
    file = saved(tmp_path, text)
    assert expected.replace("FILE", file) in complaint_of("--config", file)


def test_equal_keys_and_values_in_different_places_are_none_stated_twice(tmp_path):
    text = "x: width\nwidth: 8\ncolours: [a, a]\naugment: {Blur: {p: 1}, Flip: {p: 1}}\n"
    assert parsed("--config", saved(tmp_path, text))["augment"] == {"Blur": {"p": 1}, "Flip": {"p": 1}}


def test_a_missing_option_is_named():
    def demanding(*, first: str) -> None: ...

    with pytest.raises(BadInput, match=r"required.*first|first.*required"):
        config_parser.parse("toy", {"build": demanding}, [])


# -- commands ---------------------------------------------------------------------------------------------------------


def test_every_command_and_pipeline_named_in_the_tables_is_there():
    for module, _ in COMMANDS.values():
        assert callable(import_module(module).main)
    for name, (module, _) in PIPELINES.items():
        pipeline = import_module(module)
        owners = config_parser.training_owners(pipeline.build, pipeline.data)
        config = config_parser.parse("", owners, [], pipeline=name, defaults=pipeline.defaults)
        assert {key: config[key] for key in pipeline.defaults} == pipeline.defaults
        assert config == {
            "pipeline": name,
            **{
                key: value
                for part in config_parser.split_by_owner(config, owners).values()
                for key, value in part.items()
            },
        }


def test_each_option_of_a_pipeline_is_explained():
    for module, _ in PIPELINES.values():
        pipeline = import_module(module)
        for owner in config_parser.training_owners(pipeline.build, pipeline.data).values():
            assert all(argument_texts(owner).get(name) for name in hints_of(owner)), owner


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["trian"], "unknown command trian: did you mean train?"),
        (["fly"], f"unknown command fly: there are {', '.join(COMMANDS)}"),
        (["train", "cycelgan"], "unknown pipeline cycelgan: did you mean cyclegan?"),
        (["train", "--width", "3"], "name a pipeline, as `quagga train cyclegan ...`"),
        (["train", "cyclegan", "--bathc_size", "4"], "unknown option --bathc_size: did you mean --batch_size?"),
        (["train", "cyclegan", "--batch_size", "0"], "batch_size is 0"),
        (["data", "previw"], "unknown command data previw: did you mean preview?"),
        (["data", "embedded", "--sise", "4"], "unknown option --sise: did you mean --size?"),
    ],
)
def test_a_mistaken_command_ends_with_2_and_one_line(argv, expected, capsys):
    assert command_line(argv) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("quagga: error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_a_saved_config_names_its_pipeline(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("quagga.training.train.train", lambda *arguments: taken.append(arguments))
    file = saved(tmp_path, "pipeline: cyclegan\nwidth: 8\nseed: 3\n")
    assert command_line(["train", "--config", file, "--batch_size=2"]) == 0
    [(name, make, _data, options, config)] = taken
    assert name == "cyclegan"
    assert make is import_module(PIPELINES["cyclegan"][0]).build
    assert (options["build"]["width"], options["schedule"]["seed"], options["schedule"]["batch_size"]) == (8, 3, 2)
    assert next(iter(config.items())) == ("pipeline", "cyclegan")


def test_a_config_without_a_pipeline_of_ours_is_refused(tmp_path, capsys):
    assert command_line(["train", "--config", saved(tmp_path, "width: 8\n")]) == 2
    assert "pipeline: NAME" in capsys.readouterr().err


def test_a_game_from_outside_gets_the_whole_command_line(monkeypatch, capsys):
    taken = []
    monkeypatch.setattr("quagga.training.train.train", lambda *arguments: taken.append(arguments))
    monkeypatch.setattr("quagga.cli.translate.main", lambda argv, build: taken.append((argv, build)) or 0)
    for argv in (["train", "--x", "A", "--width", "8", "--batch_size", "2"], ["translate", "runs/mine", "a.png"]):
        with pytest.raises(SystemExit) as end:
            main.main(build, Pictures, argv)
        assert end.value.code == 0
    (name, make, data, options, config), translation = taken
    assert (name, make, data) == ("test_command_line", build, Pictures)
    assert (options["data"]["x"], options["build"]["width"], options["schedule"]["batch_size"]) == ("A", 8, 2)
    assert config["pipeline"] == "test_command_line"
    assert translation == (["runs/mine", "a.png"], build)
    with pytest.raises(SystemExit) as end:
        main.main(build, Pictures, ["train", "--widht", "8"])
    assert end.value.code == 2
    assert "did you mean --width?" in capsys.readouterr().err


def typed(*, seed: int = 0, workers: int = 2, x_channels: int = 3) -> Pictures:
    """Pictures drawn in code. They are few.

    Args:
        seed: of them.
        workers: none.
    """
    return Pictures()


def test_a_function_can_stand_for_the_data(monkeypatch, capsys):
    taken = []
    monkeypatch.setattr("quagga.training.train.train", lambda *arguments: taken.append(arguments))
    with pytest.raises(SystemExit):
        main.main(build, typed, ["train", "--seed", "7", "--workers", "0"])
    ((_, _, data, options, config),) = taken
    assert data is typed and options["data"] == {"seed": 7, "workers": 0, "x_channels": 3}
    assert options["schedule"]["seed"] == config["seed"] == 7 and options["build"]["x_channels"] == 3
    with pytest.raises(SystemExit):
        main.main(build, typed, ["train", "--help"])
    assert "\nthis pipeline's own:\n  --width INT " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main.main(build, typed, ["train", "--help", "all"])
    assert "data: Pictures drawn in code" in capsys.readouterr().out


def with_a_dataset(dataset: Any, seed: int = 0) -> None: ...
def with_anything(seed: int = 0, **options: int) -> None: ...
def with_another_seed(seed: int = 5) -> None: ...
def with_a_type_that_is_not_there(seed: "Sead" = 0) -> None: ...  # noqa: F821 # pyright: ignore


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (partial(typed, seed=3), "data is of type partial: give a function"),
        (Pictures(), "data is of type Pictures: give a function"),
        (Pictures().__eq__, "data is a method"),
        (with_a_dataset, "option dataset of with_a_dataset has no type of plain values"),
        (with_anything, "option options of with_anything has no name"),
        (with_another_seed, "option seed of with_another_seed has another type or default"),
        (with_a_type_that_is_not_there, "name 'Sead' is not defined"),
    ],
)
def test_data_that_states_no_options_is_refused_in_one_line(data, expected, capsys):
    with pytest.raises(SystemExit) as end:
        main.main(build, data, ["train"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and expected in said and said.count("\n") == 1


def test_a_pipeline_is_called_as_its_function_or_else_as_its_file():
    def stripes() -> None: ...

    assert main.pipeline_name(stripes) == "stripes"
    assert main.pipeline_name(build) == "test_command_line"


# -- failures ---------------------------------------------------------------------------------------------------------


class InductorError(RuntimeError):
    __module__ = "torch._inductor.exc"


class OutOfMemoryError(RuntimeError):
    """Stands for torch's class of this name."""


class DistBackendError(RuntimeError):
    """Stands for torch's class of this name."""


def fails_with(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (BadInput("trainA has 0 images"), 2, "quagga: error: trainA has 0 images\n"),
        (
            BadInput("Caught BadInput in worker 0.\nTraceback:\nquagga.BadInput: a.png is torn"),
            2,
            "error: a.png is torn\n",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), 2, "no space left on the disk for runs/a"),
        (RuntimeError("writing: No space left on device (os error 28)"), 2, "no space left on the disk"),
        (RuntimeError("unable to write to file </torch_7_1>: No space left on device (28)"), 2, "--workers 0, or give"),
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_7_1>: No space left on device (28)"),
            2,
            "no shared memory left (/dev/shm)",
        ),
        (OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), 2, "lower --batch_size"),
        (MemoryError(), 2, "out of memory: lower --batch_size"),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
            2,
            "lower --batch_size",
        ),
        (RuntimeError("FIND was unable to find an engine to execute this computation"), 2, "out of memory: lower"),
        (RuntimeError("GET was unable to find an engine to execute this computation"), 2, "out of memory: lower"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), 2, "out of memory: lower"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), 2, "out of memory: lower --batch_size"),
        (InductorError("OutOfMemoryError: CUDA out of memory"), 2, "out of memory: lower --batch_size"),
        (
            InductorError("OSError: [Errno 28] No space left on device: '/tmp/inductor'"),
            2,
            "--compile false runs them",
        ),
        (InductorError("RuntimeError: no kernel\n for you"), 2, "--compile false runs them uncompiled"),
        (DistBackendError("NCCL error:\nDuplicate GPU"), 2, "cannot work together (NCCL error: Duplicate GPU): docs/"),
        (OSError(errno.ENAMETOOLONG, "File name too long", f"runs/{'a' * 300}"), 2, "aaa... has 300 bytes, and a file"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a/" * 3000), 2, "longer than this system can open"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_what_the_user_or_the_machine_caused_is_one_line(error, code, expected, capsys):
    assert main.run_explaining_errors(fails_with(error)) == code
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == bool(expected)


def test_a_semaphore_for_which_there_is_no_shared_memory_is_no_full_disk(monkeypatch, capsys):
    own = {"__name__": "multiprocessing.synchronize"}  # it is C, and raises in the module that calls it
    exec(f"def full(*words): raise OSError({errno.ENOSPC}, 'No space left on device')", own)
    monkeypatch.setattr("_multiprocessing.SemLock", own["full"])
    assert main.run_explaining_errors(lambda: multiprocessing.Lock() and 0) == 2
    said = capsys.readouterr().err
    assert "no shared memory left" in said and "--shm-size" in said and "disk" not in said


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "cyclegan", "--root", ""],
        ["train", "cyclegan", "--x", "", "--y", "b"],
        ["train", "pix2pix", "--pairs="],
        ["train", "cyclegan", "--root", "a", "--output", ""],
        ["plan", "gan", "--root="],
        ["demo", "--output", ""],
        ["data", "check", ""],
        ["data", "check", "--x", "a", "--y="],
        ["data", "preview", "--root", "a", "--output="],
        ["data", "embedded", "--output", ""],
        ["data", "download", ""],
        ["data", "download", "maps", "--output", ""],
        ["translate", "", "a.png", "--output", "b"],
        ["translate", "run", "", "--output", "b"],
        ["translate", "run", "a.png", "--output", ""],
        ["sample", "", "--output", "b"],
        ["sample", "run", "--output="],
        ["sample", "run", "--output", "b", "--invert", ""],
        ["verify", ""],
        ["export", "", "--output", "b"],
        ["export", "run", "--output", ""],
        ["import", "", "--output", "b"],
    ],
)
def test_an_empty_path_never_means_the_working_directory(argv, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command_line(argv) == 2
    said = capsys.readouterr().err
    assert "is empty" in said and said.count("\n") == 1
    assert not list(Path().iterdir())


@pytest.fixture
def kept(monkeypatch, tmp_path) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("two lines:\na bug"), FileNotFoundError("a bug")])
def test_a_bug_of_ours_is_one_line_that_says_so_and_names_the_file_with_its_traceback(error, kept, capsys):
    assert main.run_explaining_errors(fails_with(error)) == 1
    err = capsys.readouterr().err
    [file] = kept.iterdir()
    assert f"this is a bug of Quagga ({type(error).__name__}: a bug): please report it" in err
    assert err.endswith(f"with the traceback, which is in {file}\n") and err.count("\n") == 1
    assert "Traceback (most recent call last)" in file.read_text() and "raise error" in file.read_text()


def test_every_process_that_meets_a_bug_keeps_its_traceback(kept, monkeypatch):
    """Before it waits for its turn to speak: the launcher may end it meanwhile."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(main, "exit_if_distributed", lambda code: code)  # which would end this process
    monkeypatch.setattr("time.sleep", lambda _: sys.exit(15))
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with suppress(SystemExit):
            main.run_explaining_errors(fails_with(RuntimeError(f"a bug of process {rank}")))
    assert sorted(file.read_text().splitlines()[-1][-9:] for file in kept.iterdir()) == ["process 0", "process 1"]


def test_where_there_is_no_room_for_its_traceback_it_is_printed(kept, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(kept / "nowhere"))
    assert main.run_explaining_errors(fails_with(RuntimeError("a bug"))) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)") and err.endswith("which stands above\n")


def test_a_game_from_outside_keeps_its_traceback_on_the_screen(monkeypatch):
    """Whose bug it is we cannot know."""
    monkeypatch.setattr("quagga.training.train.train", lambda *_: {}["of theirs"])
    with pytest.raises(KeyError, match="of theirs"):
        main.main(build, Pictures, ["train"])


def test_of_several_processes_the_first_speaks_before_the_others(monkeypatch, capsys):
    """The launcher ends the others while they wait; a failure that only they met is told after all."""
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, expected in (("0", 0), ("1", 1)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        main.print_error("torn")
        assert len(waits) == expected
        assert capsys.readouterr().err == "quagga: error: torn\n"


# -- data -------------------------------------------------------------------------------------------------------------


def test_a_preview_shows_what_a_training_with_this_config_sees(tmp_path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(
        "quagga.data.io.contact_sheet.contact_sheet", lambda columns, path, software: shown.append((columns, path))
    )
    pictures = str(tmp_path / "pictures")
    assert command_line(["data", "embedded", "--output", pictures, "--size=32", "--train=3", "--test=1"]) == 0
    assert "--crop_size 32" in capsys.readouterr().out
    file = saved(
        tmp_path, f"pipeline: cyclegan\nroot: {pictures}\nload_size: 32\ncrop_size: 24\nwidth: 8\noutput: runs/a\n"
    )
    sheet = str(tmp_path / "sheet.png")
    assert command_line(["data", "preview", "--config", file, "--seed", "5", "--count", "4", "--output", sheet]) == 0
    [(columns, path)] = shown
    rows = Unpaired(root=pictures, load_size=32, crop_size=24, seed=5, workers=0)
    batch = with_floats(next(rows.batches(0, 4)))
    assert str(path) == sheet
    assert [pictures.tolist() for pictures in columns.values()] == [batch["x"].tolist(), batch["y"].tolist()]
    assert command_line(["data", "preview", "--config", file, "--count", "0"]) == 2


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A zip of two folders on a server here: (its address, its SHA-256)."""
    import hashlib
    import threading
    import zipfile
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    folder = tmp_path / "server"
    folder.mkdir()
    with zipfile.ZipFile(folder / "mine.zip", "w") as packed:
        for name in ("trainA/1.png", "trainB/1.png"):
            packed.writestr(f"anything/{name}", b"a picture")
    with zipfile.ZipFile(folder / "hostile.zip", "w") as packed:
        packed.writestr("../evil.txt", b"")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *words: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        sha256 = hashlib.sha256((folder / "mine.zip").read_bytes()).hexdigest()
        yield f"http://127.0.0.1:{server.server_address[1]}/mine.zip", sha256
        server.shutdown()


def error_of(capsys, *argv: str) -> str:
    assert command_line(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("quagga: error: ") and err.count("\n") == 1, err
    return err


def test_a_download_ends_with_what_to_type_next(tmp_path, served, capsys):
    url, sha256 = served
    place = tmp_path / "sets"
    words = ["data", "download", "mine", "--url", url, "--output", str(place)]
    assert command_line([*words, "--sha256", sha256]) == 0
    said = capsys.readouterr().out
    assert sha256 in said and "2 files" in said
    assert f"next: quagga train cyclegan --root {place / 'mine'}\n" in said
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*.*")) == [
        "mine/trainA/1.png",
        "mine/trainB/1.png",
    ]
    (place / "mine" / "trainA" / "1.png").write_bytes(b"my own now")
    unreachable = [word.replace(url, "http://127.0.0.1:9/mine.zip") for word in words]
    assert "exists already" in error_of(capsys, *unreachable)  # said before anything is asked
    assert (place / "mine" / "trainA" / "1.png").read_bytes() == b"my own now"


def test_who_names_the_sha256_may_give_a_published_name_to_another_file(tmp_path, served):
    url, sha256 = served
    words = ["data", "download", "horse2zebra", "--url", url, "--sha256", sha256.upper(), "--output", str(tmp_path)]
    assert command_line(words) == 0
    assert (tmp_path / "horse2zebra" / "trainA" / "1.png").exists()


def test_a_download_that_is_refused_leaves_nothing(tmp_path, served, capsys):
    url, _ = served
    place = ["--output", str(tmp_path / "sets")]
    assert "climbs out" in error_of(capsys, "data", "download", "evil", "--url", url.replace("mine", "hostile"), *place)
    assert "SHA-256" in error_of(capsys, "data", "download", "mine", "--url", url, "--sha256", "0" * 64, *place)
    # A published name stands for the published file, wherever it comes from.
    assert "expected 116,867,962" in error_of(capsys, "data", "download", "horse2zebra", "--url", url, *place)
    assert not list((tmp_path / "sets").iterdir()) and not (tmp_path / "evil.txt").exists()


def test_an_archive_that_is_there_already_is_used_and_stays(tmp_path, served, capsys):
    url, sha256 = served
    (tmp_path / "sets").mkdir()
    archive = tmp_path / "sets" / "mine.zip"
    archive.write_bytes((tmp_path / "server" / "mine.zip").read_bytes())
    (tmp_path / "server" / "mine.zip").unlink()
    words = ["data", "download", "mine", "--url", url, "--output", str(tmp_path / "sets")]
    assert "remove it" in error_of(capsys, *words, "--sha256", "1" * 64)
    assert command_line([*words, "--sha256", sha256]) == 0
    assert archive.exists() and (tmp_path / "sets" / "mine" / "trainA" / "1.png").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "a name is missing"),
        (["horse2zebr"], "did you mean horse2zebra?"),
        (["cityscapes"], "cityscapes is not offered"),
        (["../up", "--url", "http://127.0.0.1/a.zip"], "no name for a folder"),
        ([".hidden", "--url", "http://127.0.0.1/a.zip"], "no name for a folder"),
        (["mine", "--url", "file:///a.zip"], "begins with http"),
        (["mine", "--url", "http://127.0.0.1/a.zip", "--sha256", "12"], "64 hexadecimal digits"),
        (["horse2zebra", "--ouput", "a"], "did you mean --output?"),
    ],
)
def test_a_download_that_cannot_be_is_refused_before_anything_is_asked(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in error_of(capsys, "data", "download", *words)
    assert not list(tmp_path.rglob("*.*"))


def test_every_published_set_is_listed(capsys):
    from quagga.data.download.published_sets import NOT_OFFERED, SETS

    assert command_line(["data", "list"]) == 0
    said = capsys.readouterr().out
    for name, known in SETS.items():
        [line] = [line for line in said.splitlines() if line.split()[:1] == [name]]
        assert known.about in line and known.rights in line and ("?" in line) == (None in (known.size, known.pictures))
        assert len(line) <= 120
    assert all(name in said for name in NOT_OFFERED)


def test_help_of_the_commands_of_data(capsys):
    for command, expected in (
        ("list", "published"),
        ("download", "--sha256"),
        ("check", "--strict"),
        ("preview", "--count"),
    ):
        assert command_line(["data", command, "--help"]) == 0
        assert expected in capsys.readouterr().out


def test_names_that_a_stream_has_no_letters_for_are_told_all_the_same(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    words = [
        "data",
        "embedded",
        "--train=2",
        "--test=1",
        "--size=16",
        "--output",
        str(tmp_path / "\u30b7\u30de\u30a6\u30de"),
    ]
    ran = subprocess.run([sys.executable, "-m", "quagga", *words], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0 and "\\u30b7\\u30de" in ran.stdout, ran.stderr
