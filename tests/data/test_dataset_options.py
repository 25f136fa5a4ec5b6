"""What the datasets state: each option once, and again only where something about it differs."""

import inspect
from collections import defaultdict
from dataclasses import fields
from typing import Any

from quagga.cli.options.help_text import argument_texts, docstring_texts
from quagga.data import Conditioned, Masked, Paired, Pictures, Unpaired

DATASETS = (Unpaired, Paired, Conditioned, Pictures, Masked)
CLASSES: list[Any] = list(dict.fromkeys(kind for dataset in DATASETS for kind in dataset.__mro__ if kind is not object))


def stated(kind: Any) -> dict[str, tuple[Any, Any]]:
    """The options whose fields a class states itself: name -> type and default."""
    own = inspect.get_annotations(kind)
    return {field.name: (own[field.name], field.default) for field in fields(kind) if field.name in own}


def test_no_option_is_explained_twice_in_the_same_words():
    explained: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind in CLASSES:
        for option in docstring_texts(kind).items():
            explained[option].append(kind.__name__)
    assert explained and {option: kinds for option, kinds in explained.items() if len(kinds) > 1} == {}


def test_no_option_is_stated_again_with_the_type_and_default_that_it_inherits():
    """Where a text alone differs, the docstring alone says so."""
    for kind in CLASSES:
        inherited = {name: option for base in reversed(kind.__mro__[1:-1]) for name, option in stated(base).items()}
        assert not stated(kind).items() & inherited.items(), kind


def test_each_class_explains_the_options_that_it_states():
    for kind in CLASSES:
        assert stated(kind).keys() <= docstring_texts(kind).keys() <= {field.name for field in fields(kind)}, kind


def test_what_a_class_says_of_an_option_goes_before_what_it_inherits():
    texts = [argument_texts(kind)["unreadable"] for kind in (Unpaired, Paired)]
    assert "takes the next one" in texts[0] and "takes the next pair" in texts[1]
