"""The laws of sampling: a seed is a picture, a condition is obeyed or refused, and the way back is found."""

import errno
import itertools
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import quagga
from quagga.cli import sample as sample_command
from quagga.cli import verify
from quagga.cli.options.points import parse_list
from quagga.cli.output import progress_bar
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.fields import noise, picture
from quagga.inference import latent_space
from quagga.inference.latent_space import Term, interpolate, latents, parse_sum, sum_of_means
from quagga.inference.model_files.model_saving import save_model
from quagga.models.description.export import Export

KINDS = {
    "class": {"names": ["horse", "quagga", "zebra"]},
    "attributes": {"names": ["striped", "grazing"]},
    "caption": {"names": ["zebra", "grazing", "at", "night"], "caption_length": 3},
}


class Painter(nn.Module):
    """(N, 6) and perhaps a condition -> (N, 1, 8, 8): one square a number; the condition is the lower half's grey."""

    def __init__(self, condition: str | None, names: list[str] | None):
        super().__init__()
        self.condition = condition
        self.draw = nn.Linear(6, 32)
        self.colour = nn.Embedding(len(names or []) + 2, 1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        above = torch.tanh(self.draw(z)).view(-1, 1, 4, 8)
        if c is None:
            below = torch.zeros_like(above)
        elif self.condition == "attributes":
            below = (c @ self.colour.weight[: c.shape[1]]).view(-1, 1, 1, 1).expand_as(above)
        else:
            below = self.colour(c).view(len(c), -1).mean(1).view(-1, 1, 1, 1).expand_as(above)
        return torch.cat([above, torch.tanh(below)], dim=2)


def build(condition: str | None = None, names: list[str] | None = None, caption_length: int = 3) -> SimpleNamespace:
    inputs = [noise("z", 6)]
    if condition in ("class", "attributes", "caption"):
        inputs.append(Conditions(condition, names or [], caption_length).field("c"))
    return SimpleNamespace(exports={"G": Export(Painter(condition, names), tuple(inputs), picture("x"))})


@pytest.fixture
def run_of(tmp_path: Path):
    """Makes a run of a kind of condition; its commands know the pipeline, as for a game of one's own."""

    def make(condition: str | None, **domain) -> Path:
        torch.manual_seed(1)
        options = {"condition": condition, **KINDS[condition]} if condition else {}
        game = build(**options)
        save_model(
            tmp_path / f"run {condition}" / "model",
            pipeline="painter",
            options=options,
            exports=game.exports,
            domains={"x": {"name": "animals", "channels": 1, **domain}},
            preprocessing={},
            images_seen=4,
        )
        return tmp_path / f"run {condition}"

    return make


def load(run: Path):
    return quagga.load(run, build=build)


def sample(run: Path, *words: str) -> int:
    return sample_command.main([str(run), *words, "--device=cpu"], build)


def refused(call, *words, **options) -> str:
    with pytest.raises(BadInput) as caught:
        call(*words, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the space it draws from ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_a_seed_is_a_point_whatever_stands_beside_it(seeds):
    together = latents(seeds, 5)
    assert all(torch.equal(together[n], latents([seed], 5)[0]) for n, seed in enumerate(seeds))


def test_points_are_normal():
    z = latents(range(2000), 50)
    assert abs(float(z.mean())) < 0.01 and abs(float(z.std()) - 1) < 0.01
    assert float(torch.corrcoef(z.T).fill_diagonal_(0).abs().max()) < 0.15


@pytest.mark.parametrize("limit", [0.05, 0.7, 2.0])
def test_truncation_keeps_within_its_limit_and_the_order(limit):
    z, squeezed = latents(range(200), 10), latents(range(200), 10, limit)
    assert float(squeezed.abs().max()) <= limit
    assert torch.equal(squeezed.flatten().argsort(), z.flatten().argsort())
    inside = (torch.special.ndtr(torch.tensor(limit / 2)) * 2 - 1) / (torch.special.ndtr(torch.tensor(limit)) * 2 - 1)
    assert float((squeezed.abs() < limit / 2).float().mean()) == pytest.approx(float(inside), abs=0.03)
    torch.testing.assert_close(latents([3], 10, 9.0), latents([3], 10), atol=1e-5, rtol=0)


def test_a_walk_begins_and_ends_where_it_should_and_keeps_its_distance_from_0():
    points = latents([1, 2, 3], 200)
    path = interpolate(points, 9)
    for frame, point in ((0, 0), (4, 1), (8, 2)):
        torch.testing.assert_close(path[frame], points[point])
    norms = path.norm(dim=1)
    assert norms.min() > points.norm(dim=1).min() * 0.999 and norms.max() < points.norm(dim=1).max() * 1.001
    steps = (path[1:5] - path[:4]).norm(dim=1)
    assert float(steps.max() / steps.min()) < 1.1  # no haste, no rest


def test_a_walk_between_a_point_and_itself_or_its_opposite_is_a_straight_line():
    z = latents([1], 4)
    torch.testing.assert_close(interpolate(torch.cat([z, z]), 3), z.expand(3, -1))
    assert interpolate(torch.cat([z, -z]), 5).isfinite().all()


def test_a_straight_walk_has_means_in_the_middle():
    points = latents([1, 2, 3], 7)
    path = interpolate(points, 5, straight=True)
    torch.testing.assert_close(path[::2], points)
    torch.testing.assert_close(path[1::2], (points[:-1] + points[1:]) / 2)


def test_a_sum_is_of_means():
    assert parse_sum(" 1, 2 - 3+ 40,5,6 ") == [Term(1, [1, 2]), Term(-1, [3]), Term(1, [40, 5, 6])]
    z = latents(range(6), 7)
    expected = z[[0, 1]].mean(0) - z[2] + z[[3, 4]].mean(0)
    terms = [(term.sign, latents([int(seed) for seed in term.points], 7)) for term in parse_sum("0,1 - 2 + 3,4")]
    torch.testing.assert_close(sum_of_means(terms), expected)
    surroundings = latent_space.with_neighbors(expected)
    assert torch.equal(surroundings[0], expected) and 0 < float((surroundings - expected).abs().max()) <= 0.25


@pytest.mark.parametrize("text", ["", "1 -", "- 1", "a + ", "1 ,, 2", "a - ,b", "--3"])
def test_what_is_no_sum_is_refused(text):
    assert "sum of seeds" in refused(parse_sum, text)


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_what_is_saved_is_sampled(run_of, kind):
    run = run_of(kind)
    sampler = load(run)
    assert sampler.verify() == 0 and verify.main([str(run), "--device=cpu"], build) == 0
    words = {"class": "zebra", "attributes": "striped", "caption": "Zebra at NIGHT"}.get(kind)
    pictures = sampler(words, count=70, seed=5)  # more than one portion
    assert pictures.shape == (70, 8, 8, 1) and pictures.dtype == np.uint8
    assert np.array_equal(pictures[66], sampler(words, seed=71)[0])  # a seed and a condition are a picture
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(np.asarray(sampler.picture(words, seed=5)), pictures[0, :, :, 0])


def test_the_condition_decides(run_of):
    of_classes, of_attributes, of_captions = (load(run_of(kind)) for kind in KINDS)
    taking_turns = of_classes(count=4)
    for n, name in enumerate(("horse", "quagga", "zebra", "horse")):
        assert np.array_equal(taking_turns[n], of_classes(name, seed=n)[0])
    same_seed = [of_classes(name)[0] for name in of_classes.names]
    assert all(np.array_equal(same_seed[0][:4], other[:4]) for other in same_seed)
    assert len({picture[4:].tobytes() for picture in same_seed}) == 3
    assert not np.array_equal(of_attributes("striped")[0], of_attributes("grazing=0.5")[0])
    assert not np.array_equal(of_captions("zebra")[0], of_captions("night")[0])


def test_a_value_range_comes_back(run_of):
    sampler = load(run_of(None, kind="uint16", value_range=[0, 4095]))
    pictures = sampler(count=50)
    assert pictures.dtype == np.uint16 and 3000 < pictures.max() <= 4095
    assert "array" in refused(sampler.picture)


def test_conditions_that_do_not_fit_are_refused(run_of):
    plain, of_classes, of_attributes, of_captions = (load(run_of(kind)) for kind in (None, *KINDS))
    assert "without a condition" in refused(plain, "zebra")
    assert "did you mean zebra" in refused(of_classes, "zebbra")
    assert "striped" in refused(of_attributes) and "zebra" in refused(of_captions)
    assert "did you mean striped" in refused(of_attributes, "strped")
    assert "empty" in refused(of_captions, "  ")
    assert "2 conditions for 3" in refused(of_classes, ["horse", "zebra"], count=3)
    assert "truncation" in refused(plain, truncation=0.0) and "seed" in refused(plain, seed=-1)
    assert "count" in refused(plain, count=0)


def test_damage_is_refused(run_of):
    run = run_of("class")
    card = run / "model" / "model.json"
    whole = card.read_text()
    for good, bad in (('"name": "x"', '"name": "y"'), ('"G": {', '"../G": {'), ('"channels": 1', '"channels": 3')):
        assert good in whole
        card.write_text(whole.replace(good, bad))
        refused(load, run)
    card.write_text(json.dumps(json.loads(whole) | {"exports": {}, "networks": {}}))
    assert "exports should have at least 1 item" in refused(load, run).replace("dictionary ", "")
    card.write_text(whole.replace('"quagga"', "3"))
    refused(load, run)


def test_weights_and_pictures_that_are_not_finite_are_refused(run_of, tmp_path):
    run, out = run_of("class"), ["--output", str(tmp_path / "out")]
    sampler = load(run)
    with torch.no_grad():
        sampler.predictor.network.colour.weight[2] = torch.nan  # of zebras
    assert sampler("horse").shape == (1, 8, 8, 1)
    for call in (lambda: sampler("zebra"), lambda: sampler.picture("zebra"), lambda: sampler(count=3)):
        assert "NaN or infinite" in refused(call)
    options = {"condition": "class", **KINDS["class"]}
    exports = {"G": replace(build(**options).exports["G"], network=sampler.predictor.network)}
    said = {"options": options, "domains": {"x": {"name": "animals", "channels": 1}}, "preprocessing": {}}
    save_model(run / "model", pipeline="painter", exports=exports, images_seen=4, **said)
    for call in (lambda: load(run), lambda: sample(run, *out, "--label=zebra")):
        assert "weight in the layer colour are NaN or infinite" in refused(call)
    assert not (tmp_path / "out").exists()


# -- the way back -----------------------------------------------------------------------------------------------------


def test_the_noise_of_a_picture_is_found(run_of):
    sampler = load(run_of("class"))
    z, c = sampler.latents([7, 8]), torch.tensor([2, 0])
    pictures = sampler.decode(z, c)
    found, kinds, off = sampler.invert(pictures, steps=400)
    assert kinds is not None and kinds.tolist() == [2, 0] and float(off.max()) < 0.02
    torch.testing.assert_close(sampler.decode(found, kinds), pictures, atol=0.15, rtol=0)
    _, _, wrong = sampler.invert(pictures[:1], "horse", steps=100)
    assert float(wrong) > float(off[0])
    assert "make them fit" in refused(sampler.invert, torch.zeros(1, 1, 9, 9))


# -- the command ------------------------------------------------------------------------------------------------------


def pictures_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_files_and_grids(run_of, tmp_path, capsys):
    run, out = run_of("class"), tmp_path / "out"
    assert sample(run, "--output", str(out), "--label", "zebra", "--count=2", "--seed=3") == 0
    assert pictures_in(out) == ["zebra-000003.png", "zebra-000004.png"]
    assert np.array_equal(np.asarray(Image.open(out / "zebra-000004.png")), load(run)("zebra", seed=4)[0, :, :, 0])
    assert sample(run, "--output", str(tmp_path / "turns"), "--count=4") == 0
    assert pictures_in(tmp_path / "turns") == [
        f"{n}.png" for n in ("horse-000000", "horse-000003", "quagga-000001", "zebra-000002")
    ]
    assert sample(run, "--output", str(out), "--grid", "--count=3") == 0
    columns = Image.open(out / "grid.png").width
    assert sample(run, "--output", str(out), "--grid", "--label=zebra", "--count=1", "--overwrite") == 0
    assert Image.open(out / "grid.png").width < columns / 2
    assert "overwrite" in refused(sample, run, "--output", str(out), "--grid")


def test_a_call_that_was_stopped_goes_on(run_of, tmp_path, monkeypatch, capsys):
    run, whole, out = run_of("class"), tmp_path / "whole", tmp_path / "out"
    words = ("--count=70", "--seed=3")
    assert sample(run, "--output", str(whole), *words) == 0
    shutil.copytree(whole, out)
    names = pictures_in(out)
    for name in names[5:40:2]:
        (out / name).unlink()
    there = {name: (out / name).stat().st_mtime_ns for name in pictures_in(out)}
    assert "--existing skip" in refused(sample, run, "--output", str(out), *words)
    assert sample(run, "--output", str(out), *words, "--existing=skip") == 0
    assert f"{len(there)} of them existed" in capsys.readouterr().out
    assert all((out / name).stat().st_mtime_ns == when for name, when in there.items())
    assert pictures_in(out) == names
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in names)


def test_sheets_and_films_that_are_there_stay(run_of, tmp_path):
    run, out = run_of(None), ["--output", str(tmp_path / "out")]
    assert sample(run, *out, "--walk=1,2", "--frames=3") == 0
    strip, film = tmp_path / "out" / "walk.png", tmp_path / "out" / "walk.gif"
    before = film.read_bytes()
    strip.write_text("mine")
    film.unlink()
    assert sample(run, *out, "--walk=1,2", "--frames=3", "--existing=skip") == 0
    assert (strip.read_text(), film.read_bytes()) == ("mine", before)
    film.write_text("mine too")
    assert sample(run, *out, "--walk=1,2", "--frames=3", "--existing=skip") == 0
    assert film.read_text() == "mine too"


@pytest.mark.parametrize("words", [("--count=2",), ("--grid", "--count=2"), ("--walk=1,2", "--frames=3")])
def test_a_full_disk_leaves_what_was_there_and_nothing_half(run_of, tmp_path, monkeypatch, words):
    run, out = run_of(None), tmp_path / "out"
    assert sample(run, "--output", str(out), *words) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    original = Image.Image.save

    def full(self, path, *args, **kwargs):
        original(self, path, *args, **kwargs)
        Path(path).write_bytes(b"")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    assert "No space left" in refused(sample, run, "--output", str(out), *words, "--overwrite")
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_several_conditions_share_their_seeds(run_of, tmp_path, capsys, monkeypatch):
    run, out = run_of("class"), ["--output", str(tmp_path / "out")]
    assert sample(run, *out, "--label=[zebra, horse]", "--count=2", "--seed=3") == 0
    assert pictures_in(tmp_path / "out") == [f"{name}-00000{n}.png" for name in ("horse", "zebra") for n in (3, 4)]
    for name in ("horse", "zebra"):
        picture = np.asarray(Image.open(tmp_path / "out" / f"{name}-000004.png"))
        assert np.array_equal(picture, load(run)(name, seed=4)[0, :, :, 0])
    widths = []
    for names in ("[zebra, horse]", "[zebra, horse, quagga]"):
        assert sample(run, *out, f"--label={names}", "--grid", "--count=2", "--overwrite") == 0
        widths.append(Image.open(tmp_path / "out" / "grid.png").width)
    assert widths[0] < widths[1]
    assert "takes one condition" in refused(sample, run, *out, "--label=[zebra, horse]", "--arithmetic=1-2")
    assert "did you mean" in refused(sample, run, *out, "--label=[zebra, hoarse]")
    for wrong in ("[]", "[zebra", "[{a: b}]", "[a: b, zebra]"):
        assert "is no list" in refused(sample, run, *out, f"--label={wrong}")
    for same in ("[horse, HORSE]", "[horse]"):  # one class, and so one set of files
        once = tmp_path / same
        assert sample(run, "--output", str(once), f"--label={same}", "--count=1") == 0
        assert pictures_in(once) == ["horse-000000.png"]
    assert parse_list("--label", "[3, 7, yes, null, 1e3]") == ["3", "7", "yes", "null", "1e3"]
    other = [*out, "--caption=['zebra, grazing', zebra. at]", "--count=1"]
    assert sample(run_of("caption"), *other) == 0
    capsys.readouterr()
    assert sample(run, *out, "--walk=1,2", "--frames=2") == 0
    assert "class horse, the first" in capsys.readouterr().out
    monkeypatch.setitem(KINDS["class"], "names", ["horse", "Horse"])  # which some disks do not tell apart
    assert "same file names" in refused(sample, run_of("class"), *out, "--label=[horse, Horse]")


AWKWARD = ["null", "true", "1e3", "None", "007", "no", "~", "#1", "[old] horse", "horse, old", "{a: b}"]


def test_a_class_of_any_name_can_be_asked_for(run_of, tmp_path, monkeypatch):
    """On a command line YAML would make nothing, a truth and a number of the first three."""
    monkeypatch.setitem(KINDS["class"], "names", AWKWARD)
    run = run_of("class")
    sampler = load(run)
    for number, name in enumerate(AWKWARD):
        assert sampler.condition(name, 1).tolist() == [number]
        out = tmp_path / str(number)
        assert sample(run, "--output", str(out), "--label", name, "--count=1", "--seed=3") == 0
        [path] = out.glob("[!.]*")
        assert np.array_equal(np.asarray(Image.open(path)), sampler(name, seed=3)[0, :, :, 0])
    assert sample(run, "--output", str(tmp_path / "two"), "--label=[null, 1e3]", "--count=1") == 0
    assert pictures_in(tmp_path / "two") == ["1e3-000000.png", "null-000000.png"]


def test_a_long_name_of_a_class_makes_a_file_name_that_a_disk_can_have(run_of, tmp_path, monkeypatch):
    long = "\N{CUNEIFORM SIGN A}" * 63  # 252 bytes, as a folder may be called
    monkeypatch.setitem(KINDS["class"], "names", [long, "horse"])
    out = tmp_path / "out"
    assert sample(run_of("class"), "--output", str(out), "--label", long, "--count=1", f"--seed={2**62}") == 0
    [name] = pictures_in(out)
    assert name.startswith(long[:50]) and name.endswith(f"-{2**62}.png")


@pytest.mark.parametrize("film", ["gif", "mp4", "none"])
def test_walks(run_of, tmp_path, film):
    run, out = run_of(None), tmp_path / "out"
    assert sample(run, "--output", str(out), "--walk=3,1,4", "--frames=5", f"--film={film}") == 0
    assert pictures_in(out) == sorted({"walk.png"} | ({f"walk.{film}"} if film != "none" else set()))
    if film == "gif":
        assert getattr(Image.open(out / "walk.gif"), "n_frames", 0) == 11 + 9  # there and back
    if film == "mp4":
        assert (out / "walk.mp4").stat().st_size > 500


def test_sums_and_the_way_back(run_of, tmp_path, capsys):
    run, out = run_of("class"), tmp_path / "out"
    assert sample(run, "--output", str(out), "--label=zebra", "--arithmetic=1,2,3 - 4 + 5,6") == 0
    for seed in (1, 2):
        load(run).picture("quagga", seed=seed).save(tmp_path / f"{seed}.png")
    files = f"[{tmp_path / '1.png'}, {tmp_path / '2.png'}]"
    assert sample(run, "--output", str(out), f"--invert={files}", "--steps=150") == 0
    assert "as quagga" in capsys.readouterr().out
    (tmp_path / "some").mkdir()
    for name in ("1.png", "2.png"):
        (tmp_path / name).rename(tmp_path / "some" / name)
    whole = ["--output", str(tmp_path / "whole"), f"--invert={tmp_path / 'some'}", "--steps=2"]
    assert sample(run, *whole) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "off by" in line]
    assert [line.split(":")[0] for line in said] == [str(tmp_path / "some" / name) for name in ("1.png", "2.png")]
    assert all("a sample of any seed by 0." in line for line in said)
    (tmp_path / "none").mkdir()
    assert "0 images" in refused(sample, run, "--output=x", f"--invert={tmp_path / 'none'}")
    assert pictures_in(out) == ["arithmetic.png", "inverted.png", "walk.gif", "walk.png"]


