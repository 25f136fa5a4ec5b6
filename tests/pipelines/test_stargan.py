"""StarGAN plays Eq. 5 and 6 of Choi et al. 2018, with Eq. 8 as the adversarial loss, and translates as it is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, softplus
from toys import CONDITIONS, Rows

from quagga.cli.main import command_line
from quagga.data.transforms.conditions import Conditions
from quagga.errors import BadInput
from quagga.option_groups import call_flat
from quagga.pipelines import stargan
from quagga.pipelines.core import Adversary
from quagga.pipelines.core.game_protocol import Batch, Draw
from quagga.pipelines.stargan import PAPERS_ADVERSARY, StarGAN, label_loss

KINDS = ("class", "attributes")
SMALL: dict[str, Any] = {"size": 8, "x_channels": 3, "width": 4, "width_discriminator": 4, "blocks": 1}
GAINS = torch.tensor([0.5, -0.25, 0.75], dtype=torch.float64)


class Paint(nn.Module):
    """x, a class -> x times the number of that class."""

    def __init__(self):
        super().__init__()
        self.gains = nn.Parameter(GAINS.clone())

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.gains[c][:, None, None, None] * x


class Judge(nn.Module):
    """D_src is three times the sum of a picture; D_cls three numbers times its first pixel."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
        self.labels = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (self.slope * x.sum((1, 2, 3)))[:, None, None, None], x[:, 0, 0, :1] * self.labels


def game(**options) -> StarGAN:
    return StarGAN(Paint(), Judge(), Conditions("class", CONDITIONS["class"][0]), **options)


def batch_of(count: int = 4, kind: str = "class", dtype: torch.dtype = torch.float64) -> Batch:
    return Rows(size=8, dtype=dtype, condition=kind).batch(0, count)


def draw_of(batch: Batch, purpose: int = 0) -> Draw:
    return Draw(0, batch["row"].tolist(), purpose)


def sums(x: Tensor) -> Tensor:
    return 3 * x.sum((1, 2, 3))


def log_D_cls(x: Tensor, labels: Tensor) -> Tensor:
    logits = x[:, 0, 0, :1] * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    return (logits.exp() / logits.exp().sum(1, keepdim=True)).log()[range(len(x)), labels]


def test_both_objectives_are_the_papers():
    play, batch = game(lambda_cls=2.0, lambda_rec=5.0), batch_of()
    x, own, asked = batch["x"], batch["c"], batch["other"]
    assert (own != asked).any()
    fakes = play.generate(batch, draw_of(batch))
    fake = GAINS[asked][:, None, None, None] * x
    torch.testing.assert_close(fakes["G(x,c)"], fake)
    terms, read = play.discriminator_loss(batch, {"G(x,c)": fake}, draw_of(batch))
    assert set(terms) == {"D", "cls", "D_penalty"} and set(read) == {"D/real", "D/fake"}
    torch.testing.assert_close(terms["D"], sums(fake).mean() - sums(x).mean())  # -L_adv
    torch.testing.assert_close(terms["cls"], -2 * log_D_cls(x, own).mean())  # lambda_cls L_cls^r, Eq. 2
    norm = torch.tensor(3 * (3 * 8 * 8) ** 0.5, dtype=torch.float64)
    torch.testing.assert_close(terms["D_penalty"], 10 * (norm - 1) ** 2)  # Eq. 8
    terms, _ = play.generator_loss(batch, fakes, draw_of(batch))
    assert set(terms) == {"G", "cls", "rec"}
    torch.testing.assert_close(terms["G"], -sums(fake).mean())
    torch.testing.assert_close(terms["cls"], -2 * log_D_cls(fake, asked).mean())  # Eq. 3
    back = GAINS[own][:, None, None, None] * fake
    torch.testing.assert_close(terms["rec"], 5 * (x - back).abs().mean())  # Eq. 4


