"""Figures of strips of held-out pictures: how far a generator changes a picture, and in what."""

import re
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

Strips = Mapping[str, Mapping[str, Tensor]]  # title -> column -> pictures (N, C, H, W) in [-1, 1], on the CPU

TITLE = re.compile(r"^(\w+) to (\w+)$")
SAME = 0.01  # mean difference, in a range of 2, below which two pictures are one, perhaps saved twice
PERIODS = (2, 4, 8)  # pixels, of checkerboards
GRID_OF_SAMPLES = "real, and samples"  # title of a grid of conditions: on top of each column a real picture


def strip_figures(averaged: Strips, raw: Strips | None = None) -> dict[str, float]:
    """Returns TITLE/FIGURE -> value, for every strip that shows inputs beside outputs, or samples.

    Strips "A to B" hold a column A, and outputs of it, such as G(A); perhaps B, its partners. Distances are shares of
    `spread`, the mean difference of two of the inputs.

        change      E |G(x) - x|
        gap         E |G(x) - y| as a share of E |x - y|, of partners
        variety     the mean difference of two outputs
        light       correlation of light and dark between G(x) and x, over the pixels of a picture; mean
        light_y     the same between G(x) and y, of partners
        contrast    standard deviation of G(x), as a share of that of real pictures of its side
        saturation  mean distance of the largest channel from the smallest, likewise
        same        share of the inputs that are also among the real pictures of the other side
        detail      compressed size of x, as a multiple of that of y
        rim         E |G(x) - x| in the outer frame, as a multiple of that in the middle
        grid2, 4, 8 share of the fine structure that repeats every so many pixels, beyond that of real pictures
        lag         E |G(x) - G'(x)| of averaged and raw weights
        condition   the mean difference of one input's (or noise's) outputs for two conditions

    Args:
        averaged: strips of averaged generators.
        raw: the same strips of raw ones; None: there is no lag.
    """
    figures: dict[str, float] = {}
    for title, columns in averaged.items():
        found: dict[str, float] = {}
        if match := TITLE.match(title):
            found = _translation_figures(match[1], match[2], columns, averaged, (raw or {}).get(title, {}))
        elif title == GRID_OF_SAMPLES:
            found = _grid_figures(columns)
        elif samples := [column for name, column in columns.items() if name.startswith("G(z")]:
            real = next((strip["x"] for strip in averaged.values() if "x" in strip), None)
            found = _sample_figures(torch.cat(samples), real) if real is not None else {}
        figures |= {f"{title}/{name}": value for name, value in found.items()}
    return figures


def _translation_figures(
    source: str, target: str, columns: Mapping[str, Tensor], strips: Strips, raw: Mapping[str, Tensor]
) -> dict[str, float]:
    """Figures of a strip "source to target"; {} where it is not of that kind."""
    x = columns.get(source)
    outputs = {name: column for name, column in columns.items() if re.match(rf"\w+\({source}\b", name)}
    if x is None or source == target or not outputs or len(x) < 2 or x.ndim != 4:
        return {}
    name, out = next(iter(outputs.items()))
    if out.shape[0] != x.shape[0] or out.shape[2:] != x.shape[2:]:
        return {}
    partner = columns.get(target)
    if partner is not None and partner.shape != out.shape:
        partner = None
    other = next((strip[target] for strip in strips.values() if target in strip), None)
    real = x if other is None and out.shape == x.shape else other
    unit = max(spread(x), 1e-6)
    one, own = (out, x) if out.shape[1] == x.shape[1] else (grey(out), grey(x))
    difference = (one - own).abs()
    figures = {
        "change": float(difference.mean()) / unit,
        "variety": spread(out) / unit,
        "light": correlation(out, x),
        "rim": rim(difference),
    }
    if real is not None and real.shape[1] == out.shape[1]:
        figures |= _quality(out, real)
    if partner is not None:
        apart = float((grey(x) - grey(partner)).abs().mean())
        figures["gap"] = float((grey(out) - grey(partner)).abs().mean()) / max(apart, 1e-6)
        figures["light_y"] = correlation(out, partner)
    elif other is not None and other.shape[1:] == x.shape[1:]:
        near = torch.stack([(other - picture).abs().flatten(1).mean(1).min() for picture in x])
        figures["same"] = float((near < SAME).float().mean())
    if other is not None:
        figures["detail"] = detail(x) / max(detail(other), 1e-6)
    if name in raw and raw[name].shape == out.shape:
        figures["lag"] = float((raw[name] - out).abs().mean()) / unit
    if len(outputs) > 1 and source + "," in name.partition("(")[2]:
        figures["condition"] = _apart(torch.stack(list(outputs.values()))) / unit
    return figures


