"""What discriminators and generators minimise: objectives, and penalties on the discriminator's gradient.

D gives *logits* of any shape (N, ...), one for each picture or one for each patch; D(x) in the papers' minimax game is
their sigmoid. E is the mean over all of them. Both functions of a pair are minimised and return a scalar. D's is the
plain sum of its two means: where a paper halves it, the pipeline does. Half-precision logits are widened to float32.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

ObjectiveName = Literal["least_squares", "non_saturating", "minimax", "hinge", "wasserstein"]
PenaltyName = Literal["none", "gradient_penalty", "r1"]


class Objective(NamedTuple):
    """A pair of losses. `boundary`: D calls real what has a logit above it; None where D has no absolute zero."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (logits of real, logits of fake) -> scalar, minimised by D
    generator: Callable[[Tensor], Tensor]  # logits of fake -> scalar, minimised by G
    boundary: float | None


def wide(x: Tensor) -> Tensor:
    """float16 and bfloat16 become float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# Goodfellow et al., "Generative Adversarial Networks", 2014, arXiv:1406.2661. With D = sigmoid(logit),
# log D = -softplus(-logit) and log(1 - D) = -softplus(logit), which stay finite for every logit.


def minimax_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))]: minus the game's value, Eq. 1. At the best D, log 4 - 2 JSD (Theorem 1)."""
    return softplus(-wide(real)).mean() + softplus(wide(fake)).mean()


def minimax_generator(fake: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))], Eq. 1. It saturates: where D is sure of a fake, the gradient vanishes."""
    return -softplus(wide(fake)).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """-E[log D(G(z))], Sec. 3: the same fixed point, with strong gradients where D is sure of a fake."""
    return softplus(-wide(fake)).mean()


# Mao et al., "Least Squares Generative Adversarial Networks", 2017, arXiv:1611.04076: Eq. 2 with a = 0 and b = c = 1,
# without its factors 1/2; so in Zhu et al. 2017, Sec. 4, arXiv:1703.10593.


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[(D(x) - 1)^2] + E[D(G(z))^2]."""
    return (wide(real) - 1).square().mean() + wide(fake).square().mean()


def least_squares_generator(fake: Tensor) -> Tensor:
    """E[(D(G(z)) - 1)^2]."""
    return (wide(fake) - 1).square().mean()


# Lim & Ye, "Geometric GAN", 2017, arXiv:1705.02894; Miyato et al. 2018, Eq. 16 and 17, arXiv:1802.05957.


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]."""
    return relu(1 - wide(real)).mean() + relu(1 + wide(fake)).mean()


# Arjovsky et al., "Wasserstein GAN", 2017, Eq. 2, arXiv:1701.07875: D is a critic that must be kept Lipschitz, by a
# gradient penalty, by spectral normalisation, or by clipping its weights.


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)]: minus the estimated earth mover's distance."""
    return wide(fake).mean() - wide(real).mean()


def critic_generator(fake: Tensor) -> Tensor:
    """-E[D(G(z))]: the generator's side of both the Wasserstein and the hinge game."""
    return -wide(fake).mean()


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "least_squares": Objective(least_squares_discriminator, least_squares_generator, 0.5),
    "non_saturating": Objective(minimax_discriminator, non_saturating_generator, 0.0),
    "minimax": Objective(minimax_discriminator, minimax_generator, 0.0),
    "hinge": Objective(hinge_discriminator, critic_generator, 0.0),
    "wasserstein": Objective(wasserstein_discriminator, critic_generator, None),
}


def readings(objective: ObjectiveName, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """How D is doing, without gradient: the mean logit of real and of fake, and the share of right decisions.

    "accuracy" counts real and fake alike: 0.5 is guessing, 1 is a D that cannot be fooled. A logit on the very
    boundary is wrong. A Wasserstein critic knows better from worse and has no boundary: it has no accuracy.
    """
    real, fake = wide(real.detach()), wide(fake.detach())
    read = {"real": real.mean(), "fake": fake.mean()}
    boundary = OBJECTIVES[objective].boundary
    if boundary is not None:
        read["accuracy"] = ((real > boundary).float().mean() + (fake < boundary).float().mean()) / 2
    return read


class Uniform(Protocol):
    """Where chance comes from: `quagga.pipelines.minimax.Draw`, or anything that can do this."""

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """(N, *shape) numbers in [0, 1), on the device and in the dtype of `like`."""
        ...


def gradient_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, draw: Uniform, target: float = 1.0
) -> Tensor:
    """E[(|grad D(x^)| - target)^2] at x^ = e x + (1 - e) x~, e uniform: Eq. 3 without its lambda, a scalar.

    Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, arXiv:1704.00028 (lambda = 10). `real` and `fake`
    are (N, ...): pictures or points. E is the mean over rows. D must not have batch normalisation, which
    mixes them (Sec. 4).
    """
    real, fake = wide(real.detach()), wide(fake.detach())
    e = draw.uniform((1,) * (real.ndim - 1), like=real)
    gradient = _input_gradient(D, e * real + (1 - e) * fake)
    return (torch.linalg.vector_norm(gradient, dim=1) - target).square().mean()


def r1(D: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E[|grad D(x)|^2] over the real rows (N, ...), a scalar: Eq. 9 without its gamma / 2.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, arXiv:1801.04406. The weight that a
    pipeline puts before it is the paper's gamma / 2: a lambda of 5 is their gamma of 10.
    """
    return _input_gradient(D, wide(real.detach())).square().sum(1).mean()


def penalty(name: PenaltyName, D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, draw: Uniform) -> Tensor:
    """The penalty of that name, before it is weighted; "none" is zero."""
    match name:
        case "gradient_penalty":
            return gradient_penalty(D, real, fake, draw)
        case "r1":
            return r1(D, real)
        case "none":
            return real.new_zeros((), dtype=torch.float32)


def _input_gradient(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Each row's gradient of its value, (N, features), itself differentiable; in float32 at least, autocast or not
    (CUDA's convolutions round that to TF32, as torch lets them).

    The value of a row is the mean of its logits: a PatchGAN says of a picture what its patches say on average, which is
    also what the objectives see. A compiled D runs as written here: compiled code has no second derivative.
    """
    with torch.autocast(x.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
        x = x.requires_grad_()
        value = wide(D(x)).reshape(len(x), -1).mean(1).sum()
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    return gradient.flatten(1)
