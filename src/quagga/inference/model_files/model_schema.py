"""What a model.json must look like, with bounds on every number, text and list: a stranger may have written it.

    {"format": 2, "pipeline": "cyclegan", "options": {...}, "images_seen": 12000,
     "networks": {"G": {"class": "ResnetGenerator", "arguments": {...}}},
     "exports": {"G": {"inputs": [{"kind": "picture", "name": "x"}], "output": {"kind": "picture", "name": "y"},
                       "mode": {"dropout": false, "statistics": "running"}}},
     "domains": {"x": {"name": "horse", "channels": 3, "value_range": [0, 255], "kind": "uint8"}, "y": ...},
     "preprocessing": {"load_size": 286, "crop_size": 256, "fit": "crop"}, "value_range": [-1, 1],
     "versions": {...}, "files": {"G.safetensors": SHA-256, ...}, "bytes": {"G.safetensors": SIZE, ...}}

This is format 2. A network is null where its class is not one of `quagga.models`: it is a user's own. Only such a
network is made by the pipeline's options; they are kept for the reader in all models. Keys that are not named here are
ignored, so that a later version may add some.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from quagga import fields
from quagga.data.io.pixel_format import PixelFormat
from quagga.data.transforms.augment import LARGEST_SIDE
from quagga.data.transforms.conditions import MAX_CAPTION_LENGTH, MAX_NAMES
from quagga.data.transforms.derived_inputs import MOST_LABELS, DerivedInput, XAs
from quagga.errors import one_line
from quagga.models.network_mode import Mode, Statistics

FORMAT = 2  # raised when an older Quagga could no longer read the folder
MAX_TEXT = 4096  # characters of any text; a name of a picture's folder has 255
MAX_LIST = 64  # entries of a list of which nothing else is said
MAX_DEPTH = 16  # lists and dictionaries within one another; ours have 3
MAX_NUMBER = 1 << 63
MAX_BYTES = 1 << 40  # of a file
MAX_CHANNELS, MAX_VECTOR = 4096, 1 << 16  # of pictures; numbers of noise or of a code


def plain(value: Any, most: int = MAX_LIST, depth: int = MAX_DEPTH) -> Any:
    """Returns a value if it is plain data of bounded size: None, numbers, text, and lists and dictionaries of them.

    Raises:
        ValueError: it is not. The key "class_path" is none either: for a parameter without a type, jsonargparse imports
            what it names.
    """
    if isinstance(value, dict | list):
        if len(value) > most or depth == 0:
            raise ValueError(f"should have at most {most} entries, and {MAX_DEPTH} levels")
        if "class_path" in value:
            raise ValueError("should be plain data, without class_path")
        for entry in [*value, *value.values()] if isinstance(value, dict) else value:
            plain(entry, MAX_LIST, depth - 1)
    elif isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"should have at most {MAX_TEXT} characters")
    elif isinstance(value, int | float) and not (math.isfinite(value) and abs(value) < MAX_NUMBER):
        raise ValueError("should be a finite number of at most 19 digits")
    return value


def plain_options(options: dict[str, Any]) -> dict[str, Any]:
    """Returns a pipeline's options if they are plain data; `names` may be a long list of texts. Raises ValueError."""
    names = options.get("names") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names should be a list of texts")
    plain(names, MAX_NAMES)
    plain({key: value for key, value in options.items() if key != "names"}, 4 * MAX_LIST)
    return options


def identifier(name: str) -> str:
    """Returns a name that may be a variable's, and a file's: it cannot climb out of the folder. Raises ValueError."""
    if not name.isidentifier() or len(name.encode()) > 200:
        raise ValueError("should be a name like a variable's, of at most 200 bytes")
    return name


def text(value: object) -> str:
    """Returns a text. Unlike pydantic's own it may hold surrogates, which stand for bytes of file names that are not
    UTF-8 (`quagga.filenames`). Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("should be a text")
    if len(value) > MAX_TEXT:
        raise ValueError(f"should have at most {MAX_TEXT} characters")
    return value


Text = Annotated[str, PlainValidator(text)]
Name = Annotated[str, AfterValidator(identifier)]
Plain = Annotated[Any, AfterValidator(plain)]
Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS)]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]  # pixels
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=MAX_NUMBER)]


class Part(BaseModel):
    """A part of model.json: types are taken as they are, none is converted."""

    model_config = ConfigDict(strict=True, frozen=True)


class PictureField(Part):
    """See `quagga.fields.picture` and `mask`."""

    kind: Literal["picture", "mask"]
    name: Name


class VectorField(Part):
    """See `quagga.fields.noise` and `code`."""

    kind: Literal["noise", "code"]
    name: Name
    size: int = Field(ge=1, le=MAX_VECTOR)


class ConditionField(Part):
    """See `quagga.fields.condition`."""

    kind: Literal["condition"]
    name: Name
    condition: fields.ConditionKind
    names: list[Text] = Field(min_length=1, max_length=MAX_NAMES)
    length: int = Field(ge=1, le=MAX_CAPTION_LENGTH)


AnyField = Annotated[PictureField | VectorField | ConditionField, Field(discriminator="kind")]


class ModeOfUse(Part):
    """How the network is used after training, see `quagga.models.network_mode.Mode`."""

    dropout: bool = False
    statistics: Statistics = "running"


class ExportEntry(Part):
    """What an export takes and gives, see `quagga.Export`."""

    inputs: list[AnyField] = Field(min_length=1, max_length=16)
    output: AnyField
    mode: ModeOfUse = ModeOfUse()

    @model_validator(mode="after")
    def names_differ(self) -> Self:
        """Inputs are told apart by their names."""
        if len({field.name for field in self.inputs}) < len(self.inputs):
            raise ValueError("two inputs have one name")
        return self


class NetworkEntry(Part):
    """A network by its class's name in `quagga.models` and its arguments; `build_described` judges them."""

    class_name: Text = Field(alias="class")
    arguments: Annotated[dict[str, Any], AfterValidator(plain)]


