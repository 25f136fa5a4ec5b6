"""Reads map-style datasets of (picture, condition), such as torchvision's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from quagga.data.sources.annotations import Labelled
from quagga.data.sources.image_folder import Collection
from quagga.data.sources.image_store import JoinedDatasets
from quagga.data.transforms.conditions import ConditionKind, name_of, tokens
from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput

Options = TypeVar("Options")


def without_init(kind: type[Options], options: Mapping[str, Any]) -> Options:
    """Makes a dataclass of options from these and its defaults, without calling `__post_init__`.

    Raises:
        TypeError: there is no such option.
    """
    filled = kind.__new__(kind)
    remaining = dict(options)
    for option in fields(kind):  # pyright: ignore[reportArgumentType]
        default = option.default_factory() if option.default_factory is not MISSING else option.default
        setattr(filled, option.name, remaining.pop(option.name, default))
    if remaining:
        raise TypeError(
            f"{kind.__name__} has no option {next(iter(remaining))}{did_you_mean(next(iter(remaining)), vars(filled))}"
        )
    return filled


def join_datasets(dataset: Any, test: Any = None) -> JoinedDatasets:
    """Joins a dataset and perhaps another for the test.

    Raises:
        BadInput: it is not map-style, or empty.
    """
    for each in (dataset, test):
        if each is not None and not (hasattr(each, "__len__") and hasattr(each, "__getitem__") and len(each)):
            raise BadInput(f"{type(each).__name__} is no map-style dataset with pictures: it needs len() and [number]")
    return JoinedDatasets([dataset] if test is None else [dataset, test], type(dataset).__name__.lower())


def held_out_mask(joined: JoinedDatasets) -> np.ndarray | None:
    """Returns bool (N,), True for the pictures of the second dataset; None where there is one dataset only."""
    lengths = [len(dataset) for dataset in joined.datasets]
    return np.repeat([False, True], lengths) if len(lengths) == 2 else None


def collect_dataset(
    dataset: Any, test: Any, conditions: Sequence[Any] | None, condition: ConditionKind, names: Sequence[str] | None
) -> Labelled:
    """Reads what `Conditioned.of` is given.

    Raises:
        BadInput: items are no pairs, conditions are not of their kind, or not as many as the pictures.
    """
    joined = join_datasets(dataset, test)
    count = joined.count()
    if conditions is None:
        conditions = [_picture_and_condition(joined, number)[1] for number in range(count)]
    if len(conditions) != count:
        raise BadInput(f"{len(conditions)} conditions for {count} pictures: give one each, those of the test last")

    def bad_condition(number: int, why: str) -> BadInput:
        return BadInput(f"{joined.title}, picture {number}: {why}")

    values = np.zeros((count, 0), np.float32)
    labels, attributes = None, []
    if condition == "attributes":
        first = conditions[0]
        attributes = list(map(name_of, names or (first if isinstance(first, Mapping) else [])))
        if not attributes:
            raise BadInput(
                "the attributes have no names: give names=[...], or a dict of name to number for each picture"
            )
        vectors = []
        for number, given in enumerate(conditions):
            if isinstance(given, Mapping):
                if missing := [name for name in attributes if name not in given]:
                    raise bad_condition(
                        number, f"it has no attribute {missing[0]!r}{did_you_mean(missing[0], map(str, given))}"
                    )
                given = [given[name] for name in attributes]
            vector = np.asarray(given.cpu() if isinstance(given, Tensor) else given, np.float32)
            if vector.shape != (len(attributes),) or not np.isfinite(vector).all():
                raise bad_condition(number, f"expected {len(attributes)} finite attributes, not {given!r}"[:200])
            vectors.append(vector)
        values = np.stack(vectors)
    elif condition == "caption":
        labels = []
        for number, given in enumerate(conditions):
            if not isinstance(given, str) or not tokens(given):
                raise bad_condition(number, f"the caption {given!r} is empty: write at least one word"[:200])
            labels.append(given)
    else:
        known = getattr(dataset, "classes", None) if names is None else names
        labels = [_class_name(number, given, known, bad_condition) for number, given in enumerate(conditions)]
    return Labelled(Collection(joined.title, joined, labels, held_out_mask(joined), []), attributes, values, None)


def _picture_and_condition(joined: JoinedDatasets, number: int) -> tuple[Any, Any]:
    item = joined.item(number)
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise BadInput(f"{joined.title}, item {number} is no pair of a picture and a condition: give conditions=[...]")
    return item[0], item[1]


def _class_name(
    number: int, given: Any, known: Sequence[str] | None, bad_condition: Callable[[int, str], BadInput]
) -> str:
    if isinstance(given, str):
        return name_of(given)
    try:
        index = int(given)
    except (TypeError, ValueError):
        raise bad_condition(number, f"{given!r} is no class: expected a name or a number"[:200]) from None
    if known is None:
        return str(index)
    if not 0 <= index < len(known):
        raise bad_condition(number, f"class {index} lies outside the {len(known)} names")
    return name_of(str(known[index]))
