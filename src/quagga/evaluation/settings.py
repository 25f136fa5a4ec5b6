"""What was asked of an evaluation."""

from dataclasses import dataclass

from quagga.evaluation.splits import LEAST, Part

REFERENCE = 240  # real pictures that distances are measured from


@dataclass(frozen=True)
class Settings:
    """How pictures are judged; see `quagga.evaluation.evaluate.evaluate`."""

    pictures: int = 240
    part: Part = "report"
    features: str = "none"
    device: str | None = None

    def split_text(self, held_out: int) -> str:
        """Returns which of the held-out pictures are judged, in words."""
        if held_out < LEAST:
            return "all of them" if held_out <= self.pictures else "chosen by a hash of their names"
        if self.part == "all":
            return "of all of them"
        return f"of the half that may {self.part}, by a hash of their names"
