"""Forward passes of pictures that are too large for the memory: layer by layer and in strips, with the same result.

Instance normalisation needs the mean and variance of every map over the *whole* picture, so that no part of a picture
can go through the network alone. Here one layer at a time goes over the picture in strips: a first pass measures its
maps, a second normalises them when the next layer reads them. A convolution also reads the rows around a strip that its
kernel reaches, so that there is no seam: the result is that of the whole picture, up to the rounding of float32 (0.0007
of 255 levels at 2048 x 2048), for a U-Net too, whose innermost layers see everything. The maps between two layers are
kept in temporary files; only strips are held in memory. It takes about 1.5 times as long, 2.5 times for narrow
networks.

First the layers are turned into a list of passes over maps; then the passes run. So the total work is known from the
start.

Passes of overlapping tiles through the whole network, each with the statistics that the last has measured, would need
no files. But they are right only after as many passes as there are layers of normalisation: errors do not fade. With 23
such layers the 19th pass is 190 of 255 levels off, the 21st 8, the 24th right (benchmarks/large_pictures.py).
"""

import errno
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quagga.errors import BadInput
from quagga.models.blocks.layer_chain import LayerChain, run_chain
from quagga.models.blocks.layers import crop_middle
from quagga.models.network_mode import NetworkInMode, SeededDropout, seeded_dropout
from quagga.models.resnet import ResidualBlock

POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Identity, nn.Dropout, nn.BatchNorm2d)  # in eval mode
NUMBERS_PER_PIXEL = 8  # numbers in a strip for each pixel of a tile; strips of more than 100 MB were no faster
COST_OF_ACCESS = 200  # multiplications that take as long as reading or writing a number (0.023 ns and 4.6 ns, measured)


class FeatureMaps(NamedTuple):
    """The feature maps of one layer, read by rows.

    Args:
        channels, height, width: Their shape.
        rows: (top, bottom) -> (1, C, bottom - top, W), a tensor of its own, on the network's device.
        load: Numbers held in memory for each row that is read.
        work: Multiplications that it takes to read all rows once.
    """

    channels: int
    height: int
    width: int
    rows: Callable[[int, int], Tensor]
    load: int
    work: float = 0.0


class StripPlan(NamedTuple):
    """How maps are cut into strips, and the passes over them.

    Args:
        pixels: Of the whole picture. Maps of this size are not stored but computed again when they are read: of a
            ResNet's convolutions these three are the cheapest (4 % of the time), and their maps the largest.
        numbers: How many a strip may hold.
        weights: Some weights of the network, for their device and type.
        spare: Temporary files whose maps are no longer read. They are written again, which saves disk space.
        passes: The passes still to run, in order: the work of each, and an iterator that runs it strip by strip and
            yields the share that is done.
    """

    pixels: int
    numbers: int
    weights: Tensor
    spare: list[Any]
    passes: list[tuple[float, Iterator[float]]]


def supports_strips(network: nn.Module) -> bool:
    """Whether `forward_in_strips` takes the network: it names its steps, and each layer is of a kind known here."""
    inner = network.network if isinstance(network, NetworkInMode) else network
    return isinstance(inner, LayerChain) and all(_supports_layer(step.layer) for step in inner.steps())


def _supports_layer(layer: nn.Module) -> bool:
    match layer:
        case nn.Sequential():
            return all(map(_supports_layer, layer))
        case ResidualBlock():
            return _supports_layer(layer.layers)
        case nn.Conv2d():
            square = all(len({*sides}) == 1 for sides in (layer.kernel_size, layer.stride, layer.padding))
            known = layer.padding_mode in ("zeros", "reflect") and not isinstance(layer.padding, str)
            return square and known and layer.dilation == (1, 1) and layer.groups == 1
        case nn.ConvTranspose2d():
            twice = layer.stride == (2, 2) and layer.padding == (1, 1)  # the size, as kernel and output padding make 4
            four = all(sum(sides) == 4 for sides in zip(layer.kernel_size, layer.output_padding, strict=True))
            return twice and four and layer.dilation == (1, 1) and layer.groups == 1
        case nn.Upsample():
            return layer.scale_factor == 2 and layer.mode == "nearest"
        case nn.InstanceNorm2d():
            return not layer.track_running_stats
        case _:
            return isinstance(layer, (*POINTWISE, SeededDropout))


