"""Options of a run that do not belong to its game, its data or its schedule."""

from dataclasses import dataclass
from typing import Literal

from quagga.errors import BadInput


@dataclass(frozen=True)
class RunOptions:
    """Where a run is stored, how it is watched, and on what hardware.

    Args:
        output: folder of the run; None takes runs/DATA-PIPELINE, such as runs/horse2zebra-cyclegan.
        resume: "auto" (or "latest") continues from the newest complete checkpoint in the output folder, if there is
            one; "never" refuses a folder that has one; a path names a checkpoint, or a run whose newest is taken.
        init_from: run whose model's weights the new run begins with (fine-tuning); None begins with random weights.
        log_every: images between two points of a curve; samples and checkpoints add a point too. None takes 100, or 10
            steps where that is more, and in a short run an eighth of it.
        sample_every: images between two strips of held-out pictures (the first ones come sooner, each after a quarter
            more images), and between two points of the curves held_out/... None goes by their cost: about 100 of either
            in a run, fewer where they would take more than 2 % of its time, but at least one point in each eighth of
            it.
        samples: held-out pictures in a strip.
        examined: held-out pictures of which the curves held_out/... are computed; 0: none.
        save_every: images between two checkpoints; None saves every ten minutes, or less often where that would take
            more than 1 % of the time; after half an hour saving may take what strips and curves have left of 5 %.
        keep: checkpoints kept, the newest.
        keep_best: name of a curve, such as generators/cycle_x: the checkpoint before which its mean was lowest is kept
            too, its model in the folder best; without `save_every`, each eighth of the run then ends with a checkpoint.
            None keeps the newest only.
        stop_when: end: at the run's full length; no_better: also when no checkpoint has been better by `keep_best` for
            a quarter of that length.
        on_nonfinite: when a loss or gradient is NaN or infinite: stop, or rollback to the newest checkpoint and
            continue after the rows that caused it (three times; a fourth in the same place stops).
        mixed_precision: bf16, fp16 or no (float32); None takes what `accelerate launch` says, else bf16 on CUDA GPUs
            and CPUs that have it (AMX, AVX-512 bf16).
        compile: compile the networks (torch.compile) in the first steps; None does on a CUDA GPU, if there is a C
            compiler and deterministic is false.
        channels_last: keep the channels of a pixel side by side in memory; None does where networks are compiled on a
            GPU, and in bf16 on a CPU where no network has instance or group norm.
        gradient_checkpointing: keep only the inputs of a network and compute the rest again for its gradient: larger
            batches and crops in the same memory, a quarter to a half slower.
        device: where to train; auto takes a GPU if there is one.
        deterministic: the same bits every time on a GPU too, as far as torch can: slower, and compiled only if asked;
            on a CPU that is so for the same number of threads, which is then not chosen by trial steps.
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
    stop_when: Literal["end", "no_better"] = "end"
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
        if self.stop_when == "no_better" and self.keep_best is None:
            raise BadInput("--stop_when no_better: by which curve? Say --keep_best held_out/patches_y, or another")
        if not self.examined and (self.keep_best or "").startswith("held_out/"):
            raise BadInput(f"--keep_best {self.keep_best} needs held-out pictures: raise --examined")
