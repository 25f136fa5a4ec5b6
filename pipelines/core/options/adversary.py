"""How D and G compete: by which objective, under which penalty, and through which augmentation D sees pictures."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from quagga.pipelines.core.diffaugment import DiffAugment, Policy, augment_pairs
from quagga.pipelines.core.game_protocol import Draw, Terms
from quagga.pipelines.core.losses import OBJECTIVES, Objective, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.core.option_checks import warn_unconstrained_critic


@dataclass(frozen=True)
class Adversary:
    """What a discriminator has to do, and by what it is held back.

    Args:
        objective: adversarial loss; relativistic goes with the penalty r1_r2 (R3GAN, Huang et al. 2024).
        penalty: penalty on the discriminators' gradients with regard to the pictures.
        lambda_penalty: weight of the penalty, for r1 and r1_r2 the papers' gamma / 2; without a penalty it does
            nothing.
        spectral: spectral normalisation of the discriminators (Miyato et al. 2018).
        clip_weights: the discriminators' weights are clipped to this distance from 0 (Arjovsky et al. 2017); None does
            not clip.
        diffaugment: augment what D sees, for few pictures; differentiable augmentation (Zhao et al. 2020). With color D
            no longer sees it where a generator changes colours. Of pairs, x and y move together, and the colours of y
            alone change.
    """

    objective: ObjectiveName = "non_saturating"
    penalty: PenaltyName = "none"
    lambda_penalty: float = 10.0
    spectral: bool = False
    clip_weights: float | None = None  # the trainer clips: `Schedule` has this option too
    diffaugment: list[Policy] | None = None

    def __post_init__(self):
        warn_unconstrained_critic(self.objective, self.penalty, self.clip_weights, self.spectral)

    @property
    def loss(self) -> Objective:
        """The objective as a pair of losses of logits, one for D and one for G."""
        return OBJECTIVES[self.objective]

    def augment(self, images: Tensor, draw: Draw) -> Tensor:
        """Returns pictures (N, C, H, W) around [-1, 1] as D sees them, real and fake alike."""
        return DiffAugment(self.diffaugment or ())(images, draw)

    def augment_pairs(self, x: Tensor, y: Tensor, fake: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Returns x, y and fake, (N, C, H, W) each, as a D sees them that judges pairs, (x, y) and (x, fake)."""
        return augment_pairs(self.diffaugment or (), x, y, fake, draw)

    def generator_loss(self, D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """Returns the objective's loss of G, a scalar. D sees the fakes (N, C, H, W) augmented, as for its own loss.
        Only if the objective is relativistic, it sees the real pictures too, augmented before the fakes: the fake of a
        row is compared with the real picture of that row."""
        real_logits = D(self.augment(real, draw)) if self.loss.relativistic else None
        return self.loss.generator(D(self.augment(fake, draw)), real_logits)

    def penalty_term(self, name: str, D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, draw: Draw) -> Terms:
        """Returns the weighted penalty of the discriminator of that name as the term NAME_penalty; no term if there is
        no penalty. `real` and `fake` (N, C, H, W) are as D has seen them."""
        if self.penalty == "none":
            return {}
        return {f"{name}_penalty": self.lambda_penalty * penalty(self.penalty, D, real, fake, draw)}

    def readings(self, name: str, real_logits: Tensor, fake_logits: Tensor) -> Terms:
        """Returns how good the discriminator of that name is: NAME/real, NAME/fake and perhaps NAME/accuracy, see
        `quagga.pipelines.core.losses.readings`."""
        return {f"{name}/{key}": value for key, value in readings(self.objective, real_logits, fake_logits).items()}
