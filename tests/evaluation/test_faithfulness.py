"""Where a translator may have invented something: the laws of the maps, and `quagga translate --faithfulness`."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from PIL import Image
from test_translator import SIZES, TINY, contents, leave_model, noise, pixels, refused
from torch import Tensor
from torch.nn import functional

import quagga
from quagga.cli.main import command_line, dispatch
from quagga.cli.output.faithfulness_maps import heat, map_path
from quagga.data.io.pixel_format import Fitted
from quagga.data.io.read import read_picture
from quagga.evaluation.faithfulness import (
    Faithfulness,
    combined_map,
    cycle_map,
    moved_map,
    peak,
    shifted,
    weights_map,
    with_weights,
)

SQUARE = (..., slice(6, 10), slice(4, 8))  # no larger than the shift of 32 pixels, and off the middle


def identity(x: Tensor) -> Tensor:
    return x


def with_square(x: Tensor) -> Tensor:
    """Invents a white square, always in the same place."""
    y = x.clone()
    y[SQUARE] = 1
    return y


def blurred(x: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)


# The maps


def test_a_translator_that_changes_nothing_is_beyond_doubt():
    x = noise(2, 3, 12, 9)
    for found in (cycle_map(x, x, identity), weights_map(x, x, [identity, identity]), moved_map(x, x, identity)):
        assert found.shape == (2, 1, 12, 9)
        assert not found.any()


def test_what_the_way_back_undoes_is_beyond_its_doubt_and_what_it_loses_is_in_its_map():
    x = noise(1, 3, 8, 8)
    assert not cycle_map(x, -x.flip(1), lambda y: -y.flip(1)).any()
    lost = x.clone()
    lost[..., 2:4, 3:5] = 0.0  # and no way back knows what it was
    assert torch.allclose(cycle_map(x, lost, identity)[..., 2:4, 3:5], x[..., 2:4, 3:5].abs().mean(1, keepdim=True) / 2)
    assert cycle_map(x, lost, identity).count_nonzero() == 4


def test_maps_are_in_shares_of_the_range_of_pictures():
    black, white = torch.full((1, 3, 8, 8), -1.0), torch.full((1, 3, 8, 8), 1.0)
    assert (cycle_map(black, white, identity) == 1).all()
    assert (weights_map(black, black, [identity, lambda x: white]) == 0.5).all()
    assert (combined_map({"one": torch.ones(1, 1, 2, 2), "other": torch.zeros(1, 1, 2, 2)}) == 0.5).all()


@pytest.mark.parametrize("size", [(32, 32), (17, 40), (2, 5)])
def test_a_translator_that_moves_with_the_picture_has_no_map_of_moves(size):
    x = noise(1, 3, *size)
    assert not moved_map(x, x.tanh() ** 3, lambda x: x.tanh() ** 3).any()


def test_a_blur_moves_with_the_picture_but_where_the_picture_is_cut():
    found = moved_map(x := noise(1, 3, 32, 32), blurred(x), blurred)
    assert found[..., 5:-5, 5:-5].max() < 1e-6
    assert moved_map(x, x + torch.linspace(0, 1, 32), lambda x: x + torch.linspace(0, 1, 32)).min() > 0


def test_shifting_there_and_back_leaves_the_middle_as_it_is():
    x = noise(1, 2, 9, 7)
    for s in (-2, 2):
        assert shifted(x, s).shape == x.shape
        assert torch.equal(shifted(shifted(x, s), -s)[..., 2:-2, 2:-2], x[..., 2:-2, 2:-2])
    assert torch.equal(shifted(x, 2)[..., 2:, 2:], x[..., :-2, :-2])


def test_an_invented_square_is_the_brightest_place_of_the_map():
    x = torch.full((1, 3, 32, 32), -1.0)
    found = moved_map(x, with_square(x), with_square)
    inside = torch.zeros_like(found, dtype=torch.bool)
    inside[SQUARE] = True
    assert (found[inside] == 1).all()
    assert found[~inside].max() <= 0.5  # where a moved picture has its own
    assert peak(found) > 0.25


def test_what_only_these_weights_see_is_in_the_map_of_weights():
    x = torch.full((1, 3, 32, 32), -1.0)
    found = weights_map(x, with_square(x), [identity, identity])
    assert (found[SQUARE] == 1).all()
    assert found.sum() == 16


def test_the_number_is_that_of_the_most_doubtful_twentieth():
    found = torch.zeros(2, 1, 10, 20)
    found[1, 0, 0, :10] = 0.75
    assert peak(found).tolist() == [0, 0.75]
    assert peak(torch.full((1, 1, 1, 1), 0.5)).tolist() == [0.5]


def test_with_nothing_to_compare_with_there_is_no_map():
    with pytest.raises(ValueError, match="nothing to compare"):
        combined_map({})
    with pytest.raises(ValueError, match="nothing to compare"):
        weights_map(noise(1, 3, 4, 4), noise(1, 3, 4, 4), [])


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("untrained")
    leave_model(run, **TINY)
    return run


@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_any_size_have_maps_of_their_size(untrained, size):
    there, back = (quagga.load(untrained, to=to, device="cpu") for to in ("zebra", "horse"))
    maps = Faithfulness(there, back, (back,)).maps(Fitted(pixels(*size), 0))
    assert list(maps) == ["way_back", "weights", "moved"]
    for found in maps.values():
        assert found.shape == (1, 1, *size)
        assert 0 <= found.min() <= found.max() <= 1


def test_a_picture_in_strips_has_the_maps_that_it_has_whole(untrained):
    found = []
    for tile in (None, 32):
        there, back = (quagga.load(untrained, to=to, device="cpu", tile=tile) for to in ("zebra", "horse"))
        found.append(Faithfulness(there, back).maps(Fitted(pixels(40, 48), 0)))
    for name, whole in found[0].items():
        assert whole.max() > 0.01
        assert torch.allclose(whole, found[1][name], atol=1e-4), name


def test_a_picture_that_is_shrunk_for_the_network_has_maps_of_the_networks_size(untrained):
    there = quagga.load(untrained, device="cpu", resolution=16)
    assert Faithfulness(there).maps(Fitted(pixels(32, 64), 0))["moved"].shape == (1, 1, 16, 32)


def test_other_weights_make_another_translator_and_those_of_another_network_none(untrained):
    there = quagga.load(untrained, device="cpu")
    x = noise(1, 3, 8, 8)
    weights = {name: torch.zeros_like(value) for name, value in there.network.state_dict().items()}
    other = with_weights(there, weights)
    before = there.forward(x)
    assert other is not None and not torch.equal(other.forward(x), before)
    assert torch.equal(there.forward(x), before)  # its own are as they were
    assert with_weights(there, {"layers.0.weight": torch.zeros(1)}) is None


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints, beside its pictures."""
    folder = tmp_path_factory.mktemp("trained")
    root = tiny_run.pictures(folder)
    assert command_line(tiny_run.words(root, folder / "run", images=8, batch_size=2, save_every=4, samples=1)) == 0
    return folder


