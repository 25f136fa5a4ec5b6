"""Small games and rows for the laws."""

from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from quagga.fields import code, mask, picture
from quagga.models import Composed, ConvClassifier, ConvGenerator, PatchGAN, ResnetGenerator
from quagga.models.description.export import Export
from quagga.models.pretrained.frozen import Frozen
from quagga.pipelines.core.game_protocol import Batch, Draw, Images, Loss, Terms
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule


class Number(nn.Module):
    """A player who is one number."""

    def __init__(self, value: float = 0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))


class Quadratic:
    """min over x, max over y of f(x, y) = x^2 + 2xy - 3y^2 + 4x + 5y + 6, whose saddle is (-17/8, 1/8)."""

    fresh_noise = False
    memory: dict = {}  # noqa: RUF012

    def __init__(self, swapped: bool = False):
        self.x, self.y = Number(1.0), Number(1.0)
        x, y = {"x": self.x}, {"y": self.y}
        self.generators, self.discriminators = (y, x) if swapped else (x, y)

    def f(self) -> Tensor:
        x, y = self.x.value, self.y.value
        return x**2 + 2 * x * y - 3 * y**2 + 4 * x + 5 * y + 6

    def generate(self, batch: Batch, draw: Draw) -> Images:
        return {}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"-f": -self.f()})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"f": self.f()})

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        return {}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        return {}


class Grown(nn.Module):
    """Two convolutions, of which the second is faded in: (1 - alpha) first(x) + alpha second(x)."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor, alpha: float) -> Tensor:
        return torch.tanh((1 - alpha) * self.first(x) + alpha * self.second(x))


class Growing:
    """A game that depends on how far it is: in its second phase G's second layer is faded in, as progressive growing
    does (Karras et al. 2018, Sec. 2)."""

    fresh_noise = False
    memory: dict = {}  # noqa: RUF012

    def __init__(self):
        self.G, self.D = Grown(), nn.Conv2d(3, 1, 3)
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}

    def fake(self, batch: Batch, draw: Draw) -> Tensor:
        phase, share = draw.progress
        return self.G(batch["x"], share if phase else 0.0)

    def generate(self, batch: Batch, draw: Draw) -> Images:
        return {"G(x)": self.fake(batch, draw)}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"D": (self.D(batch["y"]) - 1).square().mean() + self.D(fakes["G(x)"]).square().mean()})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"G": (self.D(fakes["G(x)"]) - 1).square().mean()})

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        return {"x": {"x": batch["x"], "G(x)": self.fake(batch, draw)}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        return {"alpha": torch.tensor(draw.progress.share), "mean": self.fake(batch, draw).mean()}

    def check_size(self, size: int) -> None:
        """Any will do."""


class Autoencoder:
    """min over E and G of E |G(E(x)) - x|: a game with one side, of which three functions are of use afterwards."""

    fresh_noise = False
    memory: dict = {}  # noqa: RUF012
    discriminators: dict = {}  # noqa: RUF012

    def __init__(self, norm: Literal["batch", "none"] = "batch", dropout: float = 0.3):
        self.E = ConvClassifier(3, 5, width=4, norm=norm, dropout=dropout)
        self.G = ConvGenerator(16, 3, z_size=5, width=4, norm=norm)
        self.generators = {"E": self.E, "G": self.G}
        x, z = picture("x"), code("z", 5)
        self.exports = {
            "E": Export(self.E, inputs=(x,), output=z),
            "G": Export(self.G, inputs=(z,), output=x),
            "R": Export(Composed([self.E, self.G]), inputs=(x,), output=x),
        }

    def generate(self, batch: Batch, draw: Draw) -> Images:
        return {"G(E(x))": self.G(self.E(batch["x"]))}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"L1": (fakes["G(E(x))"] - batch["x"]).abs().mean()})

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        return {"x": {"x": batch["x"], **self.generate(batch, draw)}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        return self.generator_loss(batch, self.generate(batch, draw), draw).terms


class Filled(nn.Module):
    """x where m is 1, and what G makes of that elsewhere (Pathak et al. 2016, "Context Encoders")."""

    def __init__(self, G: nn.Module):
        super().__init__()
        self.G = G

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        return m * x + (1 - m) * self.G(torch.cat([m * x, m], dim=1))


class Inpainting:
    """G fills what a mask m, (N, 1, H, W), hides; D tells filled pictures from whole ones."""

    fresh_noise = False
    memory: dict = {}  # noqa: RUF012

    def __init__(self):
        self.G, self.D = ResnetGenerator(4, 3, width=4, blocks=1, norm="none"), PatchGAN(3, 4, 1, "none")
        self.fill = Filled(self.G)
        self.generators, self.discriminators = {"G": self.G}, {"D": self.D}
        x = picture("x")
        self.exports = {"G": Export(self.fill, inputs=(x, mask("m")), output=x)}

    def generate(self, batch: Batch, draw: Draw) -> Images:
        x = batch["x"]
        columns = torch.arange(x.shape[3], device=x.device) / x.shape[3]
        m = (columns < draw.uniform((1, 1, 1), like=x)).to(x).expand(-1, 1, x.shape[2], -1)  # the right part is hidden
        return {"m": m, "filled": self.fill(x, m)}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"D": (self.D(batch["x"]) - 1).square().mean() + self.D(fakes["filled"]).square().mean()})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        return Loss({"G": (self.D(fakes["filled"]) - 1).square().mean(), "L1": self.error(batch, fakes)})

    @staticmethod
    def error(batch: Batch, fakes: Images) -> Tensor:
        return (fakes["filled"] - batch["x"]).abs().mean()

    def visualize(self, batch: Batch, draw: Draw) -> dict[str, Images]:
        fakes = self.generate(batch, draw)
        return {"x": {"x": batch["x"], "m x": fakes["m"] * batch["x"], "filled": fakes["filled"]}}

    def examine(self, batch: Batch, draw: Draw) -> Terms:
        return {"L1": self.error(batch, self.generate(batch, draw))}


CONDITIONS = {  # kind -> names, and the condition of a row
    "class": (["horse", "quagga", "zebra"], lambda rng: torch.tensor(rng.integers(3))),
    "attributes": (["striped", "grazing"], lambda rng: torch.from_numpy(rng.integers(0, 2, 2))),
    "caption": (["a", "zebra", "by", "night"], lambda rng: torch.from_numpy(rng.integers(1, 6, 4))),
}


class Rows:
    """Rows of random pictures, {"x": (N, channels, size, size), "y": ..., "c" and "other": conditions, "paired":
    whether x and y belong together, as every `paired_every`-th do, "m": where x is known, "row": (N,)}: row n is a
    function of n."""

    def __init__(
        self,
        batch_size: int = 1,
        size: int = 16,
        dtype: torch.dtype = torch.float64,
        place: tuple[int, int] = (0, 1),
        condition: str | None = None,
        channels: int = 3,
        paired_every: int | None = None,
        masked: bool = False,
    ):
        self.batch_size, self.size, self.dtype, (self.process, self.processes) = batch_size, size, dtype, place
        self.condition, self.channels, self.paired_every, self.masked = condition, channels, paired_every, masked

    def row(self, n: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(n)
        x, y = torch.from_numpy(rng.uniform(-1, 1, (2, self.channels, self.size, self.size))).to(self.dtype)
        row = {"x": x, "y": y, "row": torch.tensor(n)}
        if self.paired_every:
            row["paired"] = torch.tensor(n % self.paired_every == 0)
        if self.masked:
            m = rng.random((1, self.size // 4, self.size // 4)) < 0.7  # holes of 4 x 4 pixels
            row["m"] = torch.from_numpy(m.repeat(4, 1).repeat(4, 2)).float()
        if self.condition:
            for name in ("c", "other"):
                c = CONDITIONS[self.condition][1](rng)
                row[name] = c.to(self.dtype) if self.condition == "attributes" else c
        return row

    def batch(self, start: int, count: int) -> Batch:
        rows = [self.row(n) for n in range(start, start + count)]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def of_phase(self, trainer: Trainer) -> "Rows":
        """The rows of the phase in which the trainer's next step is."""
        phase = trainer.phase_at(trainer.row)
        rows = copy(self)
        rows.batch_size, rows.size = phase.batch_size, phase.size or self.size
        return rows

    def batches(self, from_row: int) -> Iterator[Batch]:
        start = from_row + self.process * self.batch_size
        while True:
            yield self.batch(start, self.batch_size)
            start += self.batch_size * self.processes


