"""What pictures are judged by that have a true one beside them: those of pairs, and those that are made of a code."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from quagga.data.indexed_rows import IndexedRows
from quagga.data.paired import Paired
from quagga.errors import BadInput
from quagga.evaluation.benches.bench import Bench
from quagga.evaluation.measures import own_measures as measures
from quagga.evaluation.measures.measure import Shown
from quagga.evaluation.measures.patch_distance import PatchReference
from quagga.evaluation.measures.pretrained_metrics import pretrained_measures
from quagga.evaluation.real_pictures import Pool, pools_of
from quagga.evaluation.settings import REFERENCE, Settings
from quagga.evaluation.splits import LEAST, ordered, split
from quagga.inference.channels import tensor_to_channels


class Read(NamedTuple):
    """Pictures of one pool. judged: what belongs to those that are judged, by name. names: of each. others: of pictures
    that no row shows. held_out: how many there are. left_out: lines on those that cannot be read."""

    judged: dict[str, Tensor]
    names: list[str]
    others: dict[str, Tensor]
    held_out: int
    left_out: list[str]


def read_pool(pool: Pool, settings: Settings, others: int, known: "Callable[[str], bool] | None" = None) -> Read:
    """Reads the held-out pictures of a pool that are judged, of those that are `known` if that is given, and up to so
    many others: held-out ones that are not judged, then those that were trained on. Where there are no others, half of
    the held-out ones take their place.

    Raises:
        BadInput: none is held out, or there are not two pictures.
    """
    chosen = split(pool.held_out, pool.key, settings.part)
    judged = [item for item in chosen if known is None or known(pool.name(item))][: settings.pictures]
    if not judged:
        raise BadInput(f"no picture of {pool.title} is held out of training: --real DIR names others to judge with")
    taken = set(judged)
    rest = [item for item in ordered(pool.held_out, pool.key) if item not in taken] + ordered(pool.train, pool.key)
    if not rest:
        judged, rest = judged[: (len(judged) + 1) // 2], judged[(len(judged) + 1) // 2 :]
    if not rest:
        raise BadInput(f"{pool.title} has 1 picture to judge with: give two or more")
    tensors, read = pool.read_all(judged)
    names, rest_read = [pool.name(item) for item in read], pool.read_all(rest[:others])[0]
    return Read(tensors, names, rest_read, len(pool.held_out), pool.left_out)


def pair_bench(rows: Paired, settings: Settings, known: "Callable[[str], bool] | None" = None) -> Bench:
    """What a translation of pairs is judged by: the true picture. known: whether another program has translated the
    picture of a name; None: all."""
    read = read_pool(pools_of(rows)["x"], settings, REFERENCE, known)
    shown = rows.for_display(read.judged)["x"]
    what = rows.names["x"], rows.names["y"]
    x, y, others = read.judged["x"], read.judged["y"], read.others["y"]
    bench = _bench(f"{what[0]} to {what[1]}", what[1], read, settings, x, y, others)
    channels = bench.real[next(iter(bench.real))].pictures.shape[1]
    nothing = dict(bench.nothing)
    if shown.shape[1] == channels or {shown.shape[1], channels} == {1, 3}:
        unchanged = tensor_to_channels(shown, channels)
        nothing[f"{what[0]}, unchanged"] = Shown(unchanged, target=read.judged["y"])
        before = {what[0]: unchanged}
    else:
        before = {}
    cut = f"{rows.crop_size} x {rows.crop_size} cut from the middle"
    size = {"size": f"scaled to {rows.load_size} pixels ({rows.fit}), {cut}"}
    return replace(bench, nothing=nothing, before=before, protocol=dict(bench.protocol) | size)


def reconstruction_bench(rows: IndexedRows, settings: Settings) -> Bench:
    """What a code is judged by: how near the picture that is made of it is to the one that was coded."""
    read = read_pool(pools_of(rows)["x"], settings, REFERENCE)
    x = read.judged["x"]
    bench = _bench(f"{rows.title}, coded and made again", rows.title, read, settings, x, x, read.others["x"])
    side = x.shape[-1]
    return replace(
        bench, before={rows.title: x}, after={}, protocol=dict(bench.protocol) | {"size": f"{side} x {side} pixels"}
    )


def _bench(title: str, target_name: str, read: Read, settings: Settings, x: Tensor, y: Tensor, others: Tensor) -> Bench:
    more, about = pretrained_measures(settings.features, settings.device, others, with_truth=True)
    listed = [
        *measures.against_truth(),
        measures.patches(PatchReference.of(others), target_name),
        *more,
        measures.various(target_name),
    ]
    mean = others.mean(0).expand_as(y)

    def make(pictures: Tensor, back: Tensor | None) -> Shown:
        return Shown(pictures, target=y)

    lines = list(read.left_out)
    if len(y) < 20:
        lines.append(f"only {len(y)} held-out pictures: the intervals say how little that is")
    if read.held_out < LEAST:
        lines.append(
            f"{read.held_out} held-out pictures, fewer than {LEAST}: one set serves both, choosing a checkpoint and"
            " reporting on it"
        )
    return Bench(
        title=title,
        measures=listed,
        real={f"the true {target_name}": make(y, None)},
        nothing={f"another {target_name}": make(y.roll(1, 0), None), "the mean picture": make(mean, None)},
        source={"x": x},
        names=read.names,
        make=make,
        protocol={
            "pictures": f"{len(y)} of {read.held_out} held-out pictures, {settings.split_text(read.held_out)}",
            "distances": f"patches from {len(others)} other real {target_name}",
        }
        | about,
        notices=lines,
        after={f"true {target_name}": y},
    )