class Domain(Part):
    """How a domain's pictures are read and written. `as`, `labels` and `nearest` say how a network's input is made of
    them, see `DerivedInput`; models of version 0.1 may lack all but name and channels."""

    name: Text
    channels: Channels
    value_range: list[Number] = Field([0.0, 255.0], min_length=2, max_length=2)
    kind: Literal["uint8", "uint16", "int16", "float32"] = "uint8"
    made_as: XAs = Field("picture", alias="as")
    labels: list[Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1, max_length=3)]] = Field(
        [], max_length=MOST_LABELS
    )
    nearest: bool = False

    @model_validator(mode="after")
    def is_consistent(self) -> Self:
        """The range has a low and a high end; a label map has a plane for each label, numbers or colours."""
        low, high = self.value_range
        if not low < high:
            raise ValueError("value_range should be [low, high]")
        lengths = {len(label) for label in self.labels}
        if self.made_as == "labels" and (lengths not in ({1}, {3}) or len(self.labels) != self.channels):
            raise ValueError("its table of labels should have a number, or a colour, for each of the channels")
        return self

    @property
    def pixel_format(self) -> PixelFormat:
        """Channels, kind and value range of its pictures."""
        low, high = self.value_range
        return PixelFormat(self.channels, self.kind, (float(low), float(high)))

    @property
    def derived_input(self) -> DerivedInput:
        """How a network's input is made of its pictures."""
        return DerivedInput(self.made_as, tuple(tuple(label) for label in self.labels), self.nearest)


class Preprocessing(Part):
    """What training did to a picture before the network saw it. A data set may say more, as plain data."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Plain]  # pyright: ignore[reportIncompatibleVariableOverride]

    load_size: Side | None = None
    crop_size: Side | None = None
    fit: Text | None = None
    carry: bool | None = None
    side: Text | None = None
    pair_size: list[Annotated[int, Field(ge=1, le=MAX_NUMBER)]] | None = Field(None, max_length=2)


class ModelDescription(Part):
    """The whole of model.json."""

    format: Literal[2]
    pipeline: Text
    options: Annotated[dict[str, Any], AfterValidator(plain_options)]
    images_seen: Count
    networks: dict[Name, NetworkEntry | None] = Field(max_length=MAX_LIST)
    exports: dict[Name, ExportEntry] = Field(min_length=1, max_length=MAX_LIST)
    domains: dict[Name, Domain] = Field(max_length=MAX_LIST)
    preprocessing: Preprocessing
    versions: dict[Text, Text] = Field(max_length=MAX_LIST)
    files: dict[Text, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(max_length=2 * MAX_LIST)
    bytes: dict[Text, Annotated[int, Field(ge=0, le=MAX_BYTES)]] = Field({}, max_length=2 * MAX_LIST)

    @model_validator(mode="after")
    def names_fit(self) -> Self:
        """Every export has a network, and every picture a domain."""
        if self.networks.keys() != self.exports.keys():
            raise ValueError("networks and exports should have the same names")
        for name, export in self.exports.items():
            for field in (*export.inputs, export.output):
                if field.kind == "picture" and field.name not in self.domains:
                    raise ValueError(f"the export {name} has pictures of {field.name}, which is none of the domains")
        return self


class SchemaError(ValueError):
    """A model.json is not what Quagga writes. The message names the first key that is wrong, in one line."""


def validated(content: dict[str, Any]) -> ModelDescription:
    """Returns the description that is in a model.json, parsed, of format 2. Raises SchemaError."""
    try:
        return ModelDescription.model_validate(content)
    except ValidationError as error:
        raise SchemaError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    """Returns which key is wrong, its value, and what it should be."""
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(map(str, first["loc"])) or "model.json"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "missing":
        return f"{key} is missing"
    shown = "" if isinstance(first["input"], dict | list) else f" is {one_line(repr(first['input']), 40)} and"
    return f"{key}{shown} {message[:1].lower()}{message[1:]}"


def field_from(entry: AnyField) -> fields.Field:
    """Returns the field that an entry of model.json describes."""
    match entry:
        case PictureField():
            return fields.Field(entry.kind, entry.name)
        case VectorField():
            return fields.Field(entry.kind, entry.name, entry.size)
        case ConditionField():
            return fields.condition(entry.name, entry.condition, entry.names, entry.length)


def mode_from(entry: ModeOfUse) -> Mode:
    """Returns the mode that an entry of model.json describes."""
    return Mode(entry.dropout, entry.statistics)
