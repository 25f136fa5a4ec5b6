"""A loss equals its formula; the best discriminator measures a divergence; penalties are those of their papers."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from quagga.models import PatchGAN
from quagga.pipelines.core.losses import OBJECTIVES, ObjectiveName, gradient_penalty, penalty, r1, r1_r2, readings

NAMES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
RELATIVISTIC = [name for name in NAMES if OBJECTIVES[name].relativistic]


class Constant:
    """A draw that says the same for every row."""

    def __init__(self, value: float = 0.25):
        self.value = value

    def uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return like.new_full((len(like), *shape), self.value)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_equals_its_formula(name: ObjectiveName):
    real, fake = [0.3, -2.0, 1.7, 0.5], [-0.6, 2.5, 0.1, -1.2]
    pairs = list(zip(real, fake, strict=True))
    log_real = mean([math.log(sigmoid(r)) for r in real])
    log_not_fake = mean([math.log(1 - sigmoid(f)) for f in fake])
    discriminator, generator = {
        "minimax": (-log_real - log_not_fake, log_not_fake),
        "non_saturating": (-log_real - log_not_fake, -mean([math.log(sigmoid(f)) for f in fake])),
        "least_squares": (
            mean([(r - 1) ** 2 for r in real]) + mean([f**2 for f in fake]),
            mean([(f - 1) ** 2 for f in fake]),
        ),
        "hinge": (mean([max(0, 1 - r) for r in real]) + mean([max(0, 1 + f) for f in fake]), -mean(fake)),
        "wasserstein": (mean(fake) - mean(real), -mean(fake)),
        "relativistic": (
            -mean([math.log(sigmoid(r - f)) for r, f in pairs]),
            -mean([math.log(sigmoid(f - r)) for r, f in pairs]),
        ),
    }[name]
    real_logits = torch.tensor(real, dtype=torch.float64).reshape(2, 1, 2, 1)  # of patches
    fake_logits = torch.tensor(fake, dtype=torch.float64).reshape(2, 1, 2, 1)
    assert OBJECTIVES[name].discriminator(real_logits, fake_logits).item() == pytest.approx(discriminator, rel=1e-12)
    assert OBJECTIVES[name].generator(fake_logits, real_logits).item() == pytest.approx(generator, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RELATIVISTIC])
def test_without_pairs_a_generator_needs_no_real_logits_and_batches_may_differ(name: ObjectiveName):
    fake, real = torch.tensor([0.3, -2.0, 1.7]), torch.tensor([5.0, 6.0])
    assert OBJECTIVES[name].generator(fake) == OBJECTIVES[name].generator(fake, real)
    assert OBJECTIVES[name].discriminator(real, fake).isfinite()


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_pairs_are_compared_and_nothing_else(name: ObjectiveName):
    real, fake = torch.randn(2, 5, 1, dtype=torch.float64)
    pair = OBJECTIVES[name]
    log_2 = torch.tensor(math.log(2), dtype=torch.float64)
    torch.testing.assert_close(pair.discriminator(real, real), log_2)  # no difference: D only guesses
    torch.testing.assert_close(pair.generator(real, real), log_2)
    torch.testing.assert_close(pair.discriminator(real + 7, fake + 7), pair.discriminator(real, fake))
    torch.testing.assert_close(pair.generator(fake + 7, real + 7), pair.generator(fake, real))
    torch.testing.assert_close(pair.generator(fake, real), pair.discriminator(fake, real))  # the roles are swapped
    assert not torch.isclose(pair.discriminator(real, fake), pair.discriminator(real, fake.roll(1, 0)))
    with pytest.raises(TypeError, match=r"call generator\(fake, real\)"):
        pair.generator(fake)
    for short in (fake[:3], fake[:, 0]):  # which would be broadcast: every real with every fake
        with pytest.raises(ValueError, match="compared in pairs"):
            pair.discriminator(real, short)
        with pytest.raises(ValueError, match="compared in pairs"):
            pair.generator(short, real)


@pytest.mark.parametrize("name", NAMES)
def test_the_two_sides_pull_the_fake_logit_apart(name: ObjectiveName):
    real = torch.tensor([0.4], requires_grad=True)
    fake = torch.tensor([0.4], requires_grad=True)
    up, down = torch.autograd.grad(OBJECTIVES[name].discriminator(real, fake), (real, fake))
    assert up < 0 < down  # a step against the gradient raises D on real and lowers it on fake
    (fool,) = torch.autograd.grad(OBJECTIVES[name].generator(fake, real.detach()), fake)
    assert fool < 0  # and G raises it


def test_the_saturating_generator_saturates_and_the_other_does_not():
    fake = torch.tensor([-20.0], requires_grad=True)  # D is sure
    (flat,) = torch.autograd.grad(OBJECTIVES["minimax"].generator(fake), fake)
    (steep,) = torch.autograd.grad(OBJECTIVES["non_saturating"].generator(fake), fake)
    assert -1e-8 < flat < 0
    assert steep == pytest.approx(-1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_and_extreme_logits_stay_finite(name: ObjectiveName, dtype: torch.dtype):
    for real, fake in ((200.0, -200.0), (-200.0, 200.0)):
        real_logits, fake_logits = torch.full((3, 1), real, dtype=dtype), torch.full((3, 1), fake, dtype=dtype)
        fake_logits.requires_grad_()
        for loss in (
            OBJECTIVES[name].discriminator(real_logits, fake_logits),
            OBJECTIVES[name].generator(fake_logits, real_logits),
        ):
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            (gradient,) = torch.autograd.grad(loss, fake_logits)
            assert gradient.isfinite().all()
    double = torch.zeros(1, dtype=torch.float64)
    assert OBJECTIVES[name].generator(double, double).dtype == torch.float64


def test_the_best_discriminator_measures_the_jensen_shannon_divergence():
    # Goodfellow et al. 2014, Proposition 1 and Theorem 1: the game at D*(x) = p / (p + q) is worth 2 JSD - log 4
    for counts in (([4, 2, 1, 1], [1, 1, 2, 4]), ([3, 1], [3, 1]), ([7, 1], [1, 7])):
        p, q = (torch.tensor(c, dtype=torch.float64) / sum(c) for c in counts)
        m = (p + q) / 2
        divergence = ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
        logits = (p / q).log()  # sigmoid of it is D*
        real, fake = (logits.repeat_interleave(torch.tensor(c)) for c in counts)  # all samples of each side
        discriminator = OBJECTIVES["minimax"].discriminator
        best = discriminator(real, fake)
        torch.testing.assert_close(-best, 2 * divergence - math.log(4))
        for other in (logits + 0.1, logits - 0.1, logits * 1.1 + 0.01):
            real, fake = (other.repeat_interleave(torch.tensor(c)) for c in counts)
            assert discriminator(real, fake) > best


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 4, 6)])
def test_penalties_of_a_linear_discriminator(shape: tuple[int, ...]):
    real, fake = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    w = torch.randn(shape[1:], dtype=torch.float64)

    def D(x: Tensor) -> Tensor:
        return (x * w).flatten(1).sum(1)

    torch.testing.assert_close(gradient_penalty(D, real, fake, Constant()), (w.norm() - 1) ** 2)
    torch.testing.assert_close(gradient_penalty(D, real, fake, Constant(), target=0), w.norm() ** 2)
    torch.testing.assert_close(r1(D, real), w.norm() ** 2)
    assert torch.equal(penalty("r1", D, real, fake, Constant()), r1(D, real))
    assert torch.equal(
        penalty("gradient_penalty", D, real, fake, Constant()), gradient_penalty(D, real, fake, Constant())
    )
    torch.testing.assert_close(r1_r2(D, real, fake), 2 * w.norm() ** 2)
    assert torch.equal(penalty("r1_r2", D, real, fake, Constant()), r1_r2(D, real, fake))
    assert penalty("none", D, real, fake, Constant()) == 0


def test_the_gradient_penalty_looks_between_real_and_fake_r1_at_real_and_r2_at_fake():
    real, fake = torch.tensor([[1.0], [2.0]]), torch.tensor([[5.0], [-2.0]])

    def D(x: Tensor) -> Tensor:  # gradient x
        return x.square() / 2

    between = 0.25 * real + 0.75 * fake  # [[4], [-1]]
    torch.testing.assert_close(gradient_penalty(D, real, fake, Constant(0.25)), (between.abs() - 1).square().mean())
    torch.testing.assert_close(r1(D, real), real.square().mean())
    torch.testing.assert_close(r1_r2(D, real, fake), real.square().mean() + fake.square().mean())


def test_a_patchgan_is_penalised_for_the_mean_of_its_patches():
    real = torch.randn(3, 2, 4, 4, dtype=torch.float64)

    def D(x: Tensor) -> Tensor:  # 16 logits a row, each with gradient 1 at a pixel of two channels
        return x.sum(1, keepdim=True)

    torch.testing.assert_close(r1(D, real), torch.tensor(2 * 16 / 16**2, dtype=torch.float64))


@pytest.mark.parametrize("name", ["gradient_penalty", "r1", "r1_r2"])
def test_penalties_reach_the_discriminators_weights_through_two_derivatives(name):
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    real, fake = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    parameters = dict(D.named_parameters())

    def loss(weight: Tensor) -> Tensor:
        changed = parameters | {"0.weight": weight}
        return penalty(name, lambda x: torch.func.functional_call(D, changed, (x,)), real, fake, Constant())

    assert torch.autograd.gradcheck(loss, (parameters["0.weight"],))


@pytest.mark.parametrize("name", ["gradient_penalty", "r1", "r1_r2"])
def test_penalties_ignore_autocast_and_leave_their_inputs_alone(name):
    D = PatchGAN(width=4, layers=1)
    seen = []
    D.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    real, fake = torch.rand(2, 3, 12, 12), torch.rand(2, 3, 12, 12, requires_grad=True)
    expected = penalty(name, D, real, fake, Constant())
    with torch.autocast("cpu", torch.bfloat16):
        value = penalty(name, D, real, fake, Constant())
        D(real)
    passes = 2 if name == "r1_r2" else 1  # through D, each time
    assert seen == [torch.float32] * 2 * passes + [torch.bfloat16]
    assert torch.equal(value, expected)
    value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in D.parameters() if p.ndim == 4)
    assert fake.grad is None
    assert not real.requires_grad
    half = penalty(name, lambda x: x.flatten(1).sum(1), real.bfloat16(), fake.bfloat16(), Constant())
    assert half.dtype == torch.float32


def test_a_flat_discriminator_has_finite_gradients_under_the_penalty():
    w = torch.zeros(3, requires_grad=True)
    value = gradient_penalty(lambda x: x @ w, torch.rand(2, 3), torch.rand(2, 3), Constant())
    value.backward()
    assert value == 1
    assert w.grad is not None and w.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RELATIVISTIC])
def test_readings(name: ObjectiveName):
    boundary = 0.5 if name == "least_squares" else 0.0
    real = torch.tensor([[0.25], [2.0], [-0.25], [1.0]], requires_grad=True) + boundary
    fake = torch.tensor([-0.25, 4.0]) + boundary
    read = readings(name, real, fake)
    assert read["real"].item() == 0.75 + boundary
    assert read["fake"].item() == 1.875 + boundary
    if name == "wasserstein":
        assert "accuracy" not in read
    else:
        assert read["accuracy"].item() == (3 / 4 + 1 / 2) / 2
    assert not any(value.requires_grad for value in read.values())


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_readings_of_pairs(name: ObjectiveName):
    """Right is who gives real the higher logit, wherever the two lie; who gives both the same is wrong."""
    real = torch.tensor([[0.25], [-2.0], [-0.25], [1.0]], requires_grad=True)
    fake = torch.tensor([[-0.25], [-4.0], [4.0], [1.0]])
    read = readings(name, real, fake)
    assert (read["real"].item(), read["fake"].item(), read["accuracy"].item()) == (-0.25, 0.1875, 2 / 4)
    assert not any(value.requires_grad for value in read.values())
