"""The schedule of a run: when the sides of a game move and how far, counted in images."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from quagga.pipelines.core.phases import Phase, check_border, check_phases

OptimizerName = Literal["adam", "rmsprop", "sgd"]
RateRule = Literal["none", "sqrt", "linear"]


@dataclass(frozen=True)
class Schedule:
    """When the sides move and how far. Time is in images, so that it means the same for any batch and number of
    processes.

    Args:
        epochs: passes over the data; over the larger side where there are two.
        images: length of the run in images; None takes `epochs`.
        phases: parts of the run with values of their own, such as [{images: 6000, size: 64}, {size: 128}]: `images`,
            `size` of the pictures in pixels, `batch_size`, `lr`, `lr_discriminator`; what is left out, or null, is that
            of the whole run. The last one may leave out its images and takes the rest. None: a single phase.
        decay: share of the run, at its end, in which both learning rates fall linearly to 0.
        batch_size: pictures in a step, for each process; accumulation multiplies it.
        accumulation: batches whose gradients are added up to one step: a larger batch in the same memory.
        k: steps of the discriminators before each step of the generators (Goodfellow et al. 2014, Algorithm 1).
        head_start: images that the discriminators see before the generators' first step.
        optimizer: optimizer of both sides.
        lr: learning rate of the generators.
        lr_discriminator: learning rate of the discriminators; None takes `lr`.
        lr_rule: how both rates grow with the batch: none: not at all; sqrt, for Adam (Malladi et al. 2022); or linear,
            for SGD (Goyal et al. 2017). The batch is batch_size x accumulation x processes.
        lr_batch: batch for which `lr` and `lr_discriminator` are meant; lr_rule scales them from there.
        warmup: images over which both rates first rise linearly, step by step, from nearly 0 (after Goyal et al. 2017,
            Sec. 2.2, whose warm-up begins at the rate of a small batch); 0: none.
        beta1: Adam's decay of the mean gradient.
        beta2: Adam's decay of the mean square; RMSprop's alpha.
        clip_gradients: largest norm of all gradients of a side; None does not clip.
        clip_weights: the discriminators' weights are clipped to this distance from 0 (Arjovsky et al. 2017); None does
            not clip.
        ema_halflife: images after which a generator's weights count half in its average, early in a run after a
            twentieth of the images seen, so that early pictures are not mush; 0 keeps no average.
        seed: seed of everything random.
    """

    epochs: float = 200
    images: int | None = None
    phases: list[dict[str, int | float | None]] | None = None
    decay: float = 0.5
    batch_size: int = 1
    accumulation: int = 1
    k: int = 1
    head_start: int = 0
    optimizer: OptimizerName = "adam"
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
    seed: int = 0

    def __post_init__(self):
        counts = {"batch_size": self.batch_size, "accumulation": self.accumulation, "k": self.k, "images": self.images}
        counts["lr_batch"] = self.lr_batch
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"{name} is {count}: it must be 1 or more")
        sizes = {"head_start": self.head_start, "ema_halflife": self.ema_halflife}
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
        if self.phases is not None:
            check_phases(self.phases)
            total = self.images_of_phases()
            if None not in (total, self.images) and total != self.images:
                raise ValueError(f"phases have {total} images together, and images is {self.images}: leave images out")
        if self.warmup and self.head_start:
            raise ValueError(
                f"warmup is {self.warmup} and head_start {self.head_start}: during a head start no image counts as"
                " seen, so the discriminators' rate would stay 0; leave one of them out"
            )

    def length(self, images_per_epoch: int) -> int:
        """Returns the images of the whole run: where every phase states its images, their sum."""
        images = self.images if self.images is not None else self.images_of_phases()
        return images if images is not None else max(1, round(self.epochs * images_per_epoch))

    def plan(self, length: int, processes: int = 1) -> list[Phase]:
        """Returns the phases of a run of so many images on so many processes; one where none are stated.

        A phase begins at a row. At a border the optimisers' state and the averages go on, and image pools begin anew.
        The learning rates are the phase's, by `lr_rule` for its batch, times the factor of `rate`, which knows no
        borders: `decay` and `warmup` are of the whole run.

        Raises:
            ValueError: a phase does not end with a step, or none of the run is left for the last one.
        """
        phases: list[Phase] = []
        begin = row = 0  # of the phase, in images and rows
        stated = self.phases or [{}]
        for index, values in enumerate(stated):
            of_phase = {name: value for name, value in values.items() if value is not None}
            batch_size = int(of_phase.get("batch_size", self.batch_size))
            minibatch = batch_size * processes * self.accumulation
            is_last = index == len(stated) - 1
            images = length - begin if is_last else int(of_phase["images"])
            if self.phases and images < 1:
                raise ValueError(
                    f"phases: {begin} images are before phase {index + 1}, and the run has {length}: raise images"
                )
            if not is_last:
                check_border(index + 1, images, minibatch)
            head_start = 0 if index else -(-self.head_start // minibatch) * minibatch
            end_row = None if is_last else row + head_start + images * self.k
            lr = of_phase.get("lr", self.lr)
            lr_discriminator = of_phase.get("lr_discriminator", self.lr_discriminator)
            scale = self.scale(minibatch)
            phases.append(
                Phase(
                    index,
                    row,
                    head_start,
                    images,
                    end_row,
                    size=int(of_phase["size"]) if "size" in of_phase else None,
                    batch_size=batch_size,
                    minibatch=minibatch,
                    k=self.k,
                    lr=lr * scale,
                    lr_discriminator=(lr if lr_discriminator is None else lr_discriminator) * scale,
                )
            )
            begin, row = begin + images, end_row or 0
        return phases

    def images_of_phases(self) -> int | None:
        """Returns the images of all phases together; None if not every phase states them."""
        images: list[Any] = [phase.get("images") for phase in self.phases or [{}]]
        return None if None in images else sum(images)

    def rate(self, images_seen: int, length: int, minibatch: int = 0) -> float:
        """Returns the factor of the learning rates in the step after so many images, which sees `minibatch` more: it
        rises linearly to 1 over the first `warmup` images, and falls linearly to 0 over the last share `decay`."""
        share_left = max(0.0, 1 - images_seen / length)
        decay = min(1.0, share_left / self.decay) if self.decay else 1.0
        warmup = min(1.0, (images_seen + minibatch) / self.warmup) if self.warmup else 1.0
        return min(warmup, decay)

    def scale(self, minibatch: int) -> float:
        """Returns the factor of the learning rates for steps of so many rows, over all processes and micro-batches.

        With b = minibatch / lr_batch: "linear", b, for SGD, whose b small steps become one (Goyal et al. 2017,
        arXiv:1706.02677, Sec. 2.1); "sqrt", sqrt(b), for Adam and RMSprop, which divide by the gradient's noise, so
        that the steps grow by sqrt(b) of themselves (Malladi et al. 2022, arXiv:2205.10287). Malladi et al. also
        multiply 1 - beta1 and 1 - beta2 by b and divide Adam's epsilon by sqrt(b); here these stay, since with the
        usual beta1 of 0.5 for GANs there are no such betas beyond b = 2.
        """
        b = minibatch / self.lr_batch
        return {"none": 1.0, "sqrt": b**0.5, "linear": b}[self.lr_rule]