@pytest.mark.parametrize(
    ("words", "last", "total"),
    [
        (["--label=[horse, zebra]", "--count=70"], 139, 140),
        (["--grid", "--count=70"], 204, 210),  # a column of 70 for each of three classes, in portions of 64 and 6
        (["--walk=3,4", "--frames=100", "--film=none"], 64, 101),
        (["--invert", "ONE", "--steps=20"], 0, 1),
    ],
    ids=["separate", "grid", "walk", "invert"],
)
def test_sample_tells_how_far_it_is(words, last, total, run_of, tmp_path, capsys, monkeypatch):
    run = run_of("class")
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "one.png")
    words = [str(tmp_path / "one.png") if word == "ONE" else word for word in words]
    assert sample(run, "--output", str(tmp_path / "quick"), *words) == 0
    assert capsys.readouterr().err == ""
    seconds = itertools.count(step=int(progress_bar.LINE_INTERVAL))
    monkeypatch.setattr(progress_bar, "perf_counter", lambda: next(seconds))
    assert sample(run, "--output", str(tmp_path / "slow"), *words) == 0
    said = [re.fullmatch(r"(\d+) of (\d+) pictures?, (\d+)%, .* left", line) for line in error_lines(capsys)]
    assert all(said) and {int(line[2]) for line in said if line} == {total}
    done, shares = zip(*((int(line[1]), int(line[3])) for line in said if line), strict=True)
    assert list(shares) == sorted(shares) and done[-1] == last


