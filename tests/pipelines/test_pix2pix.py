"""pix2pix plays the paper's objective, Eq. 4, and translates as it trains."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import softplus
from toys import Rows, distance, played, trainer_of, weights

import quagga
from quagga.cli.main import command_line
from quagga.cli.translate import check_side_by_side
from quagga.data.io.tensors import to_uint8
from quagga.data.paired import Paired
from quagga.data.transforms.derived_inputs import derive_input
from quagga.errors import BadInput
from quagga.models.network_mode import Mode
from quagga.models.pretrained import perceptual
from quagga.option_groups import call_flat
from quagga.pipelines import pix2pix
from quagga.pipelines.core import Adversary, PerceptualLoss
from quagga.pipelines.core.diffaugment import augment_pairs
from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.pix2pix import Pix2Pix

TINY = [
    *("--load_size=16", "--crop_size=16", "--width=4", "--width_discriminator=4", "--layers=1", "--workers=0"),
    *("--device=cpu", "--images=8", "--log_every=4", "--sample_every=8", "--flip=false", "--fit=squash"),
    "--blocks=5",  # the first U-Net that drops anything: its fourth layer has 8 times the width
    "--lr=0.01",  # so that its inner layers have something to say after 8 pictures
]


class Times(nn.Module):
    """A network that multiplies by one number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, x):
        return self.factor * x


class Weighed(nn.Module):
    """A discriminator: a weight for each channel of x and y, summed."""

    def __init__(self, channels: int = 6):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-0.4, 0.9, channels, dtype=torch.float64))

    def forward(self, pair):
        return (pair * self.w[: pair.shape[1], None, None]).sum(1, keepdim=True)


def game(**options) -> Pix2Pix:
    return Pix2Pix(G=Times(0.5), D=Weighed(), **options)


def D(x, y):
    w = torch.linspace(-0.4, 0.9, 6, dtype=torch.float64)[:, None, None]
    return (torch.cat([x, y], 1) * w).sum(1)


DRAW = Draw(0, [0, 1])


# -- the objective ----------------------------------------------------------------------------------------------------


def test_the_generators_objective_is_the_papers():
    play, batch = game(), next(Rows(2).batches(0))
    x, y = batch["x"], batch["y"]
    terms, _ = play.generator_loss(batch, play.generate(batch, DRAW), DRAW)
    expected = {"G": softplus(-D(x, 0.5 * x)).mean(), "L1": 100 * (y - 0.5 * x).abs().mean()}
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value), rel=1e-12), name


def test_the_discriminators_objective_is_halved_and_sees_the_condition():
    play, batch = game(), next(Rows(2).batches(0))
    x, y = batch["x"], batch["y"]
    terms, read = play.discriminator_loss(batch, {"G(x)": 0.5 * x}, DRAW)
    real, fake = D(x, y), D(x, 0.5 * x)
    expected = (softplus(-real).mean() + softplus(fake).mean()) / 2  # -E log D(x, y) - E log(1 - D(x, G(x))), halved
    assert float(terms["D"].detach()) == pytest.approx(float(expected), rel=1e-12)
    assert float(read["D/real"]) == pytest.approx(float(D(x, y).mean()))
    assert float(read["D/fake"]) == pytest.approx(float(D(x, 0.5 * x).mean()))
    assert set(terms) == {"D"}


@pytest.mark.parametrize("name", ["patch", "pixel"])
def test_another_condition_is_another_verdict(name):
    torch.manual_seed(0)
    play = call_flat(
        pix2pix.build, width=4, blocks=3, width_discriminator=4, layers=1, discriminator=name, crop_size=16
    )
    x, y = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    assert (play.D(play.input_of_D(x, y)) - play.D(play.input_of_D(-x, y))).abs().max() > 1e-4


def test_another_condition_is_another_penalty():
    play = Pix2Pix(
        G=Times(0.5), D=nn.Sequential(Weighed(), nn.Tanh()), adversary=Adversary(penalty="r1", lambda_penalty=2.0)
    )
    batch = next(Rows(2).batches(0))
    fakes = {"G(x)": 0.5 * batch["x"]}
    terms, _ = play.discriminator_loss(batch, fakes, DRAW)
    other, _ = play.discriminator_loss({**batch, "x": -batch["x"]}, fakes, DRAW)
    value, another = float(terms["D_penalty"].detach()), float(other["D_penalty"].detach())
    assert value != pytest.approx(another, rel=1e-3)
    w = torch.linspace(-0.4, 0.9, 6, dtype=torch.float64)[3:]
    slope = (1 - torch.tanh(D(batch["x"], batch["y"])) ** 2) / 16**2  # of the mean of the patches
    expected = 2 * (slope.square().sum((1, 2)) * w.square().sum()).mean()  # with regard to y alone
    assert value == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("options", [{"lambda_gan": 0.0}, {"lambda_L1": 0.0}])