def test_labels_are_told_apart_by_the_logarithm_of_their_joint_probability():
    logits, labels = torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([[1.0, 0.0], [0.25, 1.0]])
    each = binary_cross_entropy(logits.sigmoid(), labels, reduction="none")
    torch.testing.assert_close(label_loss(logits, labels), each.sum(1).mean())
    classes = torch.tensor([1, 0])
    torch.testing.assert_close(label_loss(logits, classes), -logits.log_softmax(1)[[0, 1], classes].mean())
    assert label_loss(logits.bfloat16(), classes).dtype == label_loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_of_labels_learns_from_real_pictures_alone_and_that_of_the_source_from_both(kind):
    names = CONDITIONS[kind][0]
    play, batch = call_flat(stargan.build, condition=kind, names=names, **SMALL), batch_of(4, kind, torch.float32)

    def gradients(x: Tensor, fake: Tensor) -> list[Tensor]:
        play.D.zero_grad()
        loss = play.discriminator_loss({**batch, "x": x}, {"G(x,c)": fake}, draw_of(batch))
        torch.stack(list(loss.terms.values())).sum().backward()
        found = {name: weight.grad for name, weight in play.D.named_parameters()}
        return [torch.as_tensor(found[f"{head}.weight"]).clone() for head in ("cls", "src")]

    x = batch["x"]
    (cls, src), (cls_other, src_other) = gradients(x, -x), gradients(x, x / 2)
    assert torch.equal(cls, cls_other) and not torch.equal(src, src_other) and cls.abs().max() > 0
    assert not torch.equal(gradients(x / 2, -x)[0], cls)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_for_is_what_g_is_told_and_its_own_label_on_the_way_back(kind):
    play = call_flat(stargan.build, condition=kind, names=CONDITIONS[kind][0], **SMALL)
    batch, told = batch_of(4, kind, torch.float32), []
    play.G.register_forward_hook(lambda _G, given, made: told.append((*given, made)))
    fakes = play.generate(batch, draw_of(batch))
    play.generator_loss(batch, fakes, draw_of(batch))
    (x, asked, fake), (way_back, own, _) = told
    assert torch.equal(x, batch["x"]) and torch.equal(asked, batch["other"])
    assert way_back is fake is fakes["G(x,c)"] and torch.equal(own, batch["c"])


def test_another_objective_takes_the_place_of_the_papers():
    play, batch = game(adversary=Adversary("relativistic", "r1")), batch_of()
    x, fakes = batch["x"], play.generate(batch, draw_of(batch))
    real, fake = sums(x), sums(fakes["G(x,c)"])
    terms, read = play.discriminator_loss(batch, fakes, draw_of(batch))
    torch.testing.assert_close(terms["D"], softplus(fake - real).mean())
    torch.testing.assert_close(terms["D_penalty"], torch.tensor(10 * 9.0 * 3 * 8 * 8, dtype=torch.float64))
    assert "D/accuracy" in read
    torch.testing.assert_close(
        play.generator_loss(batch, fakes, draw_of(batch)).terms["G"], softplus(real - fake).mean()
    )
    plain, _ = game(adversary=Adversary("hinge")).discriminator_loss(batch, fakes, draw_of(batch))
    assert set(plain) == {"D", "cls"}


def test_the_defaults_are_the_papers():
    play = call_flat(stargan.build, names=["a", "b"], size=128, x_channels=3, width=4, width_discriminator=4)
    assert play.adversary == PAPERS_ADVERSARY == Adversary("wasserstein", "gradient_penalty", 10.0)
    assert (play.lambda_cls, play.lambda_rec) == (1.0, 10.0)
    assert stargan.defaults | {"k": 5, "lr": 1e-4, "batch_size": 16, "flip": True} == stargan.defaults
    for size, layers in ((256, 6), (128, 6), (64, 5), (16, 3), (8, 2), (4, 1)):
        play = call_flat(stargan.build, names=["a", "b"], **{**SMALL, "size": size})
        assert sum(isinstance(layer, nn.LeakyReLU) for layer in play.D.modules()) == layers


def test_held_out_pictures_tell_of_the_way_back_the_change_and_the_labels():
    play, batch = game(), batch_of(6)
    x, own, asked = batch["x"], batch["c"], batch["other"]
    fake = GAINS[asked][:, None, None, None] * x
    best = [torch.stack([log_D_cls(shown, torch.full((6,), n)) for n in range(3)]).argmax(0) for shown in (x, fake)]
    read = play.examine(batch, draw_of(batch))
    assert set(read) == {"rec", "change", "D_cls/real", "D_cls/asked"}
    torch.testing.assert_close(read["rec"], (GAINS[own][:, None, None, None] * fake - x).abs().mean())
    torch.testing.assert_close(read["change"], (fake - x).abs().mean())
    assert float(read["D_cls/real"]) == pytest.approx(float((best[0] == own).double().mean()))
    assert float(read["D_cls/asked"]) == pytest.approx(float((best[1] == asked).double().mean()))


def test_each_attribute_counts_in_the_accuracy():
    play = game()
    play.D.forward = lambda x: (x, torch.tensor([[1.0, -1.0], [2.0, 3.0]]))  # pyright: ignore[reportAttributeAccessIssue]
    assert float(play.accuracy(torch.zeros(2, 3, 8, 8), torch.tensor([[1.0, 0.0], [0.0, 0.8]]))) == 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_a_strip_has_a_column_for_each_of_some_labels(kind):
    names = CONDITIONS[kind][0]
    play, batch = call_flat(stargan.build, condition=kind, names=names, **SMALL), batch_of(3, kind, torch.float32)
    [columns] = play.visualize(batch, draw_of(batch)).values()
    assert torch.equal(columns.pop("x"), batch["x"])
    if kind == "class":
        asked = {f"G(x, {name})": torch.tensor(number) for number, name in enumerate(names)}
    else:
        asked = {f"G(x, {play.conditions.describe(c)})": c for c in batch["c"]}
    assert list(columns) == list(asked)
    for name, c in asked.items():
        torch.testing.assert_close(columns[name], play.G(batch["x"], c.expand(3, *c.shape)))
    many = call_flat(stargan.build, names=[str(n) for n in range(40)], **SMALL)
    [columns] = many.visualize(batch | {"c": torch.tensor([30, 1, 2])}, draw_of(batch)).values()
    assert len(columns) == 10


