"""The first minibatches of a run, read in this process."""

import torch
from torch.utils.data import default_collate

from quagga.data.loading.row_order import Rows
from quagga.pipelines.core.game_protocol import Batch

STATISTICS_ROWS = 256  # over which averaged weights take their batch statistics anew
STATISTICS_BYTES = 1 << 26  # of memory for these rows, at most


def first_minibatches(rows: Rows, batch_size: int, count: int | None = None) -> list[Batch]:
    """Returns the first minibatches of the run. Raises what reading them raises.

    Args:
        rows: the training data.
        batch_size: rows of a minibatch.
        count: number of minibatches; None: of 256 rows together, or fewer if they are large, as they stay in memory.
    """
    if count is None:
        first = {name: torch.as_tensor(value) for name, value in rows.sample(0).tensors.items()}
        max_rows = STATISTICS_BYTES // sum(4 * tensor.numel() for tensor in first.values())
        count = max(1, min(STATISTICS_ROWS, max_rows) // batch_size)
    starts = [number * batch_size for number in range(count)]
    samples = [[rows.sample(row).tensors for row in range(start, start + batch_size)] for start in starts]
    return [
        {**default_collate(part), "row": torch.arange(start, start + batch_size)}
        for start, part in zip(starts, samples, strict=True)
    ]
