"""`quagga verify`: checks that a model's output is still what it was when it was saved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quagga.cli.main import print_error
from quagga.cli.options.positional import parse_line
from quagga.errors import BadInput


@dataclass(frozen=True)
class VerifyOptions:
    """Replay what was saved with each network of a model, and compare.

    Args:
        device: cuda, cuda:1, mps or cpu; None takes the best there is.
    """

    device: str | None = None


def main(argv: Sequence[str], build: Callable[..., Any] | None = None) -> int:
    """Runs `quagga verify RUN`. Returns 0, or 2 where a file or an output is not what was saved."""
    words, chosen = parse_line(argv, "quagga verify RUN", VerifyOptions)
    if len(words) != 1:
        raise BadInput("name one run: quagga verify RUN")
    from quagga.inference.model_files.model_folder import (  # torch: a misspelt option need not
        ModelFolder,
        read_model,
        read_whole,
    )
    from quagga.inference.predictor import GOLDEN_TOLERANCE, Predictor  # wait for it
    from quagga.inference.predictor_loading import load_predictor, title_of

    model = read_model(Path(words[0]).expanduser())
    failed, titles = 0, [title_of(model, name) for name in model.exports]
    for name in model.exports:

        def load_one(current: ModelFolder, name: str = name) -> Predictor:
            return load_predictor(current, name, chosen.device, build)

        title = title_of(model, name)
        if titles.count(title) > 1:
            title = f"{name}, {title}"
        try:
            deviation = read_whole(words[0], load_one).verify()
        except BadInput as error:
            failed += 1
            print_error(f"{title}: {error}")
        else:
            allowed = f"allowed is {GOLDEN_TOLERANCE}"
            print(f"{title}: as it was saved (deviates by {deviation:.2g} of 2, {allowed})")
    if failed:
        return 2
    print(f"all is well with {model.path}: it gives what it gave when it was saved")
    return 0
