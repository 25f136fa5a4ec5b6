"""Losses of discriminators and generators: objectives, penalties on the discriminator's gradient, and PatchNCE.

D gives *logits* of any shape (N, ...), one for each picture or one for each patch; D(x) in the papers' minimax game is
their sigmoid. E is the mean over all of them. Both functions of a pair are minimised and return a scalar. D's is the
plain sum of its means: where a paper halves it, the pipeline does. Half-precision logits are widened to float32.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu, softplus

ObjectiveName = Literal["least_squares", "non_saturating", "minimax", "hinge", "wasserstein", "relativistic"]
PenaltyName = Literal["none", "gradient_penalty", "r1", "r1_r2"]


class GeneratorLoss(Protocol):
    """The generator's half of an objective."""

    def __call__(self, fake: Any, real: Any = None) -> Tensor:
        """Logits of fake, and those of real if the objective is relativistic, else None -> a scalar, minimised by G."""
        ...


class Objective(NamedTuple):
    """A pair of losses of logits: tensors, or where D has several judges tuples of them, see `several_logits`.

    Args:
        discriminator: (logits of real, logits of fake) -> scalar, minimised by D.
        generator: (logits of fake, logits of real) -> scalar, minimised by G.
        boundary: a picture with a logit above it counts as real; None if logits have no absolute zero.
        relativistic: whether a logit counts only beside its partner's, real row n beside fake row n, so that the
            generator's loss needs the logits of real too. Where it is False, no real picture passes through D in the
            generator's move.
    """

    discriminator: Callable[..., Tensor]
    generator: GeneratorLoss
    boundary: float | None
    relativistic: bool = False


def at_least_float32(x: Tensor) -> Tensor:
    """Converts float16 and bfloat16 to float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# Goodfellow et al., "Generative Adversarial Networks", 2014, arXiv:1406.2661. With D = sigmoid(logit),
# log D = -softplus(-logit) and log(1 - D) = -softplus(logit), which stay finite for every logit.


def minimax_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))]: minus the game's value, Eq. 1. At the best D, log 4 - 2 JSD (Theorem 1)."""
    return softplus(-at_least_float32(real)).mean() + softplus(at_least_float32(fake)).mean()


def minimax_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E[log(1 - D(G(z)))], Eq. 1. It saturates: if D is sure of a fake, the gradient vanishes."""
    return -softplus(at_least_float32(fake)).mean()


def non_saturating_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E[log D(G(z))], Sec. 3: the same fixed point, with strong gradients if D is sure of a fake."""
    return softplus(-at_least_float32(fake)).mean()


# Mao et al., "Least Squares Generative Adversarial Networks", 2017, arXiv:1611.04076: Eq. 2 with a = 0 and b = c = 1,
# without its factors 1/2; so in Zhu et al. 2017, Sec. 4, arXiv:1703.10593.


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[(D(x) - 1)^2] + E[D(G(z))^2]."""
    return (at_least_float32(real) - 1).square().mean() + at_least_float32(fake).square().mean()


def least_squares_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E[(D(G(z)) - 1)^2]."""
    return (at_least_float32(fake) - 1).square().mean()


# Lim & Ye, "Geometric GAN", 2017, arXiv:1705.02894; Miyato et al. 2018, Eq. 16 and 17, arXiv:1802.05957.


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]."""
    return relu(1 - at_least_float32(real)).mean() + relu(1 + at_least_float32(fake)).mean()


# Arjovsky et al., "Wasserstein GAN", 2017, Eq. 2, arXiv:1701.07875: D is a critic that must be kept Lipschitz, by a
# gradient penalty, by spectral normalisation, or by clipping its weights.


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)]: minus the estimated earth mover's distance."""
    return at_least_float32(fake).mean() - at_least_float32(real).mean()


def critic_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E[D(G(z))]: the generator's loss for both the Wasserstein and the hinge objective."""
    return -at_least_float32(fake).mean()


# Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018,
# arXiv:1807.00734, with the logistic loss. Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline",
# 2024, arXiv:2501.05441, call it RpGAN, play it with the penalties R1 and R2, and call that R3GAN. Only differences
# count: D says which of a pair is the more real, not how real it is. A pair is row n of real and row n of fake, and
# within them the same patch.


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log sigmoid(D(x) - D(G(z)))]: log 2 where D only guesses. Logits have the same shape, (N, ...)."""
    return softplus(-_difference(real, fake)).mean()


def relativistic_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E[log sigmoid(D(G(z)) - D(x))]: the fake is to look more real than its partner. It needs `real`, of the shape of
    `fake`."""
    if real is None:
        raise TypeError("a relativistic generator compares its logits with those of real: call generator(fake, real)")
    return softplus(_difference(real, fake)).mean()


