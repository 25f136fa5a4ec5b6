"""Map-style datasets of (picture, condition), such as torchvision's."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from quagga import BadInput
from quagga.data.collection import Collection
from quagga.data.conditions import Kind, did_you_mean, name_of, tokens
from quagga.data.gallery import Joined
from quagga.data.labels import Labelled

Kept = TypeVar("Kept")


def unprepared(kind: type[Kept], options: Mapping[str, Any]) -> Kept:
    """A dataclass of options filled with these and its defaults, its `__post_init__` not called.

    Raises:
        TypeError: there is no such option.
    """
    made = kind.__new__(kind)
    left = dict(options)
    for option in fields(kind):  # pyright: ignore[reportArgumentType]
        default = option.default_factory() if option.default_factory is not MISSING else option.default
        setattr(made, option.name, left.pop(option.name, default))
    if left:
        raise TypeError(f"{kind.__name__} has no option {next(iter(left))}{did_you_mean(next(iter(left)), vars(made))}")
    return made


def joined(dataset: Any, test: Any = None) -> Joined:
    """A dataset, and perhaps another for the test.

    Raises:
        BadInput: it is not map-style, or empty.
    """
    for each in (dataset, test):
        if each is not None and not (hasattr(each, "__len__") and hasattr(each, "__getitem__") and len(each)):
            raise BadInput(f"{type(each).__name__} is no map-style dataset with pictures: it needs len() and [number]")
    return Joined([dataset] if test is None else [dataset, test], type(dataset).__name__.lower())


def held(together: Joined) -> np.ndarray | None:
    """bool (N,): what the second dataset holds."""
    lengths = [len(dataset) for dataset in together.datasets]
    return np.repeat([False, True], lengths) if len(lengths) == 2 else None


def in_dataset(
    dataset: Any, test: Any, conditions: Sequence[Any] | None, condition: Kind, names: Sequence[str] | None
) -> Labelled:
    """What `Conditioned.of` is given.

    Raises:
        BadInput: items are no pairs, conditions are not of their kind, or as many as the pictures.
    """
    together = joined(dataset, test)
    count = together.count()
    if conditions is None:
        conditions = [_pair(together, number)[1] for number in range(count)]
    if len(conditions) != count:
        raise BadInput(f"{len(conditions)} conditions for {count} pictures: give one each, those of the test last")

    def bad(number: int, why: str) -> BadInput:
        return BadInput(f"{together.title}, picture {number}: {why}")

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
                    raise bad(number, f"it has no attribute {missing[0]!r}{did_you_mean(missing[0], map(str, given))}")
                given = [given[name] for name in attributes]
            vector = np.asarray(given.cpu() if isinstance(given, Tensor) else given, np.float32)
            if vector.shape != (len(attributes),) or not np.isfinite(vector).all():
                raise bad(number, f"expected {len(attributes)} finite attributes, not {given!r}"[:200])
            vectors.append(vector)
        values = np.stack(vectors)
    elif condition == "caption":
        labels = []
        for number, given in enumerate(conditions):
            if not isinstance(given, str) or not tokens(given):
                raise bad(number, f"the caption {given!r} is empty: write at least one word"[:200])
            labels.append(given)
    else:
        known = getattr(dataset, "classes", None) if names is None else names
        labels = [_class(number, given, known, bad) for number, given in enumerate(conditions)]
    return Labelled(Collection(together.title, together, labels, held(together), []), attributes, values, None)


def _pair(together: Joined, number: int) -> tuple[Any, Any]:
    item = together.item(number)
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise BadInput(
            f"{together.title}, item {number} is no pair of a picture and a condition: give conditions=[...]"
        )
    return item[0], item[1]


def _class(number: int, given: Any, known: Sequence[str] | None, bad: Any) -> str:
    if isinstance(given, str):
        return name_of(given)
    try:
        place = int(given)
    except (TypeError, ValueError):
        raise bad(number, f"{given!r} is no class: expected a name or a number"[:200]) from None
    if known is None:
        return str(place)
    if not 0 <= place < len(known):
        raise bad(number, f"class {place} lies outside the {len(known)} names")
    return name_of(str(known[place]))