def translate(*words: object) -> int:
    return dispatch(["translate", *map(str, words), "--device=cpu"])


def table(out: Path) -> list[dict[str, str]]:
    with (out / "faithfulness.csv").open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_beside_each_translation_is_its_map_and_a_table_has_the_numbers(trained, tmp_path, capsys):
    run, photos = trained / "run", trained / "pictures" / "testA"
    assert translate(run, photos, "--output", tmp_path / "plain") == 0
    capsys.readouterr()
    assert translate(run, photos, "--output", tmp_path / "out", "--faithfulness") == 0
    said = capsys.readouterr().out
    assert "compared with its way back to horse, weights as they were after 4, 8 images, the translations of" in said
    assert "left out" not in said
    plain, out = contents(tmp_path / "plain"), contents(tmp_path / "out")
    assert {name: out[name] for name in plain} == plain  # the translations are as they are without
    assert out.keys() - plain.keys() == {"faithfulness.csv", *(f"{name}.faithfulness.png" for name in plain)}
    rows = table(tmp_path / "out")
    assert [row["file"] for row in rows] == sorted(plain)
    for row in rows:
        numbers = {name: float(value) for name, value in row.items() if name != "file"}
        assert list(numbers) == ["doubt", "way_back", "weights", "moved"]
        assert all(0 < number < 1 for number in numbers.values())
        assert Image.open(map_path(tmp_path / "out" / row["file"])).size == (32, 32)
        assert numbers["doubt"] <= sum(numbers[name] for name in ("way_back", "weights", "moved")) / 3 + 1e-4


def test_the_way_back_has_its_own_way_back(trained, tmp_path, capsys):
    picture = next((trained / "pictures" / "testB").iterdir())
    assert translate(trained / "run", picture, "--to", "horse", "--output", tmp_path / "out", "--faithfulness") == 0
    assert "its way back to zebra" in capsys.readouterr().out
    assert table(tmp_path / "out")[0]["weights"]


def test_a_model_alone_has_one_set_of_weights_and_says_so(trained, tmp_path, capsys):
    shutil.copytree(trained / "run" / "model", tmp_path / "model")
    photos = trained / "pictures" / "testA"
    assert translate(tmp_path / "model", photos, "--output", tmp_path / "out", "--faithfulness") == 0
    said = capsys.readouterr().out
    assert f"left out: other weights, as no checkpoint beside {tmp_path / 'model'} has any of this network" in said
    assert {row["weights"] for row in table(tmp_path / "out")} == {""}
    assert all(row["way_back"] and row["moved"] for row in table(tmp_path / "out"))


def test_a_damaged_checkpoint_is_left_out(trained, tmp_path, capsys):
    shutil.copytree(trained / "run", tmp_path / "run")
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    (newest / "tensors.safetensors").write_bytes(b"")
    photo = next((trained / "pictures" / "testA").iterdir())
    assert translate(tmp_path / "run", photo, "--output", tmp_path / "out", "--faithfulness") == 0
    assert "weights as they were after 4 images" in capsys.readouterr().out


def test_maps_and_table_replace_nothing(trained, tmp_path):
    photo = next((trained / "pictures" / "testA").iterdir())
    words = (trained / "run", photo, "--output", tmp_path / "out", "--faithfulness")
    (tmp_path / "out").mkdir()
    for name in ("faithfulness.csv", f"{photo.name}.faithfulness.png"):
        (tmp_path / "out" / name).write_text("mine")
        assert name in refused(translate, *words)
        assert contents(tmp_path / "out") == {name: b"mine"}
        (tmp_path / "out" / name).unlink()
    assert "--existing overwrite" in refused(translate, *words, "--existing", "skip")
    assert translate(*words) == 0
    assert translate(*words, "--existing", "overwrite") == 0


def test_doubt_is_black_where_there_is_none_and_bright_from_a_quarter_on(tmp_path):
    drawn = heat(np.array([[0.0, 0.1, 0.25, 1.0]]))
    brightness = drawn.sum(2)[0].tolist()
    assert brightness[0] < 10 and brightness[0] < brightness[1] < brightness[2] == brightness[3] > 500
    Image.fromarray(drawn).save(tmp_path / "heat.png")
    assert (read_picture(tmp_path / "heat.png") == drawn).all()
