"""Small games and rows for the laws."""

from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from quagga.pipelines.minimax import Batch, Draw, Images, Loss, Terms, Trainer
from quagga.pipelines.schedule import Schedule


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


CONDITIONS = {  # kind -> names, and the condition of a row
    "class": (["horse", "quagga", "zebra"], lambda rng: torch.tensor(rng.integers(3))),
    "attributes": (["striped", "grazing"], lambda rng: torch.from_numpy(rng.integers(0, 2, 2))),
    "caption": (["a", "zebra", "by", "night"], lambda rng: torch.from_numpy(rng.integers(1, 6, 4))),
}


class Rows:
    """Rows of random pictures, {"x": (N, channels, size, size), "y": ..., "c" and "other": conditions, "paired":
    whether x and y belong together, as every `paired_every`-th do, "row": (N,)}: row n is a function of n."""

    def __init__(
        self,
        batch_size: int = 1,
        size: int = 16,
        dtype: torch.dtype = torch.float64,
        place: tuple[int, int] = (0, 1),
        condition: str | None = None,
        channels: int = 3,
        paired_every: int | None = None,
    ):
        self.batch_size, self.size, self.dtype, (self.process, self.processes) = batch_size, size, dtype, place
        self.condition, self.channels, self.paired_every = condition, channels, paired_every

    def row(self, n: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(n)
        x, y = torch.from_numpy(rng.uniform(-1, 1, (2, self.channels, self.size, self.size))).to(self.dtype)
        row = {"x": x, "y": y, "row": torch.tensor(n)}
        if self.paired_every:
            row["paired"] = torch.tensor(n % self.paired_every == 0)
        if self.condition:
            for name in ("c", "other"):
                c = CONDITIONS[self.condition][1](rng)
                row[name] = c.to(self.dtype) if self.condition == "attributes" else c
        return row

    def batch(self, start: int, count: int) -> Batch:
        rows = [self.row(n) for n in range(start, start + count)]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def batches(self, from_row: int) -> Iterator[Batch]:
        start = from_row + self.process * self.batch_size
        while True:
            yield self.batch(start, self.batch_size)
            start += self.batch_size * self.processes


def trainer_of(game, **schedule) -> Trainer:
    """A trainer on the CPU for so many `images`."""
    settings = {"images": 4, "optimizer": "sgd", "decay": 0.0, **schedule}
    return Trainer(game, Schedule(**settings), settings["images"], Accelerator(cpu=True))


def played(game, size: int = 16, dtype: torch.dtype = torch.float64, **schedule) -> Trainer:
    """The trainer after its whole schedule on random pictures."""
    trainer = trainer_of(game, **schedule)
    for _ in trainer.play(Rows(trainer.schedule.batch_size, size, dtype).batches):
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