def forward_in_strips(
    network: nn.Module, x: Tensor, tile: int, progress: Callable[[float], object] = lambda share: None
) -> Tensor:
    """Returns what `network(x)` returns, at the memory of a picture of about tile x tile pixels.

    In addition it needs memory for the picture and the result themselves, and in the folder for temporary files
    (TMPDIR) 320 bytes a pixel for a ResNet of width 64, in proportion to its width.

    Args:
        network: One that `supports_strips` names, in eval mode, or what `network_in_mode` has made of one.
        x: (1, C, H, W) in [-1, 1], on any device.
        tile: pixels.
        progress: Is called after every strip, with the share of the work that is done, at last 1.

    Raises:
        BadInput: the temporary files do not fit on the disk.
        TypeError: the network cannot be cut.
    """
    if isinstance(network, NetworkInMode):
        with seeded_dropout(network.mode.seed):
            return forward_in_strips(network.network, x, tile, progress)
    if not isinstance(network, LayerChain) or not supports_strips(network):
        raise TypeError(f"{type(network).__name__} cannot be cut into strips")
    picture, plan = _start(network.pad(x), tile, network)
    last = run_chain(network.steps(), picture, lambda layer, maps: _apply_layer(layer, maps, plan), _concatenated)

    def finished(top: int, bottom: int) -> Tensor:
        return network.finish(last.rows(top, bottom), picture.rows(top, bottom))

    try:
        return crop_middle(_run_passes(last._replace(rows=finished), plan, progress), *x.shape[2:])
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BadInput(
            f"{x.shape[3]}x{x.shape[2]} pixels need more disk than {tempfile.gettempdir()} has: name a larger folder"
            " with the environment variable TMPDIR, or translate with --resolution model"
        ) from None


def _start(x: Tensor, tile: int, network: nn.Module) -> tuple[FeatureMaps, StripPlan]:
    """Returns the padded picture as maps, and an empty plan."""
    _, channels, height, width = x.shape
    weights = next(network.parameters())

    def rows(top: int, bottom: int) -> Tensor:
        return x[:, :, top:bottom].to(weights, copy=True)

    picture = FeatureMaps(channels, height, width, rows, channels * width)
    return picture, StripPlan(height * width, tile * tile * NUMBERS_PER_PIXEL, weights, [], [])


def _apply_layer(layer: nn.Module, maps: FeatureMaps, plan: StripPlan) -> FeatureMaps:
    """Returns the output maps of a layer, and adds the passes it needs to the plan."""
    match layer:
        case nn.Sequential():
            return reduce(lambda output, inner: _apply_layer(inner, output, plan), layer, maps)
        case ResidualBlock():
            return _stored(_added(maps, _apply_layer(layer.layers, maps, plan)), plan)
        case nn.Conv2d():
            output = _convolved(layer, maps)
        case nn.ConvTranspose2d():
            output = _convolved_up(layer, maps)
        case SeededDropout():
            return _with_dropout(layer, maps)
        case nn.InstanceNorm2d():
            return _normalized(layer, maps, plan)
        case nn.BatchNorm2d() if layer.running_mean is None:  # it uses the statistics of the picture
            return _normalized(layer, maps, plan)
        case nn.Upsample():
            return _upsampled(maps)
        case _ if isinstance(layer, POINTWISE):
            return maps._replace(rows=lambda top, bottom: layer(maps.rows(top, bottom)))
        case _:
            raise TypeError(f"{type(layer).__name__} cannot be cut into strips")
    return output if output.height * output.width == plan.pixels else _stored(output, plan)


