"""What goes into a trained network and comes out of it, each by its kind: pictures, masks, noise, conditions, codes.

    Export(G, inputs=(picture("x"),), output=picture("y"))                    # a translation
    Export(G, inputs=(noise("z", 100), condition("c", "class", names)), output=picture("x"))

The kind decides how a field is read, drawn, resized, shown and written. This module imports the standard library only:
every room may import it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from quagga.errors import BadInput

FieldKind = Literal["picture", "mask", "noise", "condition", "code"]
ConditionKind = Literal["class", "attributes", "caption"]


@dataclass(frozen=True)
class Field:
    """One input or output of an export. The functions below make one of each kind.

    Args:
        kind: What it is.
        name: An identifier: the paper's letter. A picture's is also that of its domain, "x" or "y".
        size: Of noise and codes: length of the vector. None for the others.
        condition: Of conditions: whether they are a class, attributes or a caption. None for the others.
        names: Of conditions: the classes, the attributes or the vocabulary, in order.
        length: Of conditions: words of a caption that are read.

    Raises:
        BadInput: the name is no identifier, a size is below 1, or conditions have no names.
    """

    kind: FieldKind
    name: str
    size: int | None = None
    condition: ConditionKind | None = None
    names: tuple[str, ...] = ()
    length: int | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise BadInput(f"a field is called {self.name!r}: give it a name like a variable's, such as x")
        if self.kind in ("noise", "code") and (self.size is None or self.size < 1):
            raise BadInput(
                f"the {self.kind} {self.name} has size {self.size}: give the length of its vector, 1 or more"
            )
        if self.kind == "condition" and (self.condition not in get_args(ConditionKind) or not self.names):
            raise BadInput(
                f"the condition {self.name} is {self.condition!r} of {len(self.names)} names: it is a class,"
                " attributes or a caption, and has 1 name or more"
            )

    def to_json(self) -> dict[str, Any]:
        """Returns what model.json holds of it."""
        stored: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.kind in ("noise", "code"):
            stored["size"] = self.size
        if self.kind == "condition":
            stored |= {"condition": self.condition, "names": list(self.names), "length": self.length}
        return stored


def picture(name: str) -> Field:
    """Pictures (N, C, H, W) in [-1, 1] of the domain of this name. A label map's are planes, 1 or -1."""
    return Field("picture", name)


def mask(name: str) -> Field:
    """Masks (N, 1, H, W) of a picture's size, 1 where a pixel is known and else 0. They are never interpolated."""
    return Field("mask", name)


def noise(name: str, size: int) -> Field:
    """Noise (N, size), standard normal: one picture for each draw."""
    return Field("noise", name, size)


def code(name: str, size: int) -> Field:
    """Codes (N, size) of any range: what an encoder makes of a picture, and a decoder turns into one."""
    return Field("code", name, size)


def condition(name: str, kind: ConditionKind, names: Sequence[str], length: int = 16) -> Field:
    """Conditions: int64 (N,) classes, float32 (N, A) attributes, or int64 (N, length) words of a caption, 0 as padding.
    As an output of a network, the probability of each class or attribute, float32 (N, K).

    Args:
        name: The paper's letter, such as "c".
        kind: What they are.
        names: The classes, the attributes or the vocabulary, in order.
        length: Words of a caption that are read; other kinds ignore it.
    """
    return Field("condition", name, condition=kind, names=tuple(names), length=length)


def field_of(inputs: Sequence[Field], kind: FieldKind) -> Field | None:
    """Returns the first field of a kind; None if there is none."""
    return next((field for field in inputs if field.kind == kind), None)


def translates(inputs: Sequence[Field], output: Field) -> bool:
    """Whether pictures become pictures, perhaps by a condition: what `quagga translate` does."""
    kinds = sorted(field.kind for field in inputs)
    return kinds in (["picture"], ["condition", "picture"]) and output.kind == "picture"


def fills(inputs: Sequence[Field], output: Field) -> bool:
    """Whether a picture and a mask become a picture of the same domain: what `quagga translate --mask` does."""
    return (
        sorted(field.kind for field in inputs) == ["mask", "picture"] and output in inputs and output.kind == "picture"
    )


def samples(inputs: Sequence[Field], output: Field) -> bool:
    """Whether noise becomes pictures, perhaps by a condition: what `quagga sample` does."""
    kinds = sorted(field.kind for field in inputs)
    return kinds in (["noise"], ["condition", "noise"]) and output.kind == "picture"


def classifies(inputs: Sequence[Field], output: Field) -> bool:
    """Whether a picture becomes the probability of each class or attribute: `quagga translate` writes a table."""
    of_names = output.kind == "condition" and output.condition != "caption"
    return of_names and [field.kind for field in inputs] == ["picture"]


def encodes(inputs: Sequence[Field], output: Field) -> bool:
    """Whether a picture becomes a code: `quagga translate --to code`."""
    return [field.kind for field in inputs] == ["picture"] and output.kind == "code"


def decodes(inputs: Sequence[Field], output: Field) -> bool:
    """Whether a code, or noise that codes are like, becomes a picture: `quagga translate --to picture`."""
    return len(inputs) == 1 and inputs[0].kind in ("code", "noise") and output.kind == "picture"