def error_lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_what_cannot_be_sampled_is_refused(run_of, tmp_path):
    plain, of_classes, of_captions = (run_of(kind) for kind in (None, "class", "caption"))
    out = ["--output", str(tmp_path / "out")]
    assert "--output" in refused(sample, plain)
    assert "--label does not fit" in refused(sample, plain, *out, "--label=1")
    assert "takes --label" in refused(sample, of_classes, *out, "--caption=zebra")
    assert "did you mean" in refused(sample, of_classes, *out, "--label=zebbra")
    assert "none of the words" in refused(sample, of_captions, *out, "--caption=purple cow")
    assert "one at a time" in refused(sample, plain, *out, "--walk=1,2", "--arithmetic=1-2")
    assert "seeds" in refused(sample, plain, *out, "--walk=1") and "seeds" in refused(sample, plain, *out, "--walk=a,b")
    for sum_of_nothing in ("a + b", "1 * 2", "1.5 + 2"):  # which may be pictures' names
        assert "there is no picture" in refused(sample, plain, *out, f"--arithmetic={sum_of_nothing}")
    assert "frames" in refused(sample, plain, *out, "--frames=1", "--walk=1,2")
    assert "there is no" in refused(sample, plain, *out, "--invert=nothing.png")
    assert "--seed has no effect on --walk" in refused(sample, plain, *out, "--walk=1,2", "--seed=3")
    assert "--truncation has no effect on --arithmetic" in refused(
        sample, plain, *out, "--arithmetic=1-2", "--truncation=1"
    )
    assert "name nothing" in refused(sample, run_of("attributes"), *out, "--attributes=")
    assert "none of the words" in refused(load(of_captions), "purple cow")
    assert not (tmp_path / "out").exists()


def test_words_that_were_never_read_are_said(run_of, tmp_path, capsys):
    assert sample(run_of("caption"), "--output", str(tmp_path / "out"), "--caption=zebra at noon", "--count=1") == 0
    assert "reads as '?': noon" in capsys.readouterr().out
