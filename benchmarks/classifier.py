"""A small convolutional network that reads pictures: the judge of the benchmarks, trained apart from every game.

Not in the package: a classifier that took part in training could be fooled, and one that ships would be used as if it
were the truth. It reads several things at once, each with a head of its own: hair and eyes, animal and hour.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad


class Classifier(nn.Module):
    """(N, channels, H, W) in [-1, 1] -> a list of logits, (N, classes) for each of `heads`.

    Args:
        channels: of the pictures.
        heads: classes of each thing that is read.
        width: channels of the first layers.
    """

    def __init__(self, channels: int, heads: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            layer(channels, width),
            layer(width, width, 2),
            layer(width, 2 * width),
            layer(2 * width, 2 * width, 2),
            layer(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(4),  # keeps left and right apart, whatever the size
            nn.Flatten(),
            nn.Linear(64 * width, 128),
            nn.ReLU(),
        )
        self.drop = nn.Dropout(0.3)
        self.heads = nn.ModuleList(nn.Linear(128, classes) for classes in heads)

    def features(self, x: Tensor) -> Tensor:
        """(N, 128), for distances between sets of pictures."""
        return self.body(x)

    def forward(self, x: Tensor) -> list[Tensor]:
        h = self.drop(self.features(x))
        return [head(h) for head in self.heads]


def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def trained(
    x: Tensor, targets: Tensor, *, epochs: int, width: int = 32, batch_size: int = 128, lr: float = 2e-3, seed: int = 0
) -> Classifier:
    """A classifier of pictures (N, C, H, W) in [-1, 1] and what there is to read, int64 (N, things).

    Pictures are shifted by up to 2 pixels: what is read must not hang on a border.
    """
    chance = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = Classifier(x.shape[1], [int(column.max()) + 1 for column in targets.T], width)
    optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=1e-2)
    steps = epochs * (len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=chance)
        for start in range(0, len(x) - batch_size + 1, batch_size):
            some = order[start : start + batch_size]
            down, right = torch.randint(5, (2,), generator=chance).tolist()
            shifted = pad(x[some], (2, 2, 2, 2), mode="replicate")
            shifted = shifted[..., down : down + x.shape[2], right : right + x.shape[3]]
            logits = network(shifted)
            loss = sum((cross_entropy(one, targets[some, at]) for at, one in enumerate(logits)), torch.zeros(()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def read(network: Classifier, x: Tensor) -> Tensor:
    """int64 (N, things): what the classifier sees."""
    with torch.no_grad():
        parts = [torch.stack([one.argmax(1) for one in network(part)], 1) for part in x.split(500)]
    return torch.cat(parts)


def accuracy(network: Classifier, x: Tensor, targets: Tensor) -> list[float]:
    """The share that is read rightly, of each thing."""
    return (read(network, x) == targets).float().mean(0).tolist()
