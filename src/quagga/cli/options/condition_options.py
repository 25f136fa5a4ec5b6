"""The options that say what pictures shall show: --label, --attributes, --caption, one for each kind of condition."""

from typing import TYPE_CHECKING, Protocol

from quagga.errors import BadInput

if TYPE_CHECKING:
    from quagga.data.transforms.conditions import Conditions


class ConditionOptions(Protocol):
    """The options of a command that takes a condition."""

    @property
    def label(self) -> str | None: ...
    @property
    def attributes(self) -> str | None: ...
    @property
    def caption(self) -> str | None: ...


def given_condition(conditions: "Conditions | None", chosen: ConditionOptions) -> str | None:
    """Returns the condition that was typed, as text; None if there is none.

    Args:
        conditions: Those that the model takes; None: it takes none.
        chosen: The options of the command.

    Raises:
        BadInput: it is of another kind than the model's.
    """
    from quagga.inference.predictor import OPTION_OF  # torch: the line has been read by now

    values = {"class": chosen.label, "attributes": chosen.attributes, "caption": chosen.caption}
    own = conditions.kind if conditions else None
    for kind, value in values.items():
        if value is not None and kind != own:
            instead = f"the model takes {OPTION_OF[own]}" if own else "the model was trained without a condition"
            raise BadInput(f"{OPTION_OF[kind]} does not fit: {instead}")
    return values[own] if own else None