def test_no_weight_no_pass(options):
    play, batch = game(**options), next(Rows(2).batches(0))
    terms = play.generator_loss(batch, play.generate(batch, DRAW), DRAW).terms
    assert set(terms) == ({"L1"} if "lambda_gan" in options else {"G"})
    assert bool(play.discriminators) == ("lambda_gan" not in options)


def test_a_discriminator_may_be_blind_to_the_condition():
    small: dict[str, Any] = {"crop_size": 16, "width": 4, "blocks": 2, "width_discriminator": 4, "layers": 1}
    play, sees = (call_flat(pix2pix.build, conditional_discriminator=blind, **small) for blind in (False, True))
    batch = next(Rows(2, dtype=torch.float32).batches(0))
    other = {**batch, "x": batch["x"].flip(0)}
    fakes = {"G(x)": batch["y"] / 2}
    losses = [game.discriminator_loss(b, fakes, DRAW).terms["D"] for game in (play, sees) for b in (batch, other)]
    assert losses[0] == losses[1] and losses[2] != losses[3]
    played(play, dtype=torch.float32, images=2)


def test_without_an_adversary_it_is_a_regression():
    """G = a x against y = -x: the best a is -1."""

    class Negatives(Rows):
        def row(self, n):
            row = super().row(n)
            return {**row, "y": -row["x"]}

    play = Pix2Pix(G=Times(0.5), D=Weighed(), lambda_gan=0.0, lambda_L1=1.0)
    trainer = trainer_of(play, images=400, lr=0.02)
    for _ in trainer.play(Negatives(1).batches(trainer.row)):
        pass
    assert float(weights(play)["G.factor"]) == pytest.approx(-1, abs=0.05)


def test_the_idle_side_does_not_move():
    for idle, side in (("lr", "G"), ("lr_discriminator", "D")):
        play = game()
        before = weights(play)
        played(play, **{"lr": 0.1, "lr_discriminator": 0.1, "images": 4, idle: 0.0})
        moved = {name for name, value in weights(play).items() if not torch.equal(value, before[name])}
        assert moved and all(not name.startswith(f"{side}.") for name in moved)


def test_a_batch_is_its_micro_batches():
    """Without batch normalisation, which mixes the rows by nature, and dropout, which begins from the first row."""

    def after(**schedule) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        sizes: dict[str, Any] = {"width": 2, "blocks": 2, "width_discriminator": 2, "layers": 1, "crop_size": 16}
        play = call_flat(pix2pix.build, norm="instance", dropout=0, **sizes)
        for network in (play.G, play.D):
            network.double()
        played(play, images=8, lr=0.01, **schedule)
        return weights(play)

    assert distance(after(batch_size=4), after(batch_size=1, accumulation=4)) < 1e-12


def test_augmentation_of_what_D_sees_keeps_pairs_aligned():
    x = next(Rows(2).batches(0))["x"]
    seen_x, seen_y, seen_fake = augment_pairs(["translation", "cutout", "color"], x, x, x, DRAW)
    assert torch.equal((seen_y == 0), (seen_x == 0)) and torch.equal((seen_fake == 0), (seen_x == 0))
    assert not torch.equal(seen_x, x) and not torch.equal(seen_y, seen_x)  # the colours of y alone
    moved = augment_pairs(["translation"], x, x, x, DRAW)
    assert torch.equal(moved[0], moved[1]) and torch.equal(moved[0], moved[2])
    play, seen = game(adversary=Adversary(diffaugment=["translation"])), []
    play.D.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    play.discriminator_loss({"x": x, "y": x}, {"G(x)": x}, DRAW)
    play.generator_loss({"x": x, "y": x}, {"G(x)": x}, DRAW)
    for pairs in seen:  # what D sees of both moves
        assert torch.equal(*pairs.split(3, dim=1)) and not torch.equal(pairs[-2:, :3], x)