def _convolved(layer: nn.Conv2d, maps: FeatureMaps) -> FeatureMaps:
    assert not isinstance(layer.padding, str)
    (kernel, _), (stride, _), (pad, _) = layer.kernel_size, layer.stride, layer.padding
    weight, bias = layer.weight, layer.bias  # once: under spectral norm each reading is a division

    def rows(top: int, bottom: int) -> Tensor:
        first, end = top * stride - pad, (bottom - 1) * stride - pad + kernel
        if layer.padding_mode == "reflect":
            sources = [min(abs(row), 2 * (maps.height - 1) - abs(row)) for row in range(first, end)]
            least, most = min(sources), max(sources)
            x = maps.rows(least, most + 1)
            if sources != list(range(first, end)):
                x = x[:, :, [row - least for row in sources]]
            x = F.pad(x, (pad, pad, 0, 0), mode="reflect")
        else:
            x = maps.rows(max(first, 0), min(end, maps.height))
            x = F.pad(x, (pad, pad, max(-first, 0), max(end - maps.height, 0)))
        return F.conv2d(x, weight, bias, stride)

    height, width = ((side + 2 * pad - kernel) // stride + 1 for side in (maps.height, maps.width))
    return _computed(maps, layer.out_channels, height, width, rows, maps.channels * kernel**2)


def _convolved_up(layer: nn.ConvTranspose2d, maps: FeatureMaps) -> FeatureMaps:
    """A transposed convolution of stride 2 and padding 1: row r of its output gathers the input's rows i with
    0 <= r + 1 - 2 i < kernel."""
    kernel, output_padding = layer.kernel_size[1], layer.output_padding[1]
    weight, bias = layer.weight, layer.bias

    def rows(top: int, bottom: int) -> Tensor:
        least, end = max(0, (top + 3 - kernel) // 2), min(maps.height, bottom // 2 + 1)
        y = F.conv_transpose2d(maps.rows(least, end), weight, bias, 2, (0, 1), (0, output_padding))
        first = top + 1 - 2 * least
        return y[:, :, first : first + bottom - top]

    return _computed(maps, layer.out_channels, 2 * maps.height, 2 * maps.width, rows, maps.channels * kernel**2 / 4)


def _normalized(layer: nn.InstanceNorm2d | nn.BatchNorm2d, maps: FeatureMaps, plan: StripPlan) -> FeatureMaps:
    """Normalisation over the whole picture: adds a pass that measures, and normalises when the maps are read."""
    precise = torch.float32 if plan.weights.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    statistics: list[Tensor] = []  # mean, scale and perhaps shift; filled by `measure`

    def measure() -> Iterator[float]:
        count, mean, squares = 0, np.zeros(maps.channels), np.zeros(maps.channels)
        for top, bottom in _row_ranges(maps, plan):
            x = maps.rows(top, bottom)
            # Exact for constant maps, so that zeros remain. (torch.var_mean took three times as long.)
            average = x.mean((2, 3), keepdim=True, dtype=precise).to(x.dtype)
            deviation = x.sub_(average).square_().sum((0, 2, 3))
            # Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances", Eq. 2.1
            more, shift = (bottom - top) * maps.width, average.flatten().cpu().double().numpy() - mean
            squares += deviation.cpu().double().numpy() + shift**2 * count * more / (count + more)
            count += more
            mean += shift * more / count
            yield bottom / maps.height
        both = np.stack([mean, 1 / np.sqrt(squares / count + layer.eps)])
        middle, scale = torch.from_numpy(both).to(plan.weights).view(2, 1, -1, 1, 1)
        if layer.weight is None:
            statistics.extend([middle, scale])
        else:
            statistics.extend([middle, scale * layer.weight.view(1, -1, 1, 1), layer.bias.view(1, -1, 1, 1)])

    def rows(top: int, bottom: int) -> Tensor:
        middle, scale, *shift = statistics
        x = maps.rows(top, bottom).sub_(middle).mul_(scale)
        return x.add_(*shift) if shift else x

    _add_pass(measure(), maps, plan)
    return maps._replace(rows=rows)


def _with_dropout(layer: SeededDropout, maps: FeatureMaps) -> FeatureMaps:
    """Dropout. Draws at once which numbers of all maps are dropped, as the whole network draws it: the maps are the
    small ones inside of a U-Net."""
    kept = layer.kept(torch.Size((1, maps.channels, maps.height, maps.width)))

    def rows(top: int, bottom: int) -> Tensor:
        x = maps.rows(top, bottom)
        return x.mul_(layer.scaled(kept[:, :, top:bottom], x))

    return maps._replace(rows=rows)


def _upsampled(maps: FeatureMaps) -> FeatureMaps:
    """Upsampling by 2, each pixel repeated."""

    def rows(top: int, bottom: int) -> Tensor:
        twice = F.interpolate(maps.rows(top // 2, (bottom + 1) // 2), scale_factor=2)
        return twice[:, :, top % 2 : top % 2 + bottom - top]

    return _computed(maps, maps.channels, 2 * maps.height, 2 * maps.width, rows, 0)


def _added(a: FeatureMaps, b: FeatureMaps) -> FeatureMaps:
    rows = lambda top, bottom: b.rows(top, bottom).add_(a.rows(top, bottom))  # noqa: E731
    return b._replace(rows=rows, load=a.load + b.load, work=a.work + b.work)


def _concatenated(a: FeatureMaps, b: FeatureMaps) -> FeatureMaps:
    rows = lambda top, bottom: torch.cat([a.rows(top, bottom), b.rows(top, bottom)], dim=1)  # noqa: E731
    return FeatureMaps(a.channels + b.channels, a.height, a.width, rows, a.load + b.load, a.work + b.work)


def _computed(
    source: FeatureMaps, channels: int, height: int, width: int, rows: Callable[[int, int], Tensor], each: float
) -> FeatureMaps:
    """Maps that are computed from `source` whenever they are read, at `each` multiplications for every number."""
    load = max(channels * width, source.load * source.height // height)
    return FeatureMaps(channels, height, width, rows, load, source.work + each * channels * height * width)


def _stored(maps: FeatureMaps, plan: StripPlan) -> FeatureMaps:
    """Adds a pass that writes maps to a temporary file, (H, C, W), and returns maps that read it. The file is spare
    again when these are no longer referenced."""
    channels, width = maps.channels, maps.width  # `rows` must not hold a reference to the maps, and so to their files
    row_bytes = channels * width * plan.weights.itemsize
    opened: list[Any] = []  # the file, once its pass has begun

    def rows(top: int, bottom: int) -> Tensor:
        [file] = opened
        content = torch.empty(bottom - top, channels, width, dtype=plan.weights.dtype)
        file.seek(top * row_bytes)
        unread = content.numpy().data.cast("B")
        while count := file.readinto(unread):  # as much as the system gives at a time
            unread = unread[count:]
        return content.movedim(0, 1)[None].to(plan.weights.device).contiguous()

    def store() -> Iterator[float]:
        file = plan.spare.pop() if plan.spare else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(rows, plan.spare.append, file)
        opened.append(file)
        file.seek(0)
        for top, bottom in _row_ranges(maps, plan):
            unwritten = maps.rows(top, bottom)[0].movedim(1, 0).cpu().contiguous().numpy().data.cast("B")
            while unwritten:
                unwritten = unwritten[file.write(unwritten) :]
            yield bottom / maps.height

    _add_pass(store(), maps, plan)
    return maps._replace(rows=rows, load=channels * width, work=0.0)


def _add_pass(steps: Iterator[float], maps: FeatureMaps, plan: StripPlan) -> None:
    """Adds a pass over maps to the plan."""
    plan.passes.append((maps.work + COST_OF_ACCESS * maps.channels * maps.height * maps.width, steps))


def _run_passes(maps: FeatureMaps, plan: StripPlan, progress: Callable[[float], object]) -> Tensor:
    """Runs all passes of the plan, and a last one that puts the maps together: (1, C, H, W)."""
    output = plan.weights.new_empty(1, maps.channels, maps.height, maps.width)

    def assemble() -> Iterator[float]:
        for top, bottom in _row_ranges(maps, plan):
            output[:, :, top:bottom] = maps.rows(top, bottom)
            yield bottom / maps.height

    _add_pass(assemble(), maps, plan)
    total, done = sum(work for work, _ in plan.passes), 0.0
    while plan.passes:  # removed from the list, so that what a pass has read is freed when it is over
        work, steps = plan.passes.pop(0)
        for share in steps:
            progress(min(1.0, (done + share * work) / total))
        done += work
    progress(1.0)
    return output


def _row_ranges(maps: FeatureMaps, plan: StripPlan) -> list[tuple[int, int]]:
    """Returns (top, bottom) of every strip, from the top down."""
    step = max(1, plan.numbers // maps.load)
    return [(top, min(top + step, maps.height)) for top in range(0, maps.height, step)]
