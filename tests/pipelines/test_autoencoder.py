"""An autoencoder codes pictures, or their areas, as its formula says; a linear one finds principal components."""

import csv
import shutil
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tensorboard.plugins.projector.projector_config_pb2 import (
    ProjectorConfig,  # pyright: ignore[reportAttributeAccessIssue]
)
from toys import Rows

import quagga
from quagga.cli.main import command_line
from quagga.cli.output.code_points import sprite, sprite_side, write_projector
from quagga.errors import BadInput
from quagga.inference.coder import Code
from quagga.models import AreaDecoder, AreaEncoder, MLPDecoder, MLPEncoder
from quagga.models.autoencoding import areas_of
from quagga.option_groups import call_flat
from quagga.pipelines import autoencoder
from quagga.pipelines.autoencoder import Autoencoder
from quagga.pipelines.core.game_protocol import Draw

SMALL = {"size": 16, "x_channels": 3, "width": 4, "code_size": 5, "norm": "none"}


def game(**options) -> Autoencoder:
    torch.manual_seed(0)
    made = call_flat(autoencoder.build, **{**SMALL, **options})
    for network in made.generators.values():
        network.double()
    return made


def test_the_loss_is_the_formula():
    play, batch = game(), Rows(2).batch(0, 3)
    fakes = play.generate(batch, Draw(0, range(3)))
    x, again = batch["x"], play.Psi(play.Phi(batch["x"]))
    expected = sum(((x[n] - again[n]) ** 2).sum() for n in range(3)) / 3
    torch.testing.assert_close(play.generator_loss(batch, fakes, Draw(0, range(3))).terms["E"], expected)
    examined = play.examine(batch, Draw(0, range(3)))
    torch.testing.assert_close(examined["E"], expected)
    mse = ((x - again) ** 2).mean()
    assert float(examined["PSNR"].detach()) == pytest.approx(float((10 * torch.log10(4 / mse)).detach()))


def test_areas_are_parts_of_their_pictures_from_anywhere():
    play, batch = game(network="mlp", area=4), Rows(64).batch(0, 64)
    cut = play.generate(batch, Draw(0, range(64)))["x"]
    places = set()
    for x, area in zip(batch["x"], cut, strict=True):
        windows = x.unfold(1, 4, 1).unfold(2, 4, 1)  # (C, 13, 13, 4, 4)
        [place] = (windows == area[:, None, None]).all(-1).all(-1).all(0).nonzero().tolist()
        places.add(tuple(place))
    rows, columns = ({place[axis] for place in places} for axis in (0, 1))
    assert min(rows) == min(columns) == 0 and max(rows) == max(columns) == 12 and len(places) > 40


def test_a_picture_is_coded_area_by_area_and_put_together_again():
    Phi, Psi = MLPEncoder((3, 4, 4), 5, [7]), MLPDecoder((3, 4, 4), 5, [7])
    x = torch.rand(2, 3, 8, 12) * 2 - 1
    z = AreaEncoder(Phi, 4)(x)
    assert z.shape == (2, 6 * 5)
    torch.testing.assert_close(z[1].view(6, 5)[4], Phi(x[1:, :, 4:8, 4:8])[0])  # the second row's second area
    torch.testing.assert_close(AreaDecoder(torch.nn.Identity(), (3, 8, 12), 4)(areas_of(x, 4).reshape(2, -1)), x)
    again = AreaDecoder(Psi, (3, 8, 12), 4)(z)
    torch.testing.assert_close(again[1, :, 4:8, 4:8], Psi(Phi(x[1:, :, 4:8, 4:8]))[0])


def test_a_denoising_one_sees_noise_and_must_find_the_picture():
    play, batch = game(noise=0.5), Rows(4).batch(0, 4)
    seen = []
    play.Phi.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    fakes = play.generate(batch, Draw(0, range(4)))
    assert fakes["x"] is batch["x"]
    deviation = float((seen[0] - batch["x"]).std())
    assert 0.45 < deviation < 0.55
    play.examine(batch, Draw(0, range(4)))
    assert torch.equal(seen[1], batch["x"])  # held-out pictures are measured as they are


