"""When the sides of a game move and how far, all of it counted in images."""

from dataclasses import dataclass
from typing import Literal, get_args

OptimizerName = Literal["adam", "rmsprop", "sgd"]
RateRule = Literal["none", "sqrt", "linear"]


@dataclass(frozen=True)
class Schedule:
    """When the sides move and how far. Time is in images, so that it means the same for any batch and number of
    processes.

    Args:
        epochs: length of the run in passes over the larger side of the data.
        images: length of the run in images; None takes `epochs`.
        decay: the last share of the run, in which both rates fall linearly to 0.
        batch_size: rows one process holds at a time (a micro-batch).
        accumulation: micro-batches whose gradients are added up to one step: a larger batch in the same memory.
        k: moves of the discriminators before each move of the generators (Goodfellow et al. 2014, Algorithm 1).
        head_start: images the discriminators see before the generators first move.
        optimizer: optimiser of the generators.
        optimizer_discriminator: optimiser of the discriminators; None takes `optimizer`.
        lr: learning rate of the generators.
        lr_discriminator: learning rate of the discriminators; None takes `lr`.
        lr_rule: what a larger batch does to both rates: nothing; sqrt, for Adam (Malladi et al. 2022); or linear,
            for SGD (Goyal et al. 2017). The batch is batch_size x accumulation x processes.
        lr_batch: the batch at which `lr` and `lr_discriminator` hold; lr_rule scales them from there.
        warmup: images over which both rates first rise linearly, step by step, from nearly 0 (after Goyal et al. 2017,
            Sec. 2.2, whose warm-up begins at the rate of a small batch); 0: none.
        beta1: Adam's decay of the mean gradient.
        beta2: Adam's decay of the mean square; RMSprop's alpha.
        clip_gradients: largest norm of a side's whole gradient; None leaves it alone.
        clip_weights: discriminators' weights are kept within this distance of 0 (Arjovsky et al. 2017); None leaves
            them.
        ema_halflife: images after which a generator's weights count half in its average; 0 keeps no average.
        ema_ramp: early on, the half-life is this share of the images seen, so that early pictures are not mush.
        seed: everything random follows from it.
    """

    epochs: float = 200
    images: int | None = None
    decay: float = 0.5
    batch_size: int = 1
    accumulation: int = 1
    k: int = 1
    head_start: int = 0
    optimizer: OptimizerName = "adam"
    optimizer_discriminator: OptimizerName | None = None
    lr: float = 2e-4
    lr_discriminator: float | None = None
    lr_rule: RateRule = "none"
    lr_batch: int = 1
    warmup: int = 0
    beta1: float = 0.5
    beta2: float = 0.999
    clip_gradients: float | None = None
    clip_weights: float | None = None
    ema_halflife: float = 10_000
    ema_ramp: float = 0.05
    seed: int = 0

    def __post_init__(self):
        counts = {"batch_size": self.batch_size, "accumulation": self.accumulation, "k": self.k, "images": self.images}
        counts["lr_batch"] = self.lr_batch
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"{name} is {count}: it counts, and must be 1 or more")
        sizes = {"head_start": self.head_start, "ema_halflife": self.ema_halflife, "ema_ramp": self.ema_ramp}
        for name, size in {
            **sizes,
            "lr": self.lr,
            "lr_discriminator": self.lr_discriminator,
            "warmup": self.warmup,
            "seed": self.seed,
        }.items():
            if size is not None and size < 0:
                raise ValueError(f"{name} is {size}: it must be 0 or more")
        for name, limit in {"clip_gradients": self.clip_gradients, "clip_weights": self.clip_weights}.items():
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} is {limit}: it must be above 0, or null for none")
        for name, beta in {"beta1": self.beta1, "beta2": self.beta2}.items():
            if not 0 <= beta < 1:
                raise ValueError(f"{name} is {beta}: it must be from 0 to below 1")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay is {self.decay}: it is a share of the run, from 0 to 1")
        if self.images is None and self.epochs <= 0:
            raise ValueError(f"epochs is {self.epochs}: it must be above 0")
        if self.lr_rule not in get_args(RateRule):
            raise ValueError(f"lr_rule is {self.lr_rule}: it is one of {', '.join(get_args(RateRule))}")
        if self.images is not None and self.warmup >= self.images:
            raise ValueError(f"warmup is {self.warmup} of {self.images} images: it must end before the run does")
        if self.warmup and self.head_start:
            raise ValueError(
                f"warmup is {self.warmup} and head_start {self.head_start}: in a head start no image counts as seen, so"
                " the discriminators' rate would stay 0; leave one of them out"
            )

    def length(self, images_per_epoch: int) -> int:
        """Images in the whole run."""
        return self.images if self.images is not None else max(1, round(self.epochs * images_per_epoch))

    def rate(self, images_seen: int, length: int, minibatch: int = 0) -> float:
        """What the learning rates are multiplied by in the step after so many images, which sees `minibatch` more:
        linearly up to 1 over the first `warmup` images, 1, then linearly to 0 over the last share `decay`."""
        left = max(0.0, 1 - images_seen / length)
        fallen = min(1.0, left / self.decay) if self.decay else 1.0
        risen = min(1.0, (images_seen + minibatch) / self.warmup) if self.warmup else 1.0
        return min(risen, fallen)

    def scale(self, minibatch: int) -> float:
        """What the learning rates are multiplied by for steps of so many rows, over all processes and micro-batches.

        With b = minibatch / lr_batch: "linear", b, for SGD, whose b small steps become one (Goyal et al. 2017,
        arXiv:1706.02677, Sec. 2.1); "sqrt", sqrt(b), for Adam and RMSprop, which divide by the gradient's noise, so
        that the steps grow by sqrt(b) of themselves (Malladi et al. 2022, arXiv:2205.10287). Malladi et al. also
        multiply 1 - beta1 and 1 - beta2 by b and divide Adam's epsilon by sqrt(b); here these stay, as at the beta1 of
        0.5 that GANs play with there are no betas beyond b = 2.
        """
        times = minibatch / self.lr_batch
        return {"none": 1.0, "sqrt": times**0.5, "linear": times}[self.lr_rule]
