"""Help texts: few options that answer four questions, all the others on demand, and no noise of types."""

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Literal, Optional, Union

import docstring_parser
import pytest

from quagga.cli import data as data_command
from quagga.cli import (
    data_check,
    demo,
    evaluate,
    export_weights,
    import_authors_weights,
    plan,
    sample,
    translate,
    verify,
)
from quagga.cli.main import command_line, main
from quagga.cli.options.config_parser import training_owners
from quagga.cli.options.help_text import (
    argument_texts,
    docstring_texts,
    first_sentence,
    full_help,
    hints_of,
    short_help,
)
from quagga.cli.options.short_list import GROUPS, MOST, SHORT_OPTIONS, short_options
from quagga.cli.options.value_types import default_in_words, is_plain_type, placeholder
from quagga.option_groups import groups_of
from quagga.pipelines import PIPELINES

OPTION = re.compile(r"^  --(\w+)", re.MULTILINE)
NOISE = re.compile(r"Literal|Union|Optional|<class|typing|factory|\(type:|\x1b|\xa0")
COMMANDS: dict[str, type] = {
    "translate": translate.TranslateOptions,
    "sample": sample.SampleOptions,
    "evaluate": evaluate.EvaluateOptions,
    "verify": verify.VerifyOptions,
    "import": import_authors_weights.ImportOptions,
    "export": export_weights.ExportOptions,
    "demo": demo.DemoOptions,
    "data check": data_check.Check,
    "data embedded": data_command.Embedded,
    "data download": data_command.Download,
}


