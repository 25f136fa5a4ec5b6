"""Where a run lives and how it is watched."""

from dataclasses import dataclass
from typing import Literal

from quagga import BadInput


@dataclass(frozen=True)
class RunOptions:
    """Where a run lives and how it is watched.

    Args:
        output: the run's folder; None takes runs/<name of the data>-<pipeline>, such as runs/horse2zebra-cyclegan.
        resume: auto (or latest) goes on from the folder's newest checkpoint that is whole; never refuses a folder that
            has one; a path names a checkpoint, or a run whose newest is taken.
        init_from: a run whose model's weights the new run begins with (fine-tuning); None begins anew.
        log_every: images between two points of a curve; what comes every so many images makes a point too. None takes
            100, or 10 steps where that is more, and in a short run an eighth of it.
        sample_every: images between two strips of held-out pictures (the first come sooner, at a quarter more images
            each), and between two points of the curves held_out/... None follows their cost: some 100 of either in a
            run, fewer where they would take more than 2 % of its time, but a point in each eighth of it.
        samples: held-out pictures in a strip.
        examined: held-out pictures over which the curves held_out/... are taken; 0: none.
        save_every: images between two checkpoints; None saves every ten minutes, or less often where that would take
            more than 1 % of the time; after half an hour it may take what strips and curves have left of 5 %.
        keep: newest checkpoints kept.
        keep_best: a curve, such as generators/cycle_x: the checkpoint before which its mean was lowest is kept too, its
            model in the folder best; without `save_every`, each eighth of the run then ends with a checkpoint. None
            keeps the newest only.
        on_nonfinite: when a loss or gradient is NaN or infinite: stop, or rollback to the newest checkpoint and go on
            after the rows that did it (three times; a fourth in the same place stops).
        mixed_precision: bf16, fp16 or no (float32); None obeys `accelerate launch`, and else takes bf16 on CUDA GPUs
            that have it and on CPUs with matrix units for it (AMX).
        compile: turn the networks into kernels of their own (torch.compile) in the first steps; None does on a CUDA
            GPU, if there is a C compiler and nothing is to be deterministic.
        channels_last: keep a picture's channels side by side in memory; None does where networks are compiled on a GPU,
            and in bf16 on a CPU where none has instance or group norm.
        gradient_checkpointing: keep only what goes into a network and play each pass again for its gradient: larger
            batches and crops in the same memory, a quarter to a half slower.
        device: auto takes a GPU if there is one.
        deterministic: the same bits every time on a GPU too, as far as torch can: slower, and compiled only if asked;
            on the CPU it is so with the same number of threads, which is then not chosen by trial steps.
    """

    output: str | None = None
    resume: str = "auto"
    init_from: str | None = None
    log_every: int | None = None
    sample_every: int | None = None
    samples: int = 4
    examined: int = 64
    save_every: int | None = None
    keep: int = 3
    keep_best: str | None = None
    on_nonfinite: Literal["stop", "rollback"] = "stop"
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    compile: bool | None = None
    channels_last: bool | None = None
    gradient_checkpointing: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    deterministic: bool = False

    def __post_init__(self):
        counts = {"log_every": self.log_every, "sample_every": self.sample_every, "save_every": self.save_every}
        for name, count in {**counts, "samples": self.samples, "keep": self.keep}.items():
            if count is not None and count < 1:
                raise BadInput(f"{name} is {count}: it must be 1 or more")
        if self.examined < 0:
            raise BadInput(f"examined is {self.examined}: it must be 0 or more")
        if not self.examined and (self.keep_best or "").startswith("held_out/"):
            raise BadInput(f"--keep_best {self.keep_best} needs held-out pictures: raise --examined")
