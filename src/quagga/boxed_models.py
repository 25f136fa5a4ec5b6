"""Models that come with the package: `box:NAME` stands wherever a run is named.

Each is a folder `box/NAME` as `quagga train` writes it (model.json, weights in float16, golden inputs), and its card,
README.md: a title, what it does in the first paragraph, and below headings the data with its origin and terms, the
figures, and what it cannot do.
"""

from pathlib import Path
from typing import NamedTuple

from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput

FOLDER = Path(__file__).parent / "box"
PREFIX = "box:"
CARD = "README.md"


class BoxedModel(NamedTuple):
    """A model as `quagga list models` shows it.

    Attributes:
        name: after "box:".
        purpose: the first paragraph of its card.
        command: that uses it, the first one of its card that does.
        card: the file that says all.
    """

    name: str
    purpose: str
    command: str
    card: Path


def boxed_model_folder(run: Path) -> Path | None:
    """Returns the folder of a model that is named as "box:NAME"; None: the name is that of a folder on disk.

    Raises:
        BadInput: there is no such model.
    """
    if not str(run).startswith(PREFIX):
        return None
    name = str(run).removeprefix(PREFIX)
    names = [model.name for model in all_boxed_models()]
    if name not in names:
        raise BadInput(f"no model {name} comes with Quagga{did_you_mean(name, names)} (`quagga list models` shows all)")
    return FOLDER / name


def all_boxed_models() -> list[BoxedModel]:
    """Returns the models, by name."""
    return [read_card(card) for card in sorted(FOLDER.glob(f"*/{CARD}"))]


def read_card(card: Path) -> BoxedModel:
    """Returns what a card says first."""
    text = card.read_text(encoding="utf-8")
    _, _, purpose, *_ = text.split("\n\n")  # after the front matter and the title
    name = card.parent.name
    command = next(line for line in text.splitlines() if line.startswith("quagga ") and f" {PREFIX}{name} " in line)
    return BoxedModel(name, " ".join(purpose.split()), command, card)