def owners_by_command() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is typed after `quagga`, and who takes its options."""
    for name, (module, _) in PIPELINES.items():
        pipeline = import_module(module)
        owners = training_owners(pipeline.build, pipeline.data)
        yield f"train {name}", owners
        yield f"plan {name}", {**owners, "plan": plan.PlanOptions}
        yield f"data preview {name}", {"data": pipeline.data, "preview": data_command.Preview}
    for command, owner in COMMANDS.items():
        yield command, {"options": owner}


OWNERS = dict(owners_by_command())
EACH_COMMAND = pytest.mark.parametrize("command", OWNERS)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def said_by(command: str, *argv: str, capsys: Any) -> str:
    assert command_line([*command.split(), *argv]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


# -- the short help ---------------------------------------------------------------------------------------------------


def test_every_short_option_exists_and_stands_in_one_of_the_four_groups():
    owners = {owner for some in OWNERS.values() for owner in some.values()}
    assert {owner.__name__ for owner in owners} - {"build"} == set(SHORT_OPTIONS)
    assert GROUPS == ("your pictures", "size and time", "quality", "where it goes")
    for owner in owners:
        groups = short_options(owner)
        assert groups and set(groups) <= set(GROUPS)
        names = [name for group in groups.values() for name in group]
        assert set(names) <= hints_of(owner).keys() and len(set(names)) == len(names), owner


@EACH_COMMAND
def test_the_short_help_is_short(command, capsys):
    text = said_by(command, "--help", capsys=capsys)
    names = OPTION.findall(text)
    assert 0 < len(names) <= MOST == 12 and len(set(names)) == len(names)
    titles = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert titles == [group for group in GROUPS if group in titles]
    assert max(map(len, text.splitlines())) <= 80 and not NOISE.search(text)
    assert text.splitlines()[-1].startswith("`--help all` ")
    for entry in re.split(r"\n(?=  --|\n)", text):  # each with its default, in a line or two
        if entry.startswith("  --"):
            assert re.search(r"\((default: |required\))", entry), entry
            assert entry.count("\n") <= 2 and first_sentence(entry.split("  ", 2)[-1]), entry


@EACH_COMMAND
def test_the_first_line_says_which_words_stand_without_an_option(command, capsys):
    [first, *_] = said_by(command, "--help", capsys=capsys).splitlines()
    words = {
        "translate": "RUN PICTURE ...",
        "evaluate": "RUN [RUN ...]",
        **dict.fromkeys(("sample", "verify", "export"), "RUN"),
        "import": "WEIGHTS",
        "data download": "NAME",
        "data check": "DIR",
    }
    expected = words.get(
        command, "[DIR]" if "root" in {n for o in OWNERS[command].values() for n in hints_of(o)} else ""
    )
    assert first.split(" ", 2)[1] == "quagga"
    assert first.endswith(f"{expected} [OPTION ...]")


@pytest.mark.parametrize("command", ["", "train", "plan", "data"])
def test_the_tables_of_commands_and_pipelines_fit_into_80_columns(command, capsys):
    assert max(map(len, said_by(command, "--help", capsys=capsys).splitlines())) <= 80


def test_help_is_asked_for_in_three_ways(capsys):
    for command in ("train gan", "translate", "data download", "data embedded", "data preview"):
        short, full = (said_by(command, *argv, capsys=capsys) for argv in (["--help"], ["--help", "all"]))
        assert said_by(command, "-h", capsys=capsys) == short != full
        assert said_by(command, "--help=all", capsys=capsys) == said_by(command, "-h", "all", capsys=capsys) == full
    for command in ("", "train", "plan", "data", "data list"):
        assert said_by(command, "--help", capsys=capsys) == said_by(command, "--help", "all", capsys=capsys)
        assert said_by(command, "--help", capsys=capsys) == said_by(command, "--help=all", capsys=capsys)


def test_help_wins_over_values_and_missing_words_but_not_over_unknown_options(capsys):
    assert "size and time" in said_by("train cyclegan", "--batch_size", "many", "--help", capsys=capsys)
    assert "your pictures" in said_by("translate", "--to", "zebra", "--help", capsys=capsys)
    assert command_line(["train", "cyclegan", "--help", "--widht"]) == 2
    assert "did you mean --width?" in capsys.readouterr().err


def stripes(*, width: int = 64, colours: list[str] | None = None, crop_size: int = 256) -> None:
    """Zebras without horses (nobody 2026). More of it.

    Args:
        width: channels; at first.
        colours: which there are. None takes all of them; they are few.
        crop_size: as elsewhere.
    """


def test_a_pipeline_of_a_user_shows_its_own_options_first(capsys):
    with pytest.raises(SystemExit) as end:
        main(stripes, None, ["train", "--help"])
    said = capsys.readouterr().out
    assert not end.value.code
    assert "\nZebras without horses (nobody 2026).\n\nthis pipeline's own:\n" in said
    assert "\n  --width INT           channels (default: 64)\n" in said
    assert (
        "\n  --colours [TEXT, ...]\n                        which there are (default: all of them)\n\nyour pictures:\n"
        in said
    )
    assert set(OPTION.findall(said)) == {"width", "colours", "root", "x", "y", "load_size", "crop_size", "epochs"} | {
        "batch_size",
        "output",
    }


def alike(batch_size: int = 1, epochs: float = 200) -> None:
    """Options of the schedule's names are the schedule's too."""


def typed(*argv: str, defaults: Mapping[str, Any] | None = None) -> int:
    with pytest.raises(SystemExit) as end:
        main(alike, None, ["train", *argv], defaults)
    return int(end.value.code or 0)


@pytest.mark.parametrize("asked", ["--help", "--help=all"])
def test_an_option_that_a_pipeline_shares_is_shown_once(asked, capsys):
    assert typed(asked) == 0
    said = OPTION.findall(capsys.readouterr().out)
    assert said.count("batch_size") == said.count("epochs") == 1


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [({"ema_ramp": 0.2}, "--ema_ramp: Quagga 0.1 had"), ({"epocs": 3}, "no option: did you mean epochs?")],
)
def test_defaults_that_are_no_options_are_refused_in_one_line(defaults, expected, capsys):
    assert typed("--print_config", defaults=defaults) == 2
    assert expected in capsys.readouterr().err


def test_a_default_that_an_option_of_0_1_has_now_is_left_out(capsys):
    assert typed("--print_config", defaults={"ema_ramp": 0.05}) == 0
    assert "ema_ramp" not in capsys.readouterr().out


# -- the full help ----------------------------------------------------------------------------------------------------


@EACH_COMMAND
def test_the_full_help_lists_every_option_once_with_all_of_its_text(command, capsys):
    text = said_by(command, "--help", "all", capsys=capsys)
    names = {name for owner in OWNERS[command].values() for name in hints_of(owner)}
    general = ["help", "config", "print_config", *(["recipe"] if "run" in OWNERS[command] else [])]
    assert sorted(OPTION.findall(text)) == sorted([*names, *general])
    assert max(map(len, text.splitlines())) <= 80 and not NOISE.search(text)
    flat = " ".join(text.split())
    explained: set[str] = set()
    for owner in OWNERS[command].values():
        for name, about in argument_texts(owner).items():
            assert name in explained or about in flat, name
            explained.add(name)
    assert explained == names, "an option is not explained"


def test_texts_of_arguments_are_read_as_others_read_them():
    takers = [taker for owners in OWNERS.values() for taker in owners.values()]
    for documented in (*takers, *(group.type for taker in takers for group in groups_of(taker))):
        found = docstring_parser.parse(inspect.getdoc(documented) or "").params
        texts = {one.arg_name: " ".join((one.description or "").split()) for one in found}
        assert docstring_texts(documented) == texts


def test_defaults_of_a_pipeline_replace_those_of_the_owners():
    gan = import_module(PIPELINES["gan"][0])
    owners = training_owners(gan.build, gan.data)
    for text in (short_help("", owners, gan.defaults), full_help("", owners, gan.defaults)):
        flat = " ".join(text.split())
        assert re.search(r"--batch_size INT [^-]*\(default: 64\)", flat)
    assert re.search(r"--batch_size INT [^-]*\(default: 1\)", " ".join(short_help("", owners).split()))


# -- words for types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "name", "expected"),
    [
        (int, "k", "INT"),
        (int | None, "images", "INT"),
        (float, "lr", "FLOAT"),
        (bool, "flip", "{true,false}"),
        (bool | None, "compile", "{true,false}"),
        (Literal["patch", "pixel"], "discriminator", "{patch,pixel}"),
        (Optional[Literal["a", "b"]], "statistics", "{a,b}"),  # noqa: UP045
        (Union[Literal["model"], int], "resolution", "{model,INT}"),  # noqa: UP007
        (int | Literal["auto"] | None, "tile", "{INT,auto}"),
        (str | None, "root", "DIR"),
        (str, "resume", "TEXT"),
        (int, "root", "INT"),
        (int | None, "crop_size", "PIXELS"),
        (list[str] | None, "names", "[TEXT, ...]"),
        (list[Literal["a", "b"]] | None, "diffaugment", "[{a,b}, ...]"),
        (dict[str, dict[str, int | None]], "augment", "DICT"),
    ],
)
def test_a_type_is_shown_as_what_one_types(hint, name, expected):
    assert is_plain_type(hint)
    assert placeholder(hint, name) == expected


def test_many_choices_end_no_line_behind_the_edge():
    def many(
        *, of: Literal["aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc", "ddddddddd"]
    ) -> None: ...

    text = full_help("many", {"build": many})
    first, second = "  --of {aaaaaaaaaaaaaaaaaaaa,bbbbbbbbbbbbbbbbbbbb,cccccccccccccccccccc,", "      ddddddddd}"
    assert f"\n{first}\n{second}\n" in text and max(map(len, text.splitlines())) <= 80


def test_a_default_is_shown_as_one_types_it():
    shown = {default_in_words(value) for value in (None, True, 2e-4, 1, "auto", {}, ["a"], [0, 1.5])}
    assert shown == {"not set", "true", "0.0002", "1", "auto", "{}", '["a"]', "[0, 1.5]"}


def test_a_sentence_does_not_end_within_brackets():
    text = "Pictures of noise, and back (Donahue et al. 2016; Dumoulin et al. 2016)"
    assert first_sentence(f"{text}. More.") == first_sentence(f"{text}; more") == first_sentence(text) == text


def test_a_sentence_ends_at_no_abbreviation():
    for text in ("as Miyato et al. 2018 did", "such as e.g. 3", "loss (Eq. 2)", "as in Sec. 5.2", "runs/a.b"):
        assert first_sentence(f"{text}; more. And more.") == first_sentence(f"{text}. More") == text