def test_the_defaults_are_the_papers():
    with torch.device("meta"):
        play, small = call_flat(pix2pix.build), call_flat(pix2pix.build, crop_size=128)
    millions = {name: sum(p.numel() for p in n.parameters()) / 1e6 for name, n in (("G", play.G), ("D", play.D))}
    assert millions == pytest.approx({"G": 54.414, "D": 2.769}, abs=1e-3)
    assert (play.lambda_L1, play.adversary.objective, play.mode) == (100, "non_saturating", Mode(True, "batch"))
    assert (play.G.depth, small.G.depth) == (8, 7)
    assert sum(isinstance(layer, nn.Dropout) and layer.p == 0.5 for layer in play.G.modules()) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width is 0"),
        ({"blocks": 13}, "blocks is 13"),
        ({"x_channels": 10**6}, "x_channels"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"lambda_gan": 0, "lambda_L1": 0}, "nothing to learn from"),
        ({"lambda_perceptual": 1.0, "y_channels": 4}, "VGG-16"),
    ],
)
def test_what_cannot_be_built_is_said(options, words):
    with pytest.raises(BadInput, match=words):
        call_flat(pix2pix.build, **options)


def test_under_a_penalty_D_does_not_mix_its_rows():
    with pytest.warns(UserWarning, match="instance norm"), torch.device("meta"):
        play = call_flat(pix2pix.build, penalty="r1")
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in play.D.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in play.G.modules())


# -- what is looked at ------------------------------------------------------------------------------------------------


class Together(nn.Module):
    """A discriminator that sees which x stands beside which y: the mean of their products."""

    def forward(self, pair):
        x, y = pair.chunk(2, dim=1)
        return (x * y).mean(1, keepdim=True)


def test_what_is_examined_is_what_it_says():
    play, batch = game(), next(Rows(2).batches(0))
    play.D = Together()
    x, y = batch["x"], batch["y"]
    read = {name: float(value.detach()) for name, value in play.examine(batch, DRAW).items()}
    error = (0.5 * x - y).square().mean()
    expected = {
        "L1": (0.5 * x - y).abs().mean(),
        "PSNR": 10 * torch.log10(4 / error),
        "D/matching": (x * y).mean(),
        "D/generated": (x * 0.5 * x).mean(),
        "D/mismatching": (x * y[[1, 0]]).mean(),
    }
    assert read == pytest.approx({name: float(value) for name, value in expected.items()})
    alone = {name: value[:1] for name, value in batch.items()}
    assert "D/mismatching" not in play.examine(alone, DRAW)
    assert set(game(lambda_gan=0.0).examine(batch, DRAW)) == {"L1", "PSNR"}


def test_strips_show_label_maps_in_colours():
    play = Pix2Pix(G=Times(0.5), D=Weighed(), labels=True)
    planes = torch.full((1, 5, 2, 2), -1.0)
    planes[0, torch.tensor([0, 1, 2, 4]), [0, 0, 1, 1], [0, 1, 0, 1]] = 1
    [strip] = play.visualize({"x": planes, "y": planes}, DRAW).values()
    colours = strip["x"].flatten(2)[0].T
    assert colours.shape == (4, 3) and torch.cdist(colours, colours).fill_diagonal_(9).min() > 0.3
    assert list(strip) == ["x", "G(x)", "y"]


# -- the perceptual loss ----------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """torch's hub folder, with VGG's layers as far as they are needed, drawn by chance."""
    torch.manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
    state = {}
    for place, (out, into) in shapes.items():
        state[f"features.{place}.weight"] = torch.randn(out, into, 3, 3) * (2 / (9 * into)) ** 0.5
        state[f"features.{place}.bias"] = torch.randn(out) * 0.1
    state["classifier.0.weight"] = torch.zeros(2, 2)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / perceptual.WEIGHTS_FILE)
    return tmp_path / "checkpoints" / perceptual.WEIGHTS_FILE


