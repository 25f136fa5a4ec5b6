"""A picture too large for the memory, layer by layer and in strips: what the network gives for it whole.

Instance normalisation needs the mean and variance of every map over the *whole* picture, so that no part of a picture
can go through the network alone. Here one layer at a time goes over the picture in strips: a first pass measures its
maps, a second normalises them on their way into the next layer. A convolution reads the rows around a strip that its
kernel reaches, so that there is no seam: the result is that of the whole picture, up to the rounding of float32 (0.0007
of 255 levels at 2048 x 2048), for a U-Net too, whose innermost layers see everything. The maps between two layers wait
in temporary files; only strips are held in memory. It takes about 1.5 times as long, 2.5 times for narrow networks.

First the network is followed layer by layer, which makes a list of passes over maps; then the passes are made. So it is
known from the start how much there is to do.

Passes of overlapping tiles through the whole network, each with the statistics that the last has measured, would need
no files. But they are right only when there were as many as layers of normalisation: errors do not fade. With 23 such
layers the 19th pass is 190 of 255 levels off, the 21st 8, the 24th right (benchmarks/large_pictures.py).
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

from quagga import BadInput
from quagga.models import ResnetGenerator, UnetGenerator
from quagga.models.layers import crop_middle, pad_to_multiple
from quagga.models.modes import SeededDropout
from quagga.models.resnet import SHRINK, ResidualBlock

POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Identity, nn.Dropout, nn.BatchNorm2d)  # in eval mode
SHARE = 8  # numbers in a strip for each pixel of a tile; strips of more than 100 MB were no faster
MOVED = 200  # multiplications in whose time a number is read or written once (4.6 ns for 0.023 ns each, measured)


class Maps(NamedTuple):
    """Maps of one layer, read by rows.

    Args:
        channels, height, width: Their shape.
        rows: (top, bottom) -> (1, C, bottom - top, W), a tensor of its own, on the network's device.
        load: Numbers in memory for each row that is read.
        work: Multiplications of reading all rows once.
    """

    channels: int
    height: int
    width: int
    rows: Callable[[int, int], Tensor]
    load: int
    work: float = 0.0


class Strips(NamedTuple):
    """How maps are cut.

    Args:
        pixels: Of the whole picture. Maps as large are computed again when they are read: of a ResNet's convolutions
            these three are the cheapest (4 % of the time), and their maps the largest.
        numbers: How many a strip may hold.
        weights: Some of the network's, for their device and type.
        spare: Temporary files whose maps nobody reads any more. Writing them again saves the disk their space.
        passes: What is still to be done, in order: the work, and the pass itself, which gives the share of it that is
            done after every strip.
    """

    pixels: int
    numbers: int
    weights: Tensor
    spare: list[Any]
    passes: list[tuple[float, Iterator[float]]]


def can_be_cut(network: nn.Module) -> bool:
    """Whether `in_strips` knows the network."""
    return isinstance(network, ResnetGenerator | UnetGenerator)


def in_strips(
    network: nn.Module, x: Tensor, tile: int, progress: Callable[[float], object] = lambda share: None
) -> Tensor:
    """What `network(x)` gives, at the memory of a picture of about tile x tile pixels.

    Beside it lie the picture and the result themselves, and in the folder for temporary files (TMPDIR) 320 bytes
    a pixel for a ResNet of width 64, in proportion to its width.

    Args:
        network: A `ResnetGenerator` or `UnetGenerator`, in eval mode.
        x: (1, C, H, W) in [-1, 1], on any device.
        tile: pixels.
        progress: Is called after every strip, with the share of the work that is done, at last 1.

    Raises:
        BadInput: the temporary files do not fit on the disk.
    """
    try:
        match network:
            case ResnetGenerator():
                return _resnet(network, x, tile, progress)
            case UnetGenerator():
                return _unet(network, x, tile, progress)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BadInput(
            f"{x.shape[3]}x{x.shape[2]} pixels need more disk than {tempfile.gettempdir()} has: name a larger folder"
            " with the environment variable TMPDIR, or translate with --resolution model"
        ) from None
    raise TypeError(f"{type(network).__name__} cannot be cut")


def _resnet(network: ResnetGenerator, x: Tensor, tile: int, progress: Callable[[float], object]) -> Tensor:
    picture, strips = _opened(pad_to_multiple(x, 4, least=8), tile, network)
    last = _through(network.layers, picture, strips)

    def finished(top: int, bottom: int) -> Tensor:
        y = last.rows(top, bottom)
        return torch.tanh(y + torch.atanh(SHRINK * picture.rows(top, bottom)) if network.skip else y)

    return crop_middle(_whole(last._replace(rows=finished), strips, progress), *x.shape[2:])


def _unet(network: UnetGenerator, x: Tensor, tile: int, progress: Callable[[float], object]) -> Tensor:
    maps, strips = _opened(pad_to_multiple(x, 2**network.depth), tile, network)
    skips = []
    for layer in network.encoder:
        maps = _through(layer, maps, strips)
        skips.append(maps)
    skips.pop()
    for layer in network.decoder:
        maps = _beside(skips.pop(), _through(layer, maps, strips))
    return crop_middle(_whole(_through(network.head, maps, strips), strips, progress), *x.shape[2:])


def _opened(x: Tensor, tile: int, network: nn.Module) -> tuple[Maps, Strips]:
    """The padded picture as maps, and how all of them will be cut."""
    _, channels, height, width = x.shape
    weights = next(network.parameters())

    def rows(top: int, bottom: int) -> Tensor:
        return x[:, :, top:bottom].to(weights, copy=True)

    picture = Maps(channels, height, width, rows, channels * width)
    return picture, Strips(height * width, tile * tile * SHARE, weights, [], [])


def _through(layer: nn.Module, maps: Maps, strips: Strips) -> Maps:
    """The maps that a layer makes of others."""
    match layer:
        case nn.Sequential():
            return reduce(lambda made, inner: _through(inner, made, strips), layer, maps)
        case ResidualBlock():
            return _stored(_sum(maps, _through(layer.layers, maps, strips)), strips)
        case nn.Conv2d():
            made = _convolved(layer, maps)
        case nn.ConvTranspose2d():
            made = _convolved_up(layer, maps)
        case SeededDropout():
            return _dropped(layer, maps)
        case nn.InstanceNorm2d():
            return _normalised(layer, maps, strips)
        case nn.BatchNorm2d() if layer.running_mean is None:  # which takes the statistics of the picture
            return _normalised(layer, maps, strips)
        case nn.Upsample():
            return _repeated(maps)
        case _ if isinstance(layer, POINTWISE):
            return maps._replace(rows=lambda top, bottom: layer(maps.rows(top, bottom)))
        case _:
            raise TypeError(f"{type(layer).__name__} cannot be cut into strips")
    return made if made.height * made.width == strips.pixels else _stored(made, strips)


def _convolved(layer: nn.Conv2d, maps: Maps) -> Maps:
    (kernel, _), (stride, _), (pad, _) = layer.kernel_size, layer.stride, layer.padding
    weight, bias = layer.weight, layer.bias  # once: under spectral norm each reading is a division

    def rows(top: int, bottom: int) -> Tensor:
        first, end = top * stride - pad, (bottom - 1) * stride - pad + kernel
        if layer.padding_mode == "reflect":
            places = [min(abs(row), 2 * (maps.height - 1) - abs(row)) for row in range(first, end)]
            least, most = min(places), max(places)
            x = maps.rows(least, most + 1)
            if places != list(range(first, end)):
                x = x[:, :, [place - least for place in places]]
            x = F.pad(x, (pad, pad, 0, 0), mode="reflect")
        else:
            x = maps.rows(max(first, 0), min(end, maps.height))
            x = F.pad(x, (pad, pad, max(-first, 0), max(end - maps.height, 0)))
        return F.conv2d(x, weight, bias, stride)

    height, width = ((side + 2 * pad - kernel) // stride + 1 for side in (maps.height, maps.width))
    return _lazy(maps, layer.out_channels, height, width, rows, maps.channels * kernel**2)


def _convolved_up(layer: nn.ConvTranspose2d, maps: Maps) -> Maps:
    """Of stride 2 with a padding of 1: row r of the result gathers the rows i with 0 <= r + 1 - 2 i < kernel."""
    kernel, beyond = layer.kernel_size[1], layer.output_padding[1]
    weight, bias = layer.weight, layer.bias

    def rows(top: int, bottom: int) -> Tensor:
        least, end = max(0, (top + 3 - kernel) // 2), min(maps.height, bottom // 2 + 1)
        y = F.conv_transpose2d(maps.rows(least, end), weight, bias, 2, (0, 1), (0, beyond))
        first = top + 1 - 2 * least
        return y[:, :, first : first + bottom - top]

    return _lazy(maps, layer.out_channels, 2 * maps.height, 2 * maps.width, rows, maps.channels * kernel**2 / 4)


def _normalised(layer: nn.InstanceNorm2d | nn.BatchNorm2d, maps: Maps, strips: Strips) -> Maps:
    """Normalisation over the whole picture: a pass that measures now, one that normalises when it is read."""
    exact = torch.float32 if strips.weights.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    found: list[Tensor] = []  # what is taken from the maps, what they are multiplied with, and what is added

    def measure() -> Iterator[float]:
        count, mean, squares = 0, np.zeros(maps.channels), np.zeros(maps.channels)
        for top, bottom in _cuts(maps, strips):
            x = maps.rows(top, bottom)
            # Of constant maps to the last bit, so that zeros remain. (torch.var_mean took three times as long.)
            average = x.mean((2, 3), keepdim=True, dtype=exact).to(x.dtype)
            around = x.sub_(average).square_().sum((0, 2, 3))
            # Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances", Eq. 2.1
            more, shift = (bottom - top) * maps.width, average.flatten().cpu().double().numpy() - mean
            squares += around.cpu().double().numpy() + shift**2 * count * more / (count + more)
            count += more
            mean += shift * more / count
            yield bottom / maps.height
        both = np.stack([mean, 1 / np.sqrt(squares / count + layer.eps)])
        middle, scale = torch.from_numpy(both).to(strips.weights).view(2, 1, -1, 1, 1)
        if layer.weight is None:
            found.extend([middle, scale])
        else:
            found.extend([middle, scale * layer.weight.view(1, -1, 1, 1), layer.bias.view(1, -1, 1, 1)])

    def rows(top: int, bottom: int) -> Tensor:
        middle, scale, *shift = found
        x = maps.rows(top, bottom).sub_(middle).mul_(scale)
        return x.add_(*shift) if shift else x

    _plan(measure(), maps, strips)
    return maps._replace(rows=rows)


def _dropped(layer: SeededDropout, maps: Maps) -> Maps:
    """Which numbers are dropped is drawn now, for all maps, as the whole network draws it: these are the small ones
    inside of a U-Net, and a bit each would do."""
    kept = layer.kept(torch.Size((1, maps.channels, maps.height, maps.width)))

    def rows(top: int, bottom: int) -> Tensor:
        x = maps.rows(top, bottom)
        return x.mul_(layer.scaled(kept[:, :, top:bottom], x))

    return maps._replace(rows=rows)


def _repeated(maps: Maps) -> Maps:
    """Each pixel 2 x 2."""

    def rows(top: int, bottom: int) -> Tensor:
        twice = F.interpolate(maps.rows(top // 2, (bottom + 1) // 2), scale_factor=2)
        return twice[:, :, top % 2 : top % 2 + bottom - top]

    return _lazy(maps, maps.channels, 2 * maps.height, 2 * maps.width, rows, 0)


def _sum(a: Maps, b: Maps) -> Maps:
    rows = lambda top, bottom: b.rows(top, bottom).add_(a.rows(top, bottom))  # noqa: E731
    return b._replace(rows=rows, load=a.load + b.load, work=a.work + b.work)


def _beside(a: Maps, b: Maps) -> Maps:
    rows = lambda top, bottom: torch.cat([a.rows(top, bottom), b.rows(top, bottom)], dim=1)  # noqa: E731
    return Maps(a.channels + b.channels, a.height, a.width, rows, a.load + b.load, a.work + b.work)


def _lazy(
    source: Maps, channels: int, height: int, width: int, rows: Callable[[int, int], Tensor], each: float
) -> Maps:
    """Maps that are computed from `source` whenever they are read, at so many multiplications for each number."""
    load = max(channels * width, source.load * source.height // height)
    return Maps(channels, height, width, rows, load, source.work + each * channels * height * width)


def _stored(maps: Maps, strips: Strips) -> Maps:
    """The same maps in a temporary file, (H, C, W), which is free again when nobody holds them any more."""
    channels, width = maps.channels, maps.width  # `rows` must not hold the maps themselves, nor so their files
    row = channels * width * strips.weights.itemsize
    opened: list[Any] = []  # the file, from its pass on

    def rows(top: int, bottom: int) -> Tensor:
        [file] = opened
        content = torch.empty(bottom - top, channels, width, dtype=strips.weights.dtype)
        file.seek(top * row)
        left = memoryview(content.numpy()).cast("B")
        while count := file.readinto(left):  # as much as the system gives at a time
            left = left[count:]
        return content.movedim(0, 1)[None].to(strips.weights.device).contiguous()

    def store() -> Iterator[float]:
        file = strips.spare.pop() if strips.spare else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(rows, strips.spare.append, file)
        opened.append(file)
        file.seek(0)
        for top, bottom in _cuts(maps, strips):
            left = memoryview(maps.rows(top, bottom)[0].movedim(1, 0).cpu().contiguous().numpy()).cast("B")
            while left:
                left = left[file.write(left) :]
            yield bottom / maps.height

    _plan(store(), maps, strips)
    return maps._replace(rows=rows, load=channels * width, work=0.0)


def _plan(steps: Iterator[float], maps: Maps, strips: Strips) -> None:
    """Puts a pass over maps on the list."""
    strips.passes.append((maps.work + MOVED * maps.channels * maps.height * maps.width, steps))


def _whole(maps: Maps, strips: Strips, progress: Callable[[float], object]) -> Tensor:
    """Makes all passes, the last of which puts the maps together."""
    made = strips.weights.new_empty(1, maps.channels, maps.height, maps.width)

    def put() -> Iterator[float]:
        for top, bottom in _cuts(maps, strips):
            made[:, :, top:bottom] = maps.rows(top, bottom)
            yield bottom / maps.height

    _plan(put(), maps, strips)
    whole, done = sum(work for work, _ in strips.passes), 0.0
    while strips.passes:  # off the list, so that what a pass has read is free when it is over
        work, steps = strips.passes.pop(0)
        for share in steps:
            progress(min(1.0, (done + share * work) / whole))
        done += work
    progress(1.0)
    return made


def _cuts(maps: Maps, strips: Strips) -> list[tuple[int, int]]:
    """From which row to which, in order."""
    step = max(1, strips.numbers // maps.load)
    return [(top, min(top + step, maps.height)) for top in range(0, maps.height, step)]