def refusals() -> Iterator[tuple[dict[str, Any], str]]:
    yield {"condition": "caption"}, "say --condition class or --condition attributes"
    yield {"names": None}, "say --names, --size and --x_channels"
    yield {"size": None}, "say --names, --size and --x_channels"
    yield {"names": []}, "name one or more"
    yield {"names": ["a", "a"]}, "stands twice"
    yield {"names": [str(n) for n in range(4096)]}, "4096 labels and 3 channels are too many"
    yield {"size": 1}, "pictures of 1 pixels cannot be halved"
    yield {"layers": 4}, "pictures of 8 pixels cannot be halved 4 times: take fewer layers"
    yield {"size": 128, "width_discriminator": 256}, "end at 8192 channels"
    yield {"width": 0}, "width is 0"
    yield {"blocks": 257}, "blocks is 257"


@pytest.mark.parametrize(("options", "words"), refusals())
def test_what_cannot_be_is_refused_in_one_line(options, words):
    with pytest.raises(BadInput, match=words) as said:
        call_flat(stargan.build, **{"names": ["a", "b"], **SMALL, **options})
    assert "\n" not in str(said.value)


TINY = ["--size=16", "--width=4", "--width_discriminator=4", "--blocks=1", "--images=8", "--batch_size=4", "--k=1"]
TINY += ["--lr=0.01", "--ema_halflife=0", "--workers=0", "--device=cpu"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Sixteen pictures and tables of their classes, attributes and captions; and one of another size."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    (folder / "images").mkdir()
    for n in range(16):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / "images" / f"{n}.png")
    Image.fromarray(rng.integers(0, 256, (21, 34, 3), np.uint8)).save(folder / "photo.png")
    hair = ["black", "blond", "aqua"]
    tables = {
        "class.csv": ["file,label", *(f"{n}.png,{hair[n % 3]}" for n in range(16))],
        "attributes.csv": ["file,smiling,glasses", *(f"{n}.png,{n % 2},{n % 3 // 2}" for n in range(16))],
        "caption.csv": ["file,caption", *(f"{n}.png,{hair[n % 3]} hair" for n in range(16))],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines))
    return folder


def trained(pictures: Path, kind: str, run: Path) -> int:
    table = ["--table", str(pictures / f"{kind}.csv"), "--condition", kind, "--pictures", str(pictures / "images")]
    return command_line(["train", "stargan", *table, f"--output={run}", *TINY])


@pytest.mark.parametrize(
    ("kind", "asked", "wrong"),
    [
        ("class", ("--label=blond", "--label=aqua"), ("--label=blonde", "unknown class 'blonde': did you mean blond?")),
        (
            "attributes",
            ("--attributes=smiling", "--attributes=glasses"),
            ("--attributes=smilling", "unknown attribute 'smilling': did you mean smiling?"),
        ),
    ],
)
def test_a_photo_of_any_size_is_translated_as_asked(kind, asked, wrong, pictures, tmp_path, capsys):
    assert trained(pictures, kind, tmp_path / "run") == 0
    made = []
    for number, option in enumerate(asked):
        output = tmp_path / str(number)
        words = ["translate", str(tmp_path / "run"), str(pictures / "photo.png"), option, "--device=cpu"]
        assert command_line([*words, f"--output={output}"]) == 0
        made.append(np.asarray(Image.open(output / "photo.png")).astype(int))
        assert made[-1].shape == (21, 34, 3)
    assert abs(made[0] - made[1]).max() > 0  # not what is asked, but that it matters
    capsys.readouterr()
    option, words = wrong
    refused = ["translate", str(tmp_path / "run"), str(pictures / "photo.png"), f"--output={tmp_path / 'no'}"]
    assert command_line([*refused, option, "--device=cpu"]) == 2 and words in capsys.readouterr().err
    assert command_line([*refused, "--device=cpu"]) == 2
    assert f"--{asked[0].split('=')[0].strip('-')}" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_captions_are_refused_before_the_first_step(pictures, tmp_path, capsys):
    assert trained(pictures, "caption", tmp_path / "run") == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("quagga: error: ")]
    assert "say --condition class or --condition attributes" in line and not (tmp_path / "run").exists()