def test_the_perceptual_loss_is_its_formula(hub):
    loss = perceptual.Perceptual()
    a, b = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    expected = []
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    state = torch.load(hub, weights_only=True)
    maps = [((x + 1) / 2 - mean[:, None, None]) / deviation[:, None, None] for x in (a, b)]
    for block in ((0, 2), (5, 7), (10, 12, 14)):
        for place in block:
            w, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
            maps = [torch.relu(nn.functional.conv2d(x, w, bias, padding=1)) for x in maps]
        expected.append((maps[0] - maps[1]).abs().mean())
        maps = [nn.functional.max_pool2d(x, 2) for x in maps]
    # relu3_3 is after the third block's three layers, relu1_2 and relu2_2 after two
    assert float(loss(a, b)) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    assert float(loss(a, a)) == 0
    grey = torch.rand(1, 1, 16, 16)
    three = grey.expand(-1, 3, -1, -1)
    assert float(loss(grey, -grey)) == pytest.approx(float(loss(three, -three)))


def test_what_it_scales_by_is_made_once(hub, monkeypatch):
    loss, a = perceptual.Perceptual(), torch.rand(1, 3, 16, 16)
    loss(a, -a)
    assert loss.scale is not None and loss.scale[0].dtype == torch.float32
    monkeypatch.setattr(torch.Tensor, "new_tensor", None)
    loss(a, -a)  # else on a GPU each step would wait for it
    monkeypatch.undo()
    loss.features = loss.features.double()  # pyright: ignore[reportOptionalMemberAccess]
    assert loss(a.double(), -a.double()).dtype == torch.float64 and loss.scale[0].dtype == torch.float64


def test_its_weights_do_not_learn_and_its_gradient_reaches_G(hub):
    play = Pix2Pix(G=Times(0.5), D=Weighed(), lambda_gan=0.0, lambda_L1=0.0, perceptual=PerceptualLoss(1.0))
    play.G.float()
    batch = {name: torch.rand(1, 3, 16, 16) for name in "xy"}
    terms = play.generator_loss(batch, play.generate(batch, DRAW), DRAW).terms
    terms["perceptual"].backward()
    [gradient] = [p.grad for p in play.G.parameters()]
    assert gradient is not None and gradient.abs() > 0
    assert not any(p.requires_grad for p in play.perceptual.distance.parameters())


def test_weights_that_are_not_there_or_not_VGGs_are_named(hub):
    a = torch.rand(1, 3, 16, 16)
    torch.save({"features.0.weight": torch.zeros(1)}, hub)
    with pytest.raises(BadInput, match="holds no weights of VGG-16"):
        perceptual.Perceptual()(a, a)
    hub.unlink()
    with pytest.raises(BadInput, match=perceptual.WEIGHTS_FILE):
        perceptual.Perceptual()(a, a)


