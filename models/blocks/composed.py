"""Networks one after the other, as one network."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Len
from torch import Tensor, nn

from quagga.models.arguments import remembers_arguments


@remembers_arguments
class Composed(nn.Module):
    """x -> f_n(... f_1(x)), such as an encoder and its decoder. What `quagga.Export` exports is one network; its parts
    may be the networks of a game, whose weights it shares.

    Args:
        networks: f_1 to f_n; each takes what the one before gives.
    """

    def __init__(self, networks: Annotated[Sequence[nn.Module], Len(1, 8)]) -> None:
        super().__init__()
        self.networks = nn.Sequential(*networks)

    def forward(self, x: Tensor) -> Tensor:
        """What the first network takes -> what the last one gives."""
        return self.networks(x)
