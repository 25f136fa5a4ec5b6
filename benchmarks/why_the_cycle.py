"""Why the cycle: what a translator without pairs learns with it, without it, and with half of it.

    python benchmarks/why_the_cycle.py --output benchmarks/results/why_the_cycle.txt

A picture here is a point of three numbers: two for its pose and one for its coat, -1 of horses and 1 of zebras. There
are eight poses, on a circle, with a little noise. So it is known which zebra is meant: the one of the horse's own pose.
Ten games with different first weights are trained side by side, in networks that share nothing. About a minute on one
core.
"""

import argparse
import platform
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import torch
from accelerate import Accelerator
from report import keep, processor
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from quagga.pipelines.core.game_protocol import Batch, Draw, Images, Loss
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.pipelines.core.schedule import Schedule
from quagga.pipelines.cyclegan import CycleGAN

GAMES, WIDTH, BATCH, TURNS = 10, 32, 128, 800
POSES, NOISE = 8, 0.05
ANGLES = torch.arange(POSES) * 2 * torch.pi / POSES
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)  # (8, 2)


class Networks(nn.Module):
    """Fully connected networks of two hidden layers, one for each game: (N, games, 3) -> (N, games, outputs)."""

    def __init__(self, outputs: int, seed: int):
        super().__init__()
        sizes = [3, WIDTH, WIDTH, outputs]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        chance = [torch.Generator().manual_seed(100 * game + seed) for game in range(GAMES)]
        for inputs, size in pairwise(sizes):
            drawn = torch.stack([torch.randn(inputs, size, generator=source) for source in chance])
            self.weights.append(nn.Parameter(drawn / inputs**0.5))
            self.biases.append(nn.Parameter(torch.zeros(GAMES, size)))

    def forward(self, x: Tensor) -> Tensor:
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = torch.einsum("ngi,gio->ngo", x if weight is self.weights[0] else x.relu(), weight) + bias
        return x


class OneWay(CycleGAN):
    """Half of the cycle: F has nobody to please but the horse that it is given back. Three networks."""

    def __post_init__(self):
        super().__post_init__()
        self.discriminators = {"D_Y": self.D_Y}

    def discriminator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        loss = super().discriminator_loss(batch, fakes, draw)
        return Loss({"D_Y": loss.terms["D_Y"]})

    def generator_loss(self, batch: Batch, fakes: Images, draw: Draw) -> Loss:
        fooled = self.adversary.generator_loss(self.D_Y, batch["y"], fakes["G(x)"], draw)
        return Loss({"G": fooled, "cycle_x": self.lambda_cycle * l1_loss(self.F(fakes["G(x)"]), batch["x"])})


def animals(count: int, coat: float, seed: int) -> Tensor:
    """(count, games, 3): the same animals in all games."""
    chance = torch.Generator().manual_seed(seed)
    poses = CENTRES[torch.randint(POSES, (count,), generator=chance)]
    poses = poses + NOISE * torch.randn(count, 2, generator=chance)
    points = torch.cat([poses, torch.full((count, 1), coat)], 1)
    return points[:, None].expand(-1, GAMES, -1).contiguous()


def batches() -> Iterator[Batch]:
    for step in count():
        rows = torch.arange(step * BATCH, (step + 1) * BATCH)
        yield {"x": animals(BATCH, -1.0, 2 * step), "y": animals(BATCH, 1.0, 2 * step + 1), "row": rows}


def play(kind: type[CycleGAN], lambda_cycle: float, lambda_identity: float, turns: int) -> CycleGAN:
    G, F, D_X, D_Y = Networks(3, 1), Networks(3, 2), Networks(1, 3), Networks(1, 4)
    game = kind(G, F, D_X, D_Y, lambda_cycle=lambda_cycle, lambda_identity=lambda_identity, pool_size=0)
    schedule = Schedule(images=turns * BATCH, batch_size=BATCH, lr=2e-3, beta1=0.5, beta2=0.99)
    for _ in Trainer(game, schedule, turns * BATCH, Accelerator(cpu=True)).play(batches()):
        pass
    return game


@torch.no_grad()
def verdicts(game: CycleGAN) -> str:
    """What became of the ten games: which zebra's pose is nearest to what G makes of the horse in each pose."""
    x = torch.cat([CENTRES, torch.full((POSES, 1), -1.0)], 1)[:, None].expand(-1, GAMES, -1)
    y = game.G(x)
    made = torch.cdist(y[..., :2].transpose(0, 1), CENTRES).argmin(2)  # (games, poses)
    different = [len(set(zebras)) for zebras in made.tolist()]
    own = (made == torch.arange(POSES)).sum(1).tolist()
    back = (game.F(y) - x).abs().mean((0, 2))  # of each game
    wrong = [n for n in range(GAMES) if own[n] < POSES / 2 and back[n] < 0.05]
    columns = (" ".join(map(str, different)), " ".join(map(str, own)), f"{back.median():.3f}", f"{len(wrong)}")
    return "{:<23}{:<23}{:>8}{:>8}".format(*columns)


ROWS = {
    "no cycle": (CycleGAN, 0.0, 0.0),
    "cycle, four networks": (CycleGAN, 10.0, 0.0),
    "one-way cycle, three": (OneWay, 10.0, 0.0),
    "cycle and identity": (CycleGAN, 10.0, 0.5),
}


def report(turns: int) -> Iterator[str]:
    yield f"{POSES} horses to {POSES} zebras, {GAMES} games a row, {turns} steps of {BATCH}"
    yield f"{processor()}, 1 thread; Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    yield f"{'trained with':<23}{'different zebras':<23}{'of them its own':<23}{'F(G(x))':>8}{'wrong':>8}"
    for name, (kind, cycle, identity) in ROWS.items():
        yield f"{name:<23}{verdicts(play(kind, cycle, identity, turns))}"
    yield ""
    yield "different zebras: made of the eight horses, of each game; 1 would be one zebra for all horses"
    yield "its own: horses that get the zebra of their own pose, of eight"
    yield "F(G(x)): mean distance from x on the way back, median of the games"
    yield "wrong: games that come back to within 0.05, and give most horses another one's zebra"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep(report(arguments.turns), arguments.output)


if __name__ == "__main__":
    main()