# -- from pictures to pictures ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Label maps of colours beside photos, and a test."""
    folder = tmp_path_factory.mktemp("set") / "maps2photos"
    rng = np.random.default_rng(0)
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 0, 255], [90, 90, 0]], np.uint8)
    for part, count in (("train", 8), ("test", 3)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            places = rng.integers(0, 4, (4, 4)).repeat(4, 0).repeat(4, 1)
            photo = (places * 60 + rng.integers(0, 20, (16, 16))).astype(np.uint8)[..., None].repeat(3, 2)
            Image.fromarray(np.concatenate([colours[places], photo], 1)).save(folder / part / f"{number}.png")
    return folder


def trained(root: Path, output: Path, *more: str) -> Path:
    assert command_line(["train", "pix2pix", f"--root={root}", f"--output={output}", *TINY, *more]) == 0
    return output


@pytest.fixture(scope="module", params=["picture", "labels", "edges", "grey"])
def run(request, root, tmp_path_factory) -> tuple[Path, str]:
    return trained(root, tmp_path_factory.mktemp("run") / "r", f"--x_as={request.param}"), request.param


def halves(root: Path, folder: Path) -> tuple[Path, Path]:
    """The test's two sides as folders of their own."""
    for path in sorted((root / "test").iterdir()):
        pixels = np.asarray(Image.open(path))
        for name, part in (("x", pixels[:, :16]), ("y", pixels[:, 16:])):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(part).save(folder / name / path.name)
    return folder / "x", folder / "y"


def test_what_training_shows_is_what_translate_gives(run, root, tmp_path):
    """The strips are of held-out pairs; the same files are translated by the command line."""
    folder, kind = run
    options = {"root": str(root), "x_as": kind, "load_size": 16, "crop_size": 16, "fit": "squash", "workers": 0}
    rows = Paired(**options)
    batch = rows.held_out(3)
    x, y = halves(root, tmp_path)
    from_photo = ["--from_photo"] if kind == "edges" else []
    source = y if kind in ("edges", "grey") else x
    words = ["translate", str(folder), str(source), f"--output={tmp_path / 'out'}", "--device=cpu", *from_photo]
    assert command_line(words) == 0
    translator = quagga.load(folder, device="cpu")
    play = call_flat(pix2pix.build, **quagga.inference.model_files.model_folder.read_model(folder).options)
    play.G.load_state_dict(translator.network.state_dict())
    play.G.eval()
    with torch.no_grad():
        [strip] = play.visualize(batch, DRAW).values()
    for number, shown in enumerate(to_uint8(strip["G(x)"])):
        made = np.asarray(Image.open(tmp_path / "out" / f"{number}.png"))
        assert (made == shown).all()


def test_of_pairs_side_by_side_a_half_is_translated(root, tmp_path, capsys):
    run = trained(root, tmp_path / "run", "--side=right")
    photos = halves(root, tmp_path)[1]
    for name, source, more in (
        ("half", root / "test", ["--side=right"]),
        ("own", photos, []),
        ("all", root / "test", ["--side=whole"]),
    ):
        words = ["translate", str(run), str(source), f"--output={tmp_path / name}", "--device=cpu"]
        assert command_line([*words, *more]) == 0
    assert command_line(["translate", str(run), str(root / "test"), f"--output={tmp_path / 'none'}"]) == 2
    said = capsys.readouterr().err
    assert "3 of 3 pictures have the shape of the pairs" in said and "--side right" in said and "--side whole" in said
    assert not (tmp_path / "none").exists()
    words = [str(root / "test"), "--side=left", f"--output={tmp_path / 'wrong'}", "--device=cpu"]
    assert command_line(["translate", str(run), *words]) == 0
    assert "was the right half, not the left one" in capsys.readouterr().out
    for path in (tmp_path / "own").glob("[!.]*"):
        assert (np.asarray(Image.open(path)) == np.asarray(Image.open(tmp_path / "half" / path.name))).all()
        assert Image.open(tmp_path / "all" / path.name).width == 32


@pytest.mark.parametrize(
    ("pair", "sizes", "refused"),
    [
        ([512, 256], [(512, 256)], True),
        ([512, 256], [(512, 256), (600, 300), (256, 256)], True),  # most
        ([512, 256], [(512, 256), (256, 256)], False),  # some photos are twice as wide as high by themselves
        ([512, 256], [(256, 256), (640, 480), (480, 640), (256, 512)], False),
        ([1280, 480], [(1280, 480)], True),  # halves of 640 x 480
        ([1280, 480], [(640, 480), (400, 200)], False),
        ([1024, 256], [(512, 256)], False),  # halves that are twice as wide as high
        (None, [(512, 256)], True),  # a model of an older Quagga
        (None, [(640, 480)], False),
        ([0, "a"], [(512, 256)], True),  # of a stranger
    ],
)
def test_pairs_are_not_taken_for_pictures_nor_pictures_for_pairs(pair, sizes, refused, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        Image.new("RGB", size).save(path)
    said = {"side": "left"} | ({"pair_size": pair} if pair else {})
    with pytest.raises(BadInput, match="--side left") if refused else contextlib.nullcontext():
        check_side_by_side(paths, said)
    check_side_by_side(paths, {})  # of two folders
    check_side_by_side([*paths, tmp_path / "gone.png", tmp_path / "also.png", tmp_path / "and.png"], said)


def test_a_run_verifies_in_every_mode(run, capsys):
    folder, _ = run
    assert command_line(["verify", str(folder), "--device=cpu"]) == 0
    assert "deviates by 0 of 2" in capsys.readouterr().out
    for dropout in (None, True, False):
        for statistics in (None, "batch", "running"):
            translator = quagga.load(folder, device="cpu", dropout=dropout, statistics=statistics, seed=3)
            assert translator.verify() == 0
            assert translator.predictor.mode == Mode(dropout is not False, statistics or "batch", 3)


def test_the_switches_of_translate_reach_the_network(run, root, tmp_path):
    folder, kind = run
    x, y = halves(root, tmp_path)
    source = y if kind == "grey" else x
    if kind == "edges":
        source = tmp_path / "sketch"
        source.mkdir()
        for path in y.iterdir():
            Image.fromarray(derive_input(np.asarray(Image.open(path)), "edges")[..., 0]).save(source / path.name)
    said: dict[str, bytes] = {}
    for words in ("", "--dropout=false", "--statistics=running", "--seed=1", "--dropout=true --statistics=batch"):
        out = tmp_path / f"out{words}"
        more = words.split()
        assert command_line(["translate", str(folder), str(source), f"--output={out}", "--device=cpu", *more]) == 0
        said[words] = b"".join(np.asarray(Image.open(path)).tobytes() for path in sorted(out.glob("[!.]*")))
    assert said[""] == said.pop("--dropout=true --statistics=batch")
    assert len(set(said.values())) == 4
    if kind == "edges":  # a sketch of its own is what the photo's edges would have been
        out = tmp_path / "photos"
        words = ["translate", str(folder), str(y), f"--output={out}", "--device=cpu", "--from_photo=true"]
        assert command_line(words) == 0
        made = b"".join(np.asarray(Image.open(path)).tobytes() for path in sorted(out.glob("[!.]*")))
        assert made == said[""]


def test_label_maps_of_any_kind_of_object(root, tmp_path):
    folder = trained(root, tmp_path / "r", "--x_as=labels")
    x, _ = halves(root, tmp_path)
    image = Image.open(x / "0.png")
    translator = quagga.load(folder, device="cpu")
    made = np.asarray(translator(image))
    assert made.shape == (16, 16, 3)
    assert (translator(np.asarray(image)) == made).all()
    assert (np.asarray(translator(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=4))) == made).all()
    planes = Paired(root=str(root), x_as="labels", load_size=16, crop_size=16, fit="squash", workers=0).held_out(1)["x"]
    assert (to_uint8(translator(planes)[0]) == made).all()
    large = image.resize((160, 96), Image.Resampling.NEAREST)
    assert translator(large).size == (160, 96)  # brought to the scale of training label by label
    strange = np.asarray(image).copy()
    strange[0, 0] = 77
    with pytest.raises(BadInput, match="77, 77, 77"):
        translator(strange)
    Image.fromarray(strange).save(tmp_path / "strange.png")
    assert command_line(["translate", str(folder), str(tmp_path / "strange.png"), f"--output={tmp_path / 'o'}"]) == 2


def test_a_photo_that_a_model_of_edges_is_given_is_told(root, tmp_path, capsys):
    run = trained(root, tmp_path / "run", "--x_as=edges")
    sketch = np.full((16, 16), 255, np.uint8)
    sketch[4:6] = 0
    Image.fromarray(sketch).save(tmp_path / "sketch.png")
    Image.fromarray(np.full((16, 16, 3), 120, np.uint8)).save(tmp_path / "photo.png")
    for name, more, told in (("sketch", "", False), ("photo", "", True), ("photo", "--from_photo", False)):
        words = [f"--output={tmp_path / 'out'}", "--device=cpu", "--overwrite", *more.split()]
        assert command_line(["translate", str(run), str(tmp_path / f"{name}.png"), *words]) == 0
        assert ("1 of 1 are no drawings" in capsys.readouterr().out) == told


def test_from_photo_is_for_edges(root, tmp_path):
    folder = trained(root, tmp_path / "r")
    with pytest.raises(BadInput, match="from_photo"):
        quagga.load(folder, from_photo=True)
    with pytest.raises(BadInput, match="seed"):
        quagga.load(folder, seed=-1)


def test_large_pictures_in_strips_are_as_whole(root, tmp_path):
    folder = trained(root, tmp_path / "r")
    x = torch.rand(1, 3, 90, 70, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, cut = (quagga.load(folder, device="cpu", resolution="full", tile=tile)(x) for tile in (None, 32))
    assert (whole - cut).abs().max() < 1e-4


def test_a_resnet_at_any_size(root, tmp_path):
    folder = trained(root, tmp_path / "r", "--generator=resnet", "--blocks=1", "--norm=instance", "--side=right")
    made = quagga.load(folder, device="cpu", resolution="full")(Image.new("RGB", (37, 21)))
    assert made.size == (37, 21)


def test_the_config_knows_what_the_data_knows(run):
    folder, kind = run
    channels = {"picture": 3, "labels": 4, "edges": 1, "grey": 1}[kind]
    assert f"x_channels: {channels}" in (folder / "config.yaml").read_text()
