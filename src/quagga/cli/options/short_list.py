"""Which options `--help` shows: those that most users need, by the question they answer. Pipelines name their own."""

import sys
from collections.abc import Callable
from typing import Any

from quagga.option_groups import is_ours

PICTURES, SIZE, QUALITY, OUTPUT = GROUPS = ("your pictures", "size and time", "quality", "where it goes")
MOST = 12  # a command has no more options here, and the short help shows no more of a user's own
SHORT_OPTIONS = {  # who takes the options -> group -> names
    "Unpaired": {PICTURES: "root x y", SIZE: "load_size crop_size"},
    "Paired": {PICTURES: "root x y side x_as", SIZE: "load_size crop_size"},
    "Conditioned": {PICTURES: "root table condition names flip", SIZE: "size"},
    "Pictures": {PICTURES: "root table names flip", SIZE: "size"},
    "Masked": {PICTURES: "root masks hole_ratios flip", SIZE: "size"},
    "Schedule": {SIZE: "epochs batch_size"},
    "RunOptions": {OUTPUT: "output"},
    "PlanOptions": {SIZE: "seconds"},
    "TranslateOptions": {
        PICTURES: "to mask side from_photo",
        SIZE: "resolution device",
        OUTPUT: "output existing comparison faithfulness",
    },
    "SampleOptions": {
        PICTURES: "label attributes caption count seed walk invert",
        SIZE: "device",
        QUALITY: "truncation",
        OUTPUT: "output grid existing",
    },
    "EvaluateOptions": {
        PICTURES: "real fake",
        SIZE: "pictures device",
        QUALITY: "split features",
        OUTPUT: "json report existing",
    },
    "VerifyOptions": {SIZE: "device"},
    "ImportOptions": {PICTURES: "x_name y_name epoch", OUTPUT: "output existing"},
    "ExportOptions": {OUTPUT: "output format existing"},
    "DemoOptions": {PICTURES: "animals", SIZE: "images device", OUTPUT: "output"},
    "Check": {
        PICTURES: "root x y paired side x_as table condition",
        SIZE: "crop_size size",
        QUALITY: "strict",
        OUTPUT: "write",
    },
    "Preview": {PICTURES: "count", OUTPUT: "output"},
    "Embedded": {PICTURES: "kind train test seed", SIZE: "size", OUTPUT: "output"},
    "Download": {PICTURES: "url sha256", OUTPUT: "output"},
}


def short_options(owner: Callable[..., Any]) -> dict[str, list[str]]:
    """Returns the names that the short help shows of the options of `owner`, by group; none for a user's own."""
    if not is_ours(owner):
        return {}
    pipeline = sys.modules[owner.__module__] if owner.__name__ == "build" else None
    groups = {QUALITY: pipeline.shown} if pipeline else SHORT_OPTIONS.get(owner.__name__, {})
    return {group: names.split() for group, names in groups.items()}
