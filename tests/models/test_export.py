"""A game of version 0.1 states translations or samples; its exports follow from them, and a warning says so."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.fields import condition, noise, picture
from quagga.models.description.export import Export, exports_of


def exports_with_a_warning(game: Any, *condition: Any) -> dict[str, Export]:
    with pytest.warns(FutureWarning, match="must state exports") as said:
        exports = exports_of(game, *condition)
    assert len(said) == 1
    return dict(exports)


def test_translations_and_samples_become_exports():
    G, F = nn.Identity(), nn.Identity()
    ends = {"G": ("x", "y"), "F": ("y", "x")}
    translating = SimpleNamespace(generators={"G": G, "F": F}, translations=ends)
    assert exports_with_a_warning(translating) == {
        "G": Export(G, (picture("x"),), picture("y")),
        "F": Export(F, (picture("y"),), picture("x")),
    }
    sampling = SimpleNamespace(generators={"G": G}, samples={"G": "x"}, z_size=7)
    assert exports_with_a_warning(sampling) == {"G": Export(G, (noise("z", 7),), picture("x"))}
    c = condition("c", "class", ["horse", "zebra"])
    assert exports_with_a_warning(sampling, c)["G"].inputs == (noise("z", 7), c)


def test_a_game_that_states_its_exports_is_taken_at_its_word():
    exports = {"G": Export(nn.Identity(), (picture("x"),), picture("y"))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert exports_of(SimpleNamespace(exports=exports, translations={"F": ("y", "x")})) is exports


def test_a_game_that_states_nothing_is_told_what_to_state():
    with pytest.raises(BadInput, match="give it exports"):
        exports_of(SimpleNamespace(generators={"G": nn.Identity()}))


@pytest.mark.parametrize(
    ("kind", "names"), [("class", ["horse", "zebra"]), ("attributes", ["striped"]), ("caption", ["a", "zebra"])]
)
def test_conditions_and_their_field_say_the_same(kind, names):
    conditions = Conditions(kind, names, 5)
    assert Conditions.of(conditions.field("c")) == conditions
    assert conditions.field("c") == condition("c", kind, names, 5)
