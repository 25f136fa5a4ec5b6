"""Says which of a run's models a command takes, where there are two: its last, and its best by a curve."""

import sys
from contextlib import suppress
from pathlib import Path

from quagga.errors import BadInput


def mention_best_model(run: str, command: str) -> None:
    """Prints a line on stderr if a run's folder also holds the model of an earlier checkpoint, chosen by `--keep_best`.

    Args:
        run: as it was typed.
        command: that takes its last model, such as "translate".
    """
    from quagga.cli.options.config_file import read_config
    from quagga.inference.model_files.model_folder import read_model

    folder = Path(run).expanduser()
    last, best = folder / "model", folder / "best"
    if not (last.is_dir() and best.is_dir()):
        return
    with suppress(BadInput, OSError):  # a model that cannot be read is reported where it is taken
        of_last, of_best = (read_model(one).images_seen for one in (last, best))
        if of_last == of_best:
            return
        curve = read_config(str(folder / "config.yaml")).get("keep_best")
        by = f"when {curve} was lowest: " if curve else ""
        print(
            f"quagga: {last} is taken, the run's last, of {of_last:,} images; {best} is of {of_best:,}, {by}"
            f"quagga {command} {best}",
            file=sys.stderr,
        )
