"""CycleGAN with pairs and loose pictures together: pairs get the paired terms, the others the cycle's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_cyclegan import game
from toys import Rows as Toys

from quagga.cli.main import command_line
from quagga.data.io.tensors import floats, with_floats
from quagga.data.unpaired import Unpaired
from quagga.errors import BadInput
from quagga.pipelines.core.game_protocol import Draw

SMALL: dict[str, Any] = {"load_size": 16, "crop_size": 16, "workers": 0}
DRAW = Draw(0, [0, 1])


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    """Loose pictures of both sides, and pairs whose y is the negative of x."""
    rng = np.random.default_rng(0)
    for side in "xy":
        (tmp_path / side).mkdir()
        for number in range(9):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / side / f"{number}.png")
    lines = ["x,y"]
    for number in range(6):
        x = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(x).save(tmp_path / f"p{number}.png")
        Image.fromarray(255 - x).save(tmp_path / f"q{number}.png")
        lines.append(f"p{number}.png,q{number}.png")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return {"x": str(tmp_path / "x"), "y": str(tmp_path / "y"), "pairs": str(tmp_path / "pairs.csv")}


@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_batch_of_every_process_holds_as_many_pairs(places, every):
    rows = Unpaired(**places, pair_every=every, **SMALL)
    for process in range(2):
        batches = rows.batches(0, 2 * every, process, processes=2)
        for _ in range(3):
            batch = with_floats(next(batches))
            assert int(batch["paired"].sum()) == 2
            negative = (batch["x"] + batch["y"]).abs().amax((1, 2, 3)) < 0.01
            assert torch.equal(negative, batch["paired"])


def test_all_pairs_and_all_loose_pictures_have_their_turn(places):
    rows = Unpaired(**places, pair_every=3, **SMALL)
    loose = {name for row in range(27) if row % 3 for name in rows.files(row)}
    assert len([name for name in loose if "/x/" in name]) == len(rows.sides["x"].train)
    for row in range(27):  # what is read is what is named, perhaps mirrored
        for side, name in zip("xy", rows.files(row), strict=True):
            pixels = np.asarray(Image.open(name), np.float32) / 127.5 - 1
            assert float(floats(rows.sample(row).tensors[side]).mean()) == pytest.approx(float(pixels.mean()), abs=1e-4)
    assert rows.paired is not None
    assert {name for row in range(0, 27, 3) for name in rows.files(row)} == {
        str(path) for pair in rows.paired.train for path in (pair.x, pair.y)
    }


def test_a_group_of_pairs_and_of_loose_pictures_is_on_one_side(places, tmp_path):
    loose = [f"{side},{side}/{number}.png,{'abc'[number % 3]}" for side in "xy" for number in range(9)]
    (tmp_path / "loose.csv").write_text("\n".join(["side,file,group", *loose]))
    pairs = [f"p{number}.png,q{number}.png,{'abcdef'[number]}" for number in range(6)]
    (tmp_path / "grouped.csv").write_text("\n".join(["x,y,group", *pairs]))
    rows = Unpaired(table=str(tmp_path / "loose.csv"), pairs=str(tmp_path / "grouped.csv"), **SMALL)
    assert rows.paired is not None and rows.paired.test
    train = {pair.group for pair in rows.paired.train} | {rows.groups[p] for s in rows.sides.values() for p in s.train}
    test = {pair.group for pair in rows.paired.test} | {rows.groups[p] for s in rows.sides.values() for p in s.test}
    assert train and test and not train & test


def test_without_pairs_nothing_is_otherwise(places):
    del places["pairs"]
    batch = next(Unpaired(**places, **SMALL).batches(0, 3))
    assert set(batch) == {"x", "y", "row"}


def test_a_batch_that_would_hold_more_pairs_than_the_next_is_refused(places):
    rows = Unpaired(**places, **SMALL)
    with pytest.raises(BadInput, match="multiple of 2"):
        rows.check(3)
    with pytest.raises(BadInput, match="multiple of 2"):
        next(rows.batches(0, 1))
    with pytest.raises(BadInput, match="pair_every 0"):
        Unpaired(**places, pair_every=0, **SMALL)


def test_pairs_get_the_paired_terms_and_the_others_the_cycles():
    play, batch = game(), next(Toys(3).batches(0))
    batch["paired"] = torch.tensor([True, False, False])
    x, y = batch["x"], batch["y"]
    terms = play.generator_loss(batch, play.generate(batch, DRAW), DRAW).terms
    assert float(terms["cycle_x"].detach()) == pytest.approx(float(10 * (1.5 * x - x)[1:].abs().mean()))
    assert float(terms["cycle_y"].detach()) == pytest.approx(float(10 * (1.5 * y - y)[1:].abs().mean()))
    assert float(terms["paired_y"].detach()) == pytest.approx(float(10 * (0.5 * x - y)[:1].abs().mean()))
    assert float(terms["paired_x"].detach()) == pytest.approx(float(10 * (3 * y - x)[:1].abs().mean()))
    batch["paired"][:] = True
    terms = play.generator_loss(batch, play.generate(batch, DRAW), DRAW).terms
    assert float(terms["cycle_x"].detach()) == 0


def test_pairs_that_are_held_out_say_how_far_a_picture_is_from_its_partner(places):
    rows = Unpaired(**places, **SMALL)
    batch = rows.held_out(4)
    negative = (batch["x"] + batch["y"]).abs().amax((1, 2, 3)) < 0.01
    assert torch.equal(negative, batch["paired"]) and 0 < int(negative.sum()) < len(negative)
    assert rows.paired is not None
    trained = torch.stack([floats(rows.sample(row).tensors["x"]) for row in range(0, 2 * len(rows.paired.train), 2)])
    assert all((one - trained).abs().amax((1, 2, 3)).min() > 0.01 for one in batch["x"][negative])
    assert "paired" not in rows.held_out(1)
    play, batch = game(), {name: part.double() if name in "xy" else part for name, part in batch.items()}
    read, (x, y) = play.examine(batch, DRAW), (batch[side][negative] for side in "xy")
    assert float(read["paired_y"].detach()) == pytest.approx(float((play.G(x) - y).abs().mean().detach()))
    assert float(read["paired_x"].detach()) == pytest.approx(float((play.F(y) - x).abs().mean().detach()))


def test_what_is_held_out_as_a_pair_or_loose_is_never_trained_on_as_the_other(places):
    folder = Path(places["pairs"]).parent
    lines = ["x,y", *(f"x/{number}.png,y/{number}.png" for number in range(9))]
    (folder / "pairs.csv").write_text("\n".join(lines))
    rows = Unpaired(**places, **SMALL)
    assert rows.paired is not None and rows.paired.test and rows.paired.train
    trained = {name for row in range(60) for name in rows.files(row)}
    held = {str(path) for side in rows.sides.values() for path in side.test}
    held |= {str(path) for pair in rows.paired.test for path in (pair.x, pair.y)}
    assert not {Path(name).resolve() for name in trained} & {Path(name).resolve() for name in held}
    assert any("are held out, as their pairs are" in line for line in rows.notices)


def test_pairs_with_a_missing_file_are_refused_or_left_out(places):
    path = Path(places["pairs"])
    path.write_text(path.read_text() + "\ngone.png,q1.png")
    with pytest.raises(BadInput, match="--unmatched skip"):
        Unpaired(**places, **SMALL)
    Unpaired(**places, **SMALL, unmatched="skip")


def test_pairs_of_different_sizes_are_refused_or_made_equal(places):
    large = Path(places["pairs"]).parent / "p0.png"
    Image.open(large).resize((32, 32)).save(large)
    with pytest.raises(BadInput, match="--sizes fit"):
        Unpaired(**places, **SMALL)
    Unpaired(**places, **SMALL, sizes="fit").held_out(4)


def test_it_trains_from_the_command_line(places, tmp_path):
    words = [f"--{name}={value}" for name, value in {**places, **SMALL}.items()]
    words += ["--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1", "--images=4", "--batch_size=2"]
    assert command_line(["train", "cyclegan", *words, f"--output={tmp_path / 'run'}", "--device=cpu"]) == 0
    assert command_line(["train", "cyclegan", *words, "--batch_size=3", f"--output={tmp_path / 'odd'}"]) == 2
