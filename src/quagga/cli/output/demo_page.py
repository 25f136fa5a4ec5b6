"""The page of `quagga demo`: the whole training, with the truth that only drawn animals have."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from quagga.data.io.tensors import to_uint8
from quagga.data.synthetic.translation_error import Animals, translation_error
from quagga.evaluation.page.training_page import Curve, Frame, write_training_page
from quagga.pipelines.core.game_protocol import Images

# Name of a curve in TensorBoard -> how the page calls it, and what it says.
CURVES = {
    "generators/G": (
        "G's loss",
        "How far D is from taking G's zebras for real ones. It need not fall, since both players get better.",
    ),
    "discriminators/D_Y": ("D's loss", "How far D is from telling true zebras from G's."),
    "generators/cycle_x": ("Cycle loss", "How far a horse is from itself after the way to a zebra and back."),
}


def write_demo_page(run: Path, strips: Sequence[tuple[int, Images]], herd: Animals) -> None:
    """Writes demo.html into the folder of a run: the strips of the training beside true zebras, and curves, the first
    of which is the error that the truth gives.

    Args:
        run: the folder.
        strips: images seen and the strip from x to y then, all of the same horses.
        herd: held-out animals, the strips' horses among them.
    """
    horses = strips[0][1]["x"].float().cpu()
    # Which of the herd they are: the closest, as they have been pictures of 256 levels in between.
    places = torch.cdist(horses.flatten(1), herd.horse.flatten(1)).argmin(1)
    errors = [
        (seen, translation_error(horses, strip["G(x)"], herd.mask[places], herd.zebra, herd.mask).total)
        for seen, strip in strips
    ]
    error = Curve(
        "Translation error",
        "How far these zebras are from true ones: the change of the background plus the distance of the coats. The"
        " players never see it.",
        errors,
    )
    points = read_curves(run)
    write_training_page(
        run / "demo.html",
        "A horse grows its stripes",
        "Two networks play against each other on drawn horses and zebras, never a pair of one animal. G paints horses"
        " as zebras, and D tells true zebras from G's. A second pair of players learns the way back. None of the horses"
        " below was trained on. Pull the slider, or press Play.",
        {"horse": to_uint8(horses)},
        [
            Frame(seen, {"G(horse)": to_uint8(strip["G(x)"]), "and back": to_uint8(strip["F(G(x))"])})
            for seen, strip in strips
        ],
        {"true zebra": to_uint8(herd.zebra[places])},
        [error, *(Curve(*CURVES[name], points[name]) for name in CURVES)],
    )


def read_curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns the points of `CURVES` in a run's TensorBoard files: images seen, and the value; none where there are
    none."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    known = set(events.Tags()["scalars"])
    return {
        name: [(point.step, point.value) for point in events.Scalars(name)] if name in known else [] for name in CURVES
    }