def _difference(real: Tensor, fake: Tensor) -> Tensor:
    """Returns how much more real each picture or patch looks than its partner."""
    if real.shape != fake.shape:
        raise ValueError(
            f"logits are compared in pairs: {[*real.shape]} of real and {[*fake.shape]} of fake do not fit"
        )
    return at_least_float32(real) - at_least_float32(fake)


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "least_squares": Objective(least_squares_discriminator, least_squares_generator, 0.5),
    "non_saturating": Objective(minimax_discriminator, non_saturating_generator, 0.0),
    "minimax": Objective(minimax_discriminator, minimax_generator, 0.0),
    "hinge": Objective(hinge_discriminator, critic_generator, 0.0),
    "wasserstein": Objective(wasserstein_discriminator, critic_generator, None),
    "relativistic": Objective(relativistic_discriminator, relativistic_generator, None, relativistic=True),
}


def readings(objective: ObjectiveName, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Returns how good D is, without gradient: the mean logit of real and of fake, and the share of right decisions.

    "accuracy" counts real and fake alike: 0.5 is guessing, 1 is a D that cannot be fooled. A logit on the boundary
    counts as wrong. For a relativistic objective it is the share of pairs in which real has the higher logit. A
    Wasserstein critic ranks pictures without a boundary, and so has no accuracy.
    """
    real, fake = at_least_float32(real.detach()), at_least_float32(fake.detach())
    read = {"real": real.mean(), "fake": fake.mean()}
    _, _, boundary, relativistic = OBJECTIVES[objective]
    if relativistic:
        read["accuracy"] = (_difference(real, fake) > 0).float().mean()
    elif boundary is not None:
        read["accuracy"] = ((real > boundary).float().mean() + (fake < boundary).float().mean()) / 2
    return read


def patch_nce(queries: Tensor, keys: Tensor, tau: float = 0.07) -> Tensor:
    """-E[log softmax(q k / tau)] of the key of a query's own place, among the keys of all places of its picture.

    Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", 2020, Eq. 2 and 3,
    arXiv:2007.15651, of one layer: a scalar, the mean over rows and places. It is log S where all places look alike.

    Args:
        queries: of the translation, (N, S, width): S places of each row, vectors of length 1.
        keys: of the input, at the same places, (N, S, width).
        tau: temperature.
    """
    logits = at_least_float32(queries) @ at_least_float32(keys).transpose(1, 2) / tau  # (N, S, S)
    own = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return cross_entropy(logits.flatten(0, 1), own.flatten())


class Uniform(Protocol):
    """A source of random numbers: `quagga.pipelines.core.game_protocol.Draw`, or anything with this method."""

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Returns (N, *shape) numbers in [0, 1), on the device and in the dtype of `like`."""
        ...


def gradient_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, draw: Uniform, target: float = 1.0
) -> Tensor:
    """E[(|grad D(x^)| - target)^2] at x^ = e x + (1 - e) x~, e uniform: Eq. 3 without its lambda, a scalar.

    Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, arXiv:1704.00028 (lambda = 10). `real` and `fake`
    are (N, ...): pictures or points. E is the mean over rows. D must not have batch normalisation, which mixes rows
    (Sec. 4).
    """
    real, fake = at_least_float32(real.detach()), at_least_float32(fake.detach())
    e = draw.uniform((1,) * (real.ndim - 1), like=real)
    gradient = _input_gradient(D, e * real + (1 - e) * fake)
    return (torch.linalg.vector_norm(gradient, dim=1) - target).square().mean()


def r1(D: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E[|grad D(x)|^2] over the real rows (N, ...), a scalar: Eq. 9 without its gamma / 2.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, arXiv:1801.04406. The weight that a
    pipeline puts before it is the paper's gamma / 2: a lambda of 5 is their gamma of 10.
    """
    return _input_gradient(D, at_least_float32(real.detach())).square().sum(1).mean()


def r1_r2(D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """E[|grad D(x)|^2] over the real rows plus E[|grad D(G(z))|^2] over the fake rows, (N, ...) each, a scalar.

    R1 and R2 of Mescheder et al. 2018, without their gamma / 2. Huang et al. 2024 play both with one gamma, and so
    again a pipeline's lambda is gamma / 2.
    """
    return r1(D, real) + r1(D, fake)


def penalty(name: PenaltyName, D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, draw: Uniform) -> Tensor:
    """Returns the penalty of that name, unweighted; "none" is zero."""
    match name:
        case "gradient_penalty":
            return gradient_penalty(D, real, fake, draw)
        case "r1":
            return r1(D, real)
        case "r1_r2":
            return r1_r2(D, real, fake)
        case "none":
            return real.new_zeros((), dtype=torch.float32)


def _input_gradient(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Returns the gradient of each row's value by that row, (N, features), itself differentiable; in float32 at least,
    with autocast or without (torch lets CUDA's convolutions round that to TF32).

    The value of a row is the mean of its logits: for a PatchGAN the mean over the picture's patches, as in the
    objectives. A compiled D runs uncompiled here: compiled code has no second derivative.
    """
    with torch.autocast(x.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
        x = x.requires_grad_()
        value = at_least_float32(D(x)).reshape(len(x), -1).mean(1).sum()
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    return gradient.flatten(1)
