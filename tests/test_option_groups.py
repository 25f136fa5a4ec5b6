"""A dataclass stands for several options of a function, which are typed one by one and put together again."""

from dataclasses import dataclass, field
from inspect import Parameter
from typing import Annotated, Any, Literal

import pytest

from quagga.cli.options.config_parser import parse
from quagga.cli.options.help_text import argument_texts, full_help
from quagga.errors import BadInput
from quagga.option_groups import Choices, call_flat, flat_parameters


@dataclass(frozen=True)
class Networks:
    """Networks.

    Args:
        width: channels.
        norm: normalisation.
        widths: of the layers.
    """

    width: int = 64
    norm: Literal["batch", "instance", "none"] = "batch"
    widths: list[int] = field(default_factory=lambda: [8, 8])

    def __post_init__(self):
        if self.width < 1:
            raise BadInput(f"width is {self.width}")


@dataclass(frozen=True)
class Wide:
    """Another group with a width."""

    width: int = 1


def plain(networks: Networks, *, lambda_cycle: float = 10.0) -> tuple[Any, ...]:
    """A game.

    Args:
        lambda_cycle: weight of the cycle.
    """
    return networks, lambda_cycle


EIGHT_WIDE = Networks(8, "none")


def other_defaults(networks: Networks = EIGHT_WIDE, *, width_of_D: int = 3) -> tuple[Any, ...]:
    """A game.

    Args:
        width_of_D: channels of D.
        width: channels of G.
    """
    return networks, width_of_D


def fewer_choices(networks: Annotated[Networks, Choices(norm=("none", "batch"))]) -> Networks:
    return networks


def two_widths(networks: Networks, wide: Wide) -> None: ...
def own_width(networks: Networks, *, width: int = 3) -> None: ...
def wrong_choice(networks: Annotated[Networks, Choices(norm=("layer",))]) -> None: ...
def wrong_name(networks: Annotated[Networks, Choices(norms=("batch",))]) -> None: ...


def parsed(build: Any, *argv: str, defaults: dict[str, Any] | None = None) -> dict[str, Any]:
    config = parse("quagga train toy", {"build": build}, argv, defaults=defaults)
    return {name: config[name] for name in flat_parameters(build)}


def test_the_fields_of_a_group_stand_in_its_place():
    parameters = flat_parameters(plain)
    assert [str(parameter.default) for parameter in parameters.values()] == ["64", "batch", "[8, 8]", "10.0"]
    assert list(parameters) == ["width", "norm", "widths", "lambda_cycle"]
    assert parameters["norm"].annotation == Literal["batch", "instance", "none"]
    assert flat_parameters(Networks).keys() == {"width", "norm", "widths"}


@pytest.mark.parametrize("build", [plain, other_defaults, fewer_choices])
def test_what_is_parsed_calls_the_function(build):
    """Without an option typed, with the defaults of the function."""
    expected = build() if build is other_defaults else build(Networks())
    assert call_flat(build, **parsed(build)) == call_flat(build) == expected


def test_an_option_reaches_its_group_and_the_others_stay():
    assert call_flat(plain, **parsed(plain, "--width", "4", "--lambda_cycle=2")) == (Networks(4), 2.0)
    assert call_flat(other_defaults, **parsed(other_defaults, "--widths=[3]")) == (Networks(8, "none", [3]), 3)
    assert parsed(plain, defaults={"norm": "none"})["norm"] == "none"
    with pytest.raises(BadInput, match="width is 0"):
        call_flat(plain, width=0)
    with pytest.raises(TypeError, match="depth"):
        call_flat(plain, depth=3)


def test_objects_do_not_share_what_a_dataclass_makes_anew():
    first, _ = call_flat(plain)
    first.widths.append(9)
    assert flat_parameters(plain)["widths"].default == call_flat(plain)[0].widths == [8, 8]


def test_the_help_shows_defaults_choices_and_texts_of_the_function():
    assert argument_texts(plain) == {
        "width": "channels.",
        "norm": "normalisation.",
        "widths": "of the layers.",
        "lambda_cycle": "weight of the cycle.",
    }
    text = full_help("quagga train toy", {"build": other_defaults})
    assert "--width INT           channels of G. (default: 8)" in text
    assert "--norm {none,batch,instance}" in text  # the new default first
    assert "--norm {none,batch} " in full_help("quagga train toy", {"build": fewer_choices})


def test_a_choice_that_the_function_does_not_take_is_refused_everywhere():
    message = "--norm should be one of none, batch, not instance"
    with pytest.raises(BadInput, match=message):
        parsed(fewer_choices, "--norm=instance")
    with pytest.raises(BadInput, match=message):
        call_flat(fewer_choices, norm="instance")
    for build, name in ((wrong_choice, "layer of norm"), (wrong_name, "batch of norms")):
        with pytest.raises(BadInput, match=f"the choices {name} are not among those of Networks"):
            flat_parameters(build)


@pytest.mark.parametrize(
    ("build", "owners"), [(two_widths, "Networks and Wide"), (own_width, "Networks and own_width")]
)
def test_no_two_options_have_one_name(build, owners):
    for use in (flat_parameters, call_flat, parsed):
        with pytest.raises(BadInput, match=f"both {owners} state the option width"):
            use(build)


def test_a_function_without_groups_is_called_as_it_is():
    def flat(*, width: int = 64, untyped=None) -> tuple[Any, ...]:
        return width, untyped

    assert call_flat(flat, width=4, untyped=flat) == (4, flat)
    assert flat_parameters(flat)["untyped"].annotation is Any
    assert flat_parameters(lambda needed: needed)["needed"].default is Parameter.empty