def trainer_of(game, **schedule) -> Trainer:
    """A trainer on the CPU for so many `images`."""
    settings = {"images": 4, "optimizer": "sgd", "decay": 0.0, **schedule}
    return Trainer(game, Schedule(**settings), settings["images"], Accelerator(cpu=True))


def steps_of(trainer: Trainer, rows: Rows) -> Iterator[int]:
    """Takes the steps of all phases; yields the images seen."""
    while trainer.images_seen < trainer.length:
        yield from trainer.play(rows.of_phase(trainer).batches(trainer.row))


def played(game, size: int = 16, dtype: torch.dtype = torch.float64, **schedule) -> Trainer:
    """The trainer after its whole schedule on random pictures."""
    trainer = trainer_of(game, **schedule)
    for _ in steps_of(trainer, Rows(size=size, dtype=dtype)):
        pass
    return trainer


def weights(game) -> dict[str, Tensor]:
    networks = {**game.generators, **game.discriminators}
    return {
        f"{name}.{key}": p.detach().clone()
        for name, network in networks.items()
        for key, p in network.named_parameters()
    }


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).detach().abs().max()) for key in a)


class TinyFeatures(nn.Module):
    """Pictures (N, 3, H, W) -> four maps, as `EfficientNetLite` gives them, of 2 random channels each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 if place == 0 else 2, 2, 3, 2, padding=1) for place in range(5))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for layer in self.layers:
            x = torch.tanh(layer(x))
            maps.append(x)
        return maps[1:]


@cache
def tiny_features(name: str = "tiny") -> Frozen:
    """In the place of `named_features`, which takes long in float64."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(7)
        return Frozen(TinyFeatures(), [2] * 4, name, "07" * 32)
