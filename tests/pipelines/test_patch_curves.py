"""The distance of patches, a curve of every game that makes pictures: 0 for the same, more for what is worse."""

import pytest
import torch
from test_laws import game_of, rows_of
from torch import Tensor, nn
from toys import trainer_of

from quagga.data.synthetic.scenes import scene
from quagga.fields import Field, condition, noise, picture
from quagga.models.description.export import Export
from quagga.pipelines.core.patch_curves import at_quantiles, input_of, patch_curves, patch_distance


@pytest.fixture(scope="module")
def animals() -> tuple[Tensor, Tensor]:
    """Drawn horses and zebras, other animals each."""
    drawn = [scene(index, 48) for index in range(24)]
    both = ([s.horse for s in drawn[:12]], [s.zebra for s in drawn[12:]])
    x, y = (torch.stack([torch.from_numpy(one) for one in some]).permute(0, 3, 1, 2) / 127.5 - 1 for some in both)
    return x, y


def test_the_same_pictures_are_at_distance_0_in_any_order_and_other_animals_near(animals):
    x, y = animals
    assert patch_distance(y, y) == 0 and patch_distance(y.flip(0), y) < 1e-6
    zebras = patch_distance(y[:6], y[6:])
    assert 0 < zebras < patch_distance(x[:6], y[6:])


@pytest.mark.parametrize(
    "worse",
    [
        lambda y, much: y + much * torch.randn(y.shape, generator=torch.Generator().manual_seed(0)),
        lambda y, much: y * (1 - much),  # washed out
        lambda y, much: y + much,  # too bright
        lambda y, much: torch.lerp(y, y.flip(1), much),  # red for blue
    ],
)
def test_the_worse_the_farther(animals, worse):
    y = animals[1]
    distances = [float(patch_distance(worse(y, much), y)) for much in (0.05, 0.15, 0.45)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_sets_of_unequal_size_are_compared_by_their_quantiles(animals):
    y = animals[1]
    assert patch_distance(torch.cat([y, y]), y) < 1e-6
    rising = torch.arange(4.0)[:, None]
    assert at_quantiles(rising, 8).flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("name", "curves"),
    [
        ("cyclegan", {"patches_x", "patches_y"}),
        ("cut", {"patches_y"}),
        ("pix2pix", {"patches_y"}),
        ("stargan", {"patches_x"}),
        ("gan", {"patches_x"}),
        ("class", {"patches_x"}),
        ("vae", {"patches_x"}),
        ("inpainting", {"patches_x"}),
        ("classifier", set()),
        ("autoencoder-conv", set()),
    ],
)
def test_every_game_that_makes_pictures_has_the_curve(name, curves):
    trainer, rows = trainer_of(game_of(name), images=4, batch_size=2), rows_of(name)
    read = trainer.examine(rows.batch(100, 4))
    assert {curve for curve in read if curve.startswith("patches")} == curves
    assert all(read[curve] > 0 for curve in curves) and trainer.examine(rows.batch(100, 4)) == read


def test_what_a_game_makes_is_compared_with_what_it_should_look_like(animals):
    x, y = animals
    exports = {"G": Export(nn.Identity(), inputs=(picture("x"),), output=picture("y"))}
    draw = trainer_of(game_of("gan"))._draw([0] * len(x), 0)
    assert patch_curves(exports, {"x": y, "y": y}, draw)["patches_y"] == 0
    assert patch_curves(exports, {"x": x, "y": y}, draw)["patches_y"] == patch_distance(x, y)
    assert patch_curves(exports, {"x": x}, draw) == {} == patch_curves(exports, {"x": x[:1], "y": y[:1]}, draw)
    assert patch_curves(exports, {"x": x[..., :32], "y": y}, draw) == {}


def test_a_picture_is_changed_by_the_condition_of_another_row():
    c, batch = condition("c", "class", ["a", "b"]), {"x": torch.zeros(2, 3, 8, 8), "c": torch.tensor([0, 1])}
    draw = trainer_of(game_of("gan"))._draw([0, 1], 0)

    def given(field: Field, export: Export) -> Tensor:
        found = input_of(field, export, batch, draw)
        assert found is not None
        return found

    star = Export(nn.Identity(), inputs=(picture("x"), c), output=picture("x"))
    assert torch.equal(given(c, star), torch.tensor([1, 0]))
    z = noise("z", 5)
    conditional = Export(nn.Identity(), inputs=(z, c), output=picture("x"))
    assert torch.equal(given(c, conditional), torch.tensor([0, 1]))
    assert given(z, conditional).shape == (2, 5)