def test_a_linear_one_finds_the_space_of_the_principal_components():
    """Baldi & Hornik 1989: at the least E the decoder's columns span it, whatever their directions are."""
    torch.manual_seed(0)
    m, scales = 3, torch.tensor([3.0, 2.0, 1.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1]).double()
    mixing = torch.linalg.qr(torch.randn(9, 9).double()).Q
    x = (torch.randn(400, 9).double() * scales) @ mixing
    x = (x - x.mean(0)).view(-1, 1, 3, 3)
    play = call_flat(autoencoder.build, size=3, x_channels=1, network="mlp", activation="linear", code_size=m)
    parameters = [p for network in play.generators.values() for p in network.double().parameters()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        fakes = play.generate({"x": x}, Draw(0, range(400)))
        loss = play.generator_loss({"x": x}, fakes, Draw(0, range(400))).terms["E"]
        loss.backward()
        return loss

    optimizer.step(closure)
    components = torch.linalg.svd(x.flatten(1), full_matrices=False).Vh[:m].T
    columns = torch.linalg.qr(play.Psi.get_parameter("layers.0.weight").detach()).Q
    cosines = torch.linalg.svdvals(components.T @ columns)  # of the principal angles
    assert cosines.min() > 1 - 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": 5}, "are not made of areas of 5: take a divisor"),
        ({"area": 0}, "are not made of areas of 0"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"code_size": 0}, "code_size"),
        ({"size": None}, "say --size 64 --x_channels 3"),
        ({"size": 17}, "cannot be halved"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        game(**options)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("coded")
    rng = np.random.default_rng(0)
    (place / "pictures").mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(place / "pictures" / f"{number}.png")
    line = ["train", "autoencoder", "--root", str(place / "pictures"), "--output", str(place / "run")]
    line += ["--network=mlp", "--area=8", "--code_size=4", "--images=16", "--batch_size=4", "--workers=0"]
    assert command_line([*line, "--device=cpu"]) == 0
    return place / "run"


def test_codes_are_files_and_become_pictures_again(run, tmp_path, capsys):
    pictures = run.parent / "pictures"
    Phi, Psi = (quagga.load(run, to=name, device="cpu") for name in ("Phi", "Psi"))
    assert (
        command_line(["translate", str(run), str(pictures), "--to", "code", "--output", str(tmp_path / "codes")]) == 0
    )
    size = (tmp_path / "codes" / "3.png").stat().st_size
    assert "12 codes" in (said := capsys.readouterr().out) and " bits a pixel of 16 x 16" in said and size < 200
    line = ["translate", str(run), str(tmp_path / "codes"), "--to", "picture", "--output", str(tmp_path / "again")]
    assert command_line(line) == 0
    x = torch.from_numpy(np.array(Image.open(pictures / "3.png"))).permute(2, 0, 1)[None] / 127.5 - 1
    z = Phi(x=x.float())
    assert z.shape == (1, 4 * 4)
    rounded = torch.round((z + 1) * 127.5) / 127.5 - 1
    expected = ((Psi(z=rounded)[0] + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
    again = np.asarray(Image.open(tmp_path / "again" / "3.png"), dtype=float)
    assert np.abs(again - expected).max() <= 1


def test_codes_are_points_of_a_table_and_of_the_projector(run, tmp_path, capsys):
    """The table holds what the encoder gives, to the last digit, and TensorBoard finds the same, with its pictures."""
    (tmp_path / "in" / "a\tb").mkdir(parents=True)
    for number in (3, 5):
        shutil.copy(run.parent / "pictures" / f"{number}.png", tmp_path / "in" / "a\tb")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    line = ["translate", str(run), str(tmp_path / "in"), "--to", "points", "--output", str(tmp_path / "out")]
    assert command_line([*line, "--device=cpu"]) == 2
    said = capsys.readouterr()
    assert "2 points of 16 numbers" in said.out and "1 of 3 pictures could not be read" in said.err
    x = [np.array(Image.open(run.parent / "pictures" / f"{number}.png")) for number in (3, 5)]
    Phi = quagga.load(run, to="Phi", device="cpu")
    expected = Phi(x=torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    first, *rows = csv.reader((tmp_path / "out" / "codes.csv").read_text().splitlines())
    assert first == ["file", *(f"z{n}" for n in range(1, 17))]
    assert [row[0] for row in rows] == ["a\tb/3.png", "a\tb/5.png"]
    found = np.array([row[1:] for row in rows], np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    folder = tmp_path / "out" / "projector"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    [info] = config.embeddings
    assert np.array_equal(np.loadtxt(folder / info.tensor_path, np.float32, delimiter="\t"), found)
    names = (folder / info.metadata_path).read_text().splitlines()
    assert names == ["file\tfolder", "a\\tb/3.png\ta\\tb", "a\\tb/5.png\ta\\tb"]
    sheet = np.asarray(Image.open(folder / info.sprite.image_path)).astype(int)
    assert list(info.sprite.single_image_dim) == [16, 16] and sheet.shape == (32, 32, 3)
    for number, picture in enumerate(x):
        assert np.abs(sheet[:16, 16 * number : 16 * number + 16] - picture).max() <= 1

    assert command_line([*line, "--device=cpu"]) == 2
    assert "2 of 2 outputs exist" in capsys.readouterr().err
    (tmp_path / "in" / "broken.png").unlink()
    before = (tmp_path / "out" / "codes.csv").stat().st_mtime_ns
    assert command_line([*line, "--device=cpu", "--existing=skip"]) == 0
    assert (tmp_path / "out" / "codes.csv").stat().st_mtime_ns == before
    (tmp_path / "in" / "a\tb" / "3.png").unlink()
    assert command_line([*line, "--device=cpu", "--existing=overwrite"]) == 0
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert len(config.embeddings) == 1 and len((tmp_path / "out" / "codes.csv").read_text().splitlines()) == 2


def test_codes_of_two_numbers_are_points_in_the_projectors_three_axes(tmp_path):
    """It draws nothing of fewer than three: found by looking."""
    codes = [np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32)]
    write_projector(tmp_path, [("a.png", "a"), ("b.png", "b")], codes, [torch.zeros(3, 4, 4)] * 2)
    [found] = tmp_path.rglob("tensors.tsv")
    assert np.loadtxt(found).tolist() == [[1, 2, 0], [3, 4, 0]]


def test_sprites_are_small_pictures_of_three_channels_that_fit_one_sheet():
    x = torch.arange(-2, 2).view(1, 1, 1, 4).expand(1, 2, 4, 4) / 2.0
    x = torch.cat([x, -x], 1)  # of four channels the first three are shown
    np.testing.assert_allclose(sprite(x, 2)[:, 0], [[0.125, 0.625]] * 2 + [[0.875, 0.375]], atol=1e-3)
    assert torch.equal(sprite(x[:, :1], 4), sprite(x[:, :1], 4)[:1].expand(3, -1, -1))
    for count in (1, 4096, 4097, 60_000):
        side = sprite_side(count, 128)
        assert side == 64 if count <= 4096 else 16 <= side < 64
        assert ceil(sqrt(count)) * side <= 4096
    assert sprite_side(10, 28) == 28 and sprite_side(10**8, 28) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{pictures}"], "say --to code or points, or --to picture for codes"),
        (["{pictures}", "--to", "picture"], "3.png is no code: give files that"),
        (["{pictures}", "--to", "code", "--resolution", "full"], "this model codes pictures: leave out --resolution"),
        (["{pictures}", "--to", "kode"], "translates no pictures: leave out to"),
    ],
)
def test_what_is_not_a_code_is_one_line(run, tmp_path, words, said, capsys):
    words = [word.format(pictures=run.parent / "pictures" / "3.png") for word in words]
    assert command_line(["translate", str(run), *words, "--output", str(tmp_path / "out"), "--device=cpu"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_no_picture_is_lost_to_codes(run, tmp_path, capsys):
    """A picture is not replaced by its own code, nor by that of another one, and what exists is kept if asked for."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (16, 16), "red" if folder == "a" else "blue").save(tmp_path / folder / "x.png")
    a, b = (str(tmp_path / folder) for folder in "ab")
    for inputs, output, said in (([a], a, "would replace an original"), ([a, b], f"{a}/codes", "would both become")):
        line = ["translate", str(run), *inputs, "--to", "code", "--output", output, "--device=cpu"]
        assert command_line(line) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    line = ["translate", str(run), a, "--to", "code", "--output", str(tmp_path / "c"), "--device=cpu"]
    assert command_line(line) == 0 and command_line(line) == 2
    before = (tmp_path / "c" / "x.png").read_bytes()
    assert command_line([*line, "--existing", "skip"]) == 0
    assert (tmp_path / "c" / "x.png").read_bytes() == before and "exist in" in capsys.readouterr().out


def test_a_code_of_another_model_is_refused(run, tmp_path, capsys):
    text = PngInfo()
    text.add_text("quagga code range", "-1.0 1.0")
    Image.new("L", (5, 1)).save(tmp_path / "five.png", pnginfo=text)
    line = ["translate", str(run), str(tmp_path / "five.png"), "--to", "picture", "--output", str(tmp_path / "out")]
    assert command_line(line) == 2
    assert "holds 5 numbers, and this model's codes have 16" in capsys.readouterr().err


def test_a_code_outside_of_the_usual_range_keeps_its_own():
    z = np.array([-3.0, 0.5, 5.0], np.float32)
    assert np.abs(Code.of(z).values() - z).max() <= 8 / 255 / 2 + 1e-6
    assert (Code.of(z / 10).low, Code.of(z / 10).high) == (-1.0, 1.0)
    assert np.array_equal(Code.of(np.full(3, 7.0)).values(), np.full(3, 7.0, np.float32))
