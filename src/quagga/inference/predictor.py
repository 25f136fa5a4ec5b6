"""An export of a saved model as a function of named tensors.

>>> predictor = load_predictor(read_model(Path("runs/zebras")), "G")
>>> predictor(x=pictures)  # (N, C, H, W) in [-1, 1], as its fields say

`Translator` and `Sampler` are its faces: they take pictures, seeds and words, and give pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from quagga.data.transforms.conditions import Conditions, tokens
from quagga.errors import BadInput, is_out_of_memory, one_line, some
from quagga.fields import Field
from quagga.inference.finite_checks import check_finite_output
from quagga.models.description.export import EVAL
from quagga.models.network_mode import Mode, NetworkInMode, network_in_mode

GOLDEN_TOLERANCE = 1e-3  # of a range of 2; other processors differ by about 1e-5, a damaged weight by far more
NAMES_OF = {"class": "the classes", "attributes": "the attributes", "caption": "the words"}  # kind of condition
OPTION_OF = {"class": "--label", "attributes": "--attributes", "caption": "--caption"}
Precision = Literal["no", "bf16"]


@dataclass(frozen=True)
class Predictor:
    """Calls a network with tensors by name. Several threads may call it at once: a call changes nothing.

    Args:
        title: What it makes of what, for messages: "horse to zebra".
        network: On `device`, in eval mode; it takes the inputs in their order.
        inputs: What it takes.
        output: What it gives.
        device: Where it runs.
        golden: Inputs by name, and what the network gave for them when it was saved.
        mode: Whether dropout is on, and which statistics batch normalisation takes.
        saved_mode: The mode that the model names, with which its golden output was made.
        mixed_precision: "bf16" computes products in 16 bits; "no": float32.
    """

    title: str
    network: nn.Module = field(repr=False)
    inputs: tuple[Field, ...]
    output: Field
    device: torch.device
    golden: tuple[Mapping[str, Tensor], Tensor] = field(repr=False)
    mode: Mode = EVAL
    saved_mode: Mode = EVAL
    mixed_precision: Precision = "no"
    in_mode: NetworkInMode = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # In the plain mode the network itself is called: a copy would be the same, and takes a tenth of the loading.
        as_it_is = NetworkInMode(self.network, self.mode).eval()
        object.__setattr__(self, "in_mode", as_it_is if self.mode.plain else network_in_mode(self.network, self.mode))

    @torch.inference_mode()
    def __call__(self, *unnamed: object, **tensors: Tensor) -> Tensor:
        """Returns the output, float32 on the device.

        Args:
            tensors: Each input by its name, (N, ...) as `quagga.fields` says of its kind, on any device.

        Raises:
            BadInput: an input is missing, unnamed, unknown, no tensor, or of another number of rows or size than the
                network takes, or the network makes values that are not finite.
        """
        if unnamed:
            raise BadInput(f"{self._takes}, by name: {self.inputs[0].name}=...")
        return check_finite_output(self.forward(**tensors), self.title, self.mixed_precision == "bf16")

    def forward(self, **tensors: Tensor) -> Tensor:
        """Does what a call does, but lets gradients through, and values that are not finite. Raises BadInput."""
        names = [field.name for field in self.inputs]
        if tensors.keys() != set(names):
            raise BadInput(f"{self._takes}, not {', '.join(tensors) or 'nothing'}")
        for name, value in tensors.items():
            if not isinstance(value, Tensor):
                raise BadInput(f"{self._takes}: {name} is a tensor with a row for each, not {type(value).__name__}")
        if len({len(tensor) for tensor in tensors.values()}) > 1:
            rows = ", ".join(f"{name} {len(tensor)}" for name, tensor in tensors.items())
            raise BadInput(f"the inputs of the model ({self.title}) have several numbers of rows, {rows}: give as many")
        moved = [self._to_device(tensors[name]) for name in names]
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision == "bf16"):
                return self.in_mode(*moved).float()
        except (RuntimeError, ValueError, IndexError) as error:
            self._refuse_other_sizes(tensors, error)
            raise

    def verify(self) -> float:
        """Replays the golden input. Returns the largest deviation from the golden output, in a range of 2.

        Raises:
            BadInput: it deviates by more than 0.001: weights, code or machine are not what they were.
        """
        inputs, expected = self.golden
        as_saved = replace(self, mode=self.saved_mode, mixed_precision="no")
        # TensorFloat-32 alone would deviate by more than a damaged weight does.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            output = as_saved(**inputs).cpu()
        deviation = (output - expected).abs().max().item() if output.shape == expected.shape else float("inf")
        if not deviation <= GOLDEN_TOLERANCE:
            raise BadInput(
                f"the model ({self.title}) no longer gives what it gave when it was saved: it deviates by"
                f" {deviation:.2g}, allowed is {GOLDEN_TOLERANCE}; copy the model again or use the Quagga it is from"
            )
        return deviation

    @property
    def _takes(self) -> str:
        """What it takes, as messages begin."""
        return f"the model ({self.title}) takes {', '.join(field.name for field in self.inputs)}"

    def _refuse_other_sizes(self, tensors: Mapping[str, Tensor], error: Exception) -> None:
        """Raises BadInput where the network failed at an input of another size than that of the golden one, which it
        still takes."""
        if is_out_of_memory(error):
            return
        for name, golden in self.golden[0].items():
            taken, given = list(golden.shape[1:]), list(tensors[name].shape[1:])
            if taken != given:
                if not self._takes_golden_input():  # then it is not the size
                    return
                raise BadInput(
                    f"the network of the model ({self.title}) takes {name} of {taken} in a row, and not of {given}:"
                    f" {one_line(error)}"
                ) from error

    def _takes_golden_input(self) -> bool:
        try:
            self.in_mode(*(self._to_device(self.golden[0][field.name]) for field in self.inputs))
        except (RuntimeError, ValueError, IndexError):
            return False
        return True

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float32 if tensor.is_floating_point() else None)


def encode_conditions(
    conditions: Conditions | None, text: str | Sequence[str] | None, count: int, title: str
) -> Tensor | None:
    """Encodes a condition for each of `count` rows, (count, ...); None where the model takes none.

    Args:
        conditions: Those that the model takes; None: it takes none, and the text must be None.
        text: As `Conditions.encode` reads it, or one text for each row.
        count: Number of rows.
        title: Of the model, for messages.

    Raises:
        BadInput: the model does not know it, it is missing, or the model takes none.
    """
    if conditions is None:
        if text is not None:
            raise BadInput(f"the model of {title} was trained without a condition: leave it out")
        return None
    known = f"the model knows {NAMES_OF[conditions.kind]} {some(conditions.names, 12)}"
    if text is None:
        raise BadInput(f"name what to show, {OPTION_OF[conditions.kind]} 'TEXT': {known}")
    if not isinstance(text, str | list | tuple):
        name = conditions.names[0]
        raise BadInput(f"a condition is text, such as '{name}', not {type(text).__name__}: give a string")
    texts = [text] * count if isinstance(text, str) else list(text)
    if len(texts) != count:
        raise BadInput(f"{len(texts)} conditions for {count} pictures: give one, or one for each")
    for each in dict.fromkeys(texts):
        words = set(tokens(each)) if conditions.kind == "caption" else set()
        if words and len(conditions.unknown(each)) == len(words):
            read = some(conditions.names, 12)
            raise BadInput(f"the model knows none of the words of {each!r}; it has read {read}")
    return torch.stack([conditions.encode(each) for each in texts])
