"""`quagga verify`: does a model still give what it gave when it was saved?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quagga import BadInput
from quagga.pipelines.cli import complain
from quagga.pipelines.words import read_line


@dataclass(frozen=True)
class VerifyOptions:
    """Replay what was saved with each network of a model, and compare.

    Args:
        device: such as cuda, cuda:1, mps or cpu; None takes the best there is.
    """

    device: str | None = None


def main(argv: Sequence[str], build: Callable[..., Any] | None = None) -> int:
    """Obeys `quagga verify RUN`; returns 0, or 2 where a file or a translation is not what was saved."""
    words, chosen = read_line(argv, "quagga verify RUN", VerifyOptions)
    if chosen is None:
        return 0
    if len(words) != 1:
        raise BadInput("name one run: quagga verify RUN")
    from quagga.pipelines.model_folder import read_model  # torch: a misspelt option need not wait for it
    from quagga.pipelines.sampler import load_sampler
    from quagga.pipelines.translator import GOLDEN_TOLERANCE, load_translation

    folder = read_model(Path(words[0]).expanduser())
    failed = 0
    for name in folder.networks:
        ends = folder.translations.get(name) or (folder.samples[name],)
        what = " to ".join(folder.domains[letter]["name"] for letter in ends)
        load_one = load_translation if name in folder.translations else load_sampler
        try:
            deviation = load_one(folder, name, chosen.device, build).verify()
        except BadInput as error:
            failed += 1
            complain(f"{what}: {error}")
        else:
            print(f"{what}: as it was saved (deviates by {deviation:.2g} of 2, allowed is {GOLDEN_TOLERANCE})")
    if failed:
        return 2
    print(f"all is well with {folder.path}: it gives what it gave when it was saved")
    return 0
