"""Where did a translator invent something? Maps of where it does not stand by its answer y = G(x).

Of a photo no true translation is known, so that no map can say what is wrong. Three questions can be asked:

    way back   |F(G(x)) - x|         does the way back find what was there? (cycle consistency, Zhu et al. 2017, Eq. 2)
    weights    |G'(x) - G(x)|        do the weights of other moments of the training answer the same?
    moved      |T^-1 G(T x) - G(x)|  does the picture, mirrored or shifted by T, become the mirrored or shifted y?

What a translator reads in x, it finds again in any of these ways; what it makes up has no such hold. A map is the mean
of the absolute difference over channels and over all that is compared: (N, 1, H, W), in shares of the range of
pictures. 0: the same; 1: black against white.

>>> cycle_map(x, y, back=F)
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as functional

from quagga.data.io.pixel_format import Fitted
from quagga.inference.translator import Translator

Forward = Callable[[Tensor], Tensor]  # (N, C, H, W) -> (N, C', H, W), both in [-1, 1]

SHIFT = 1 / 8  # of the shorter side: how far pictures are shifted, right and down, and left and up
PEAK = 0.05  # share of a map's pixels, the highest, of which its number is the mean


def difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of pictures (N, C, H, W) in [-1, 1] over their channels -> (N, 1, H, W) in [0, 1]."""
    return (a - b).abs().mean(1, keepdim=True) / 2


def cycle_map(x: Tensor, y: Tensor, back: Forward) -> Tensor:
    """Maps how far the way back from y, (N, C', H, W), is from x, (N, C, H, W) -> (N, 1, H, W) in [0, 1]."""
    return difference(back(y).to(x), x)


def weights_map(x: Tensor, y: Tensor, others: Iterable[Forward]) -> Tensor:
    """Maps how far other translators of x are from y = G(x) -> (N, 1, H, W) in [0, 1], the mean over them.

    Raises:
        ValueError: there are none.
    """
    return _mean([difference(other(x).to(y), y) for other in others])


def moved_map(x: Tensor, y: Tensor, forward: Forward) -> Tensor:
    """Maps how far the translations of x mirrored, and shifted by 1/8 either way, are from y = forward(x), all
    brought back -> (N, 1, H, W) in [0, 1], the mean over them.

    What a shift brings in at the border is x reflected there; where it is brought back, it does not count.
    """
    height, width = x.shape[2:]
    total = difference(forward(x.flip(3)).flip(3).to(y), y)
    count = torch.ones_like(total)
    step = min(max(1, round(min(height, width) * SHIFT)), min(height, width) - 1)
    if step:  # a line of pixels cannot be shifted
        for s, inside in ((step, slice(None, -step)), (-step, slice(step, None))):
            again = difference(shifted(forward(shifted(x, s)).to(y), -s), y)
            total[..., inside, inside] += again[..., inside, inside]
            count[..., inside, inside] += 1
    return total / count


def shifted(x: Tensor, s: int) -> Tensor:
    """Shifts pictures (N, C, H, W) by s pixels right and down, or left and up if s is negative. They keep their size:
    what leaves is cut off, and what enters is the picture reflected at its border."""
    height, width = x.shape[2:]
    if s < 0:
        return functional.pad(x, (0, -s, 0, -s), mode="reflect")[..., -s:, -s:]
    return functional.pad(x, (s, 0, s, 0), mode="reflect")[..., :height, :width]


def combined_map(maps: Mapping[str, Tensor]) -> Tensor:
    """Returns the mean of maps (N, 1, H, W), all of which are in the same unit. Raises ValueError: there are none."""
    return _mean(list(maps.values()))


def peak(doubt: Tensor) -> Tensor:
    """Returns the number of each map (N, 1, H, W): the mean of the highest 5 % of its pixels, (N,). A mean over all
    would hide what was invented in a small place."""
    pixels = doubt.flatten(1)
    return pixels.topk(math.ceil(PEAK * pixels.shape[1]), dim=1).values.mean(1)


def _mean(maps: Sequence[Tensor]) -> Tensor:
    if not maps:
        raise ValueError("there is nothing to compare the translation with")
    return torch.stack(list(maps)).mean(0)


@dataclass(frozen=True)
class Faithfulness:
    """Asks a translator the three questions, as far as there is what they need.

    Args:
        translator: G.
        back: F; None: there is no way back.
        others: The translator with other weights.
    """

    translator: Translator
    back: Translator | None = None
    others: tuple[Translator, ...] = ()

    def maps(self, picture: Fitted, c: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the maps of a picture that the translator has read, by name, each (1, 1, h, w) at the size at which
        the picture goes through the network, on the CPU.

        Args:
            picture: As `Translator.read` has returned it.
            c: The condition, as `Translator.condition` has returned it.

        Raises:
            BadInput: as `Translator.translate` does.
        """
        x = self.translator.network_input(picture).to(self.translator.device)

        def with_condition(translator: Translator) -> Forward:
            return lambda x: translator.forward(x, c)

        forward = with_condition(self.translator)
        with torch.inference_mode():
            y = forward(x)
            maps = {"way_back": cycle_map(x, y, self.back.forward)} if self.back else {}
            if self.others:
                maps["weights"] = weights_map(x, y, map(with_condition, self.others))
            maps["moved"] = moved_map(x, y, forward)
        return {name: found.float().cpu() for name, found in maps.items()}


def with_weights(translator: Translator, weights: Mapping[str, Tensor]) -> Translator | None:
    """Returns a translator with other weights in its network; None where they are not those of such a network."""
    network = deepcopy(translator.network)
    try:
        network.load_state_dict(weights)
    except RuntimeError:  # other names or shapes
        return None
    return replace(translator, predictor=replace(translator.predictor, network=network))
