"""The distance to partners: for translations whose pictures are unpaired but for some, whose partners are known."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import l1_loss

from quagga.pipelines.core.game_protocol import Batch, Terms
from quagga.pipelines.core.sample_metrics import pass_in_parts


@dataclass(frozen=True)
class Partners:
    """What is learned from rows of a batch in which x and y are partners: "paired", bool (N,), says which they are. A
    batch without pairs has no "paired".

    Args:
        lambda_paired: weight of the distance to the partner, where --pairs gives some; for those rows there is no cycle
            loss.
    """

    lambda_paired: float = 10.0

    def terms(self, batch: Batch, **translated: tuple[Tensor, Tensor]) -> Terms:
        """Returns lambda_paired E |G(x) - y| over paired rows, by name; no terms if the batch has no pairs.

        Args:
            batch: the rows.
            translated: name of the term -> translations of all rows, and what stands beside them, (N, C, H, W) each.
        """
        if (paired := batch.get("paired")) is None:
            return {}
        return {
            name: self.lambda_paired * mean_distance(fake, partner, paired)
            for name, (fake, partner) in translated.items()
        }


def unpaired_distance(a: Tensor, b: Tensor, batch: Batch) -> Tensor:
    """Returns E |a - b| over the rows of a batch that have no partner, (N, C, H, W) each; 0 if all have."""
    paired = batch.get("paired")
    return l1_loss(a, b) if paired is None else mean_distance(a, b, ~paired)


def held_out_distances(batch: Batch, **translations: tuple[Callable[[Tensor], Tensor], Tensor, Tensor]) -> Terms:
    """Returns E |G(x) - y| over held-out pairs, by name; nothing if the batch has no pairs.

    Args:
        batch: the rows.
        translations: name -> G, and its input x and the partners y of all rows, (N, C, H, W) each.
    """
    if (paired := batch.get("paired")) is None:
        return {}
    return {name: l1_loss(pass_in_parts(G, x[paired], rows=4), y[paired]) for name, (G, x, y) in translations.items()}


def mean_distance(a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
    """Returns E |a - b| over those pictures (N, C, H, W) for which `rows`, bool (N,), is true; 0 if none is."""
    each = (a - b).abs().flatten(1).mean(1)
    return (each * rows).sum() / rows.sum().clamp(min=1)
