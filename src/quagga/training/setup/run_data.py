"""What a run reads: its minibatches, phase by phase, and once before its first step what it looks at beside them. (A
picture that is unreadable, or removed later, must not prevent a save.)"""

from collections.abc import Sequence
from dataclasses import dataclass

from quagga.data.loading.ram_cache import ram_caches
from quagga.data.loading.row_order import Batches, Rows
from quagga.pipelines.core.game_protocol import Batch
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training.run_options import RunOptions
from quagga.training.setup.first_minibatches import first_minibatches


@dataclass(frozen=True)
class RunData:
    """The training data of one phase of a run, and what is read of them before the first step.

    Args:
        rows: the training data, at the phase's size.
        statistics: minibatches over which averaged weights take their batch statistics anew; none where no generator
            has such statistics.
        shown: held-out pictures of the strips.
        examined: held-out pictures of the curves held_out/...; None: there are no such curves.
    """

    rows: Rows
    statistics: Sequence[Batch]
    shown: Batch
    examined: Batch | None


def read_run_data(rows_of_phases: Sequence[Rows], trainer: Trainer, options: RunOptions) -> list[RunData]:
    """Reads what the run of a trainer needs, for each of its phases. Raises BadInput."""
    return [
        RunData(
            rows,
            first_minibatches(rows, phase.batch_size) if trainer.has_statistics else [],
            rows.held_out(options.samples),
            rows.held_out(options.examined) if options.examined else None,
        )
        for rows, phase in zip(rows_of_phases, trainer.phases, strict=True)
    ]


def open_batches(data_of_phases: Sequence[RunData], trainer: Trainer) -> Batches:
    """Returns this process's batches from the trainer's row on, at the size of the phase to which that belongs. Of
    pictures in memory only those of this size stay there."""
    phase, accelerator = trainer.phase_at(trainer.row), trainer.accelerator
    rows = data_of_phases[phase.index].rows
    for other in data_of_phases:
        if other.rows is not rows:
            for cache in ram_caches(other.rows):
                cache.clear()
    share = {"process": accelerator.process_index, "processes": accelerator.num_processes}
    return rows.batches(trainer.row, phase.batch_size, **share)