def _sample_figures(samples: Tensor, real: Tensor) -> dict[str, float]:
    """Figures of samples beside real pictures, (N, C, H, W) each."""
    if samples.shape[1:] != real.shape[1:] or len(samples) < 2 or len(real) < 2:
        return {}
    return {"variety": spread(samples) / max(spread(real), 1e-6), **_quality(samples, real)}


def _grid_figures(columns: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of a grid: a column for each condition, of one real picture (or grey) above samples of the same noise."""
    if len(columns) < 2 or len({column.shape for column in columns.values()}) > 1:
        return {}
    grid = torch.stack(list(columns.values()))  # (conditions, 1 + samples, C, H, W)
    real, samples = grid[:, 0], grid[:, 1:]
    real = real[real.flatten(1).abs().amax(1) > 0]
    figures = _sample_figures(samples.flatten(0, 1), real)
    if figures and samples.shape[1] > 1:
        figures["condition"] = _apart(samples) / max(spread(real), 1e-6)
        within = sum(spread(column) for column in samples) / len(samples)
        figures["variety"] = within / max(spread(real), 1e-6)
    return figures


def _quality(out: Tensor, real: Tensor) -> dict[str, float]:
    figures = {"contrast": float(out.std()) / max(float(real.std()), 1e-6)}
    if out.shape[1] == 3 and (colour := saturation(real)) > 0.02:
        figures["saturation"] = saturation(out) / colour
    of_out, of_real = grids(out), grids(real)
    return figures | {f"grid{period}": of_out[period] - of_real[period] for period in of_out.keys() & of_real.keys()}


def spread(x: Tensor) -> float:
    """Returns the mean difference of two pictures of (N, C, H, W), over all pairs; 0 for one picture."""
    if len(x) < 2:
        return 0.0
    flat = x.flatten(1).float()
    return float(torch.pdist(flat, p=1).mean()) / flat.shape[1]


def _apart(columns: Tensor) -> float:
    """Returns the mean difference of two columns (K, N, C, H, W), row by row."""
    return sum(spread(row) for row in columns.transpose(0, 1)) / columns.shape[1]


def grey(x: Tensor) -> Tensor:
    """Returns (N, 1, H, W), the mean of the channels."""
    return x.float().mean(1, keepdim=True)


def correlation(a: Tensor, b: Tensor) -> float:
    """Returns the correlation of light and dark over the pixels of a picture, of two columns (N, C, H, W); their mean.
    Of small structure, which translations change, nothing is left: 4 x 4 pixels count as one."""
    a, b = (avg_pool2d(grey(x), min(4, *x.shape[2:])).flatten(1) for x in (a, b))
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    return float(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-6)).mean())


def saturation(x: Tensor) -> float:
    """Returns the mean distance of a pixel's largest channel from its smallest."""
    return float((x.amax(1) - x.amin(1)).float().mean())


def rim(difference: Tensor) -> float:
    """Returns the mean of (N, C, H, W) in the frame around the middle half, as a multiple of that within it."""
    height, width = difference.shape[2:]
    top, left = height // 4, width // 4
    middle = difference[:, :, top : height - top, left : width - left]
    inner, count = float(middle.sum()), middle.numel()
    outer = (float(difference.sum()) - inner) / max(difference.numel() - count, 1)
    return outer / max(inner / max(count, 1), 1e-6)


def detail(x: Tensor) -> float:
    """Returns the compressed size of pictures in bytes per value, at 16 levels: those of a camera's noise and of JPEG
    are not seen."""
    levels = ((x.float().clamp(-1, 1) + 1) * 7.5).round().to(torch.uint8)
    return len(zlib.compress(levels.numpy().tobytes(), 1)) / max(levels.numel(), 1)


def grids(x: Tensor) -> dict[int, float]:
    """Returns period -> the share of the fine structure that repeats every so many pixels, both ways, in all
    pictures."""
    height, width = (side - side % max(PERIODS) for side in x.shape[2:])
    if min(height, width) < 2 * max(PERIODS):
        return {}
    x = grey(x)
    fine = (x - avg_pool2d(x, 3, 1, 1, count_include_pad=False))[:, :, :height, :width]
    total = float(fine.var())
    if total < 1e-8:
        return {}
    shares = {}
    for period in PERIODS:
        folded = fine.reshape(len(x), height // period, period, width // period, period).mean((0, 1, 3))
        shares[period] = float(folded.var(correction=0)) / total
    return shares
