"""Discriminators that judge pictures by the features of a network trained on many others.

Sauer, Chitta, Mueller, Geiger: Projected GANs Converge Faster, NeurIPS 2021 (arXiv:2111.01007), Sec. 3; beside a
discriminator that learns from nothing, as in Kumari, Zhang, Shechtman, Zhu: Ensembling Off-the-shelf Models for GAN
Training, CVPR 2022 (arXiv:2112.09130).

    x -> frozen features, four maps -> random 1 x 1 convolutions (CCM) -> added from coarse to fine, through random
    3 x 3 convolutions (CSM) -> a small head with spectral normalisation for each map

The features and the random convolutions are never trained. Here the two coarse heads give one verdict a picture, of the
mean and the maximum of their maps, where the paper's judge places: a coarse verdict on each place may call every sky
false in pictures that have few.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quagga.errors import BadInput
from quagga.models.blocks.encoders import Encoder
from quagga.models.blocks.layers import spectral_norm_
from quagga.models.pretrained.frozen import Frozen

LEAST = 128  # pixels: smaller pictures are enlarged for the features, whose coarsest map has a 32nd of that
WHOLE = 2  # coarse maps, of which the head judges the whole picture


class ProjectedDiscriminator(nn.Module):
    """Pictures (N, before + x_channels, H, W) in [-1, 1], and perhaps c -> logits of each head, finest map first: (N,
    1, h, w) of places or (N, 1, 1, 1) of the whole picture.

    Args:
        features: four maps of a picture, as `named_features` has them; or a `Frozen` of one's own network.
        x_channels: of what is judged: 3 for colour, 1 for grey.
        before: channels that stand before x and belong to it, such as the picture that it was made of; heads see them
            beside the features.
        encoder: of a condition; a head's verdict then also depends on how its map and the condition go together
            (Miyato & Koyama 2018, arXiv:1802.05637).
        width: channels of mixed maps and heads.

    Raises:
        ValueError: pictures have neither 3 channels nor 1.
    """

    features_sha256: Tensor

    def __init__(
        self,
        features: Frozen,
        x_channels: int = 3,
        before: int = 0,
        encoder: Encoder | None = None,
        width: int = 64,
    ) -> None:
        super().__init__()
        if x_channels not in (1, 3):
            raise ValueError(f"features are those of colour or grey pictures, not of {x_channels} channels")
        self.features, self.before, self.encoder = features, before, encoder
        for place, count in enumerate(features.channels):  # deviation 1 in, deviation 1 out
            self.register_buffer(f"ccm{place}", torch.randn(width, count, 1, 1) / count**0.5)
            self.register_buffer(f"csm{place}", torch.randn(width, width, 3, 3) / (9 * width) ** 0.5)
        condition_width = encoder.width if encoder else None
        whole = len(features.channels) - WHOLE
        self.heads = nn.ModuleList(
            Head(width, before, condition_width, whole=place >= whole) for place in range(len(features.channels))
        )
        spectral_norm_(self)
        # A run that goes on must have the same features, which its checkpoint does not hold.
        self.register_buffer("features_sha256", torch.tensor(list(bytes.fromhex(features.sha256)), dtype=torch.uint8))
        self.register_load_state_dict_pre_hook(check_features)

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
        """(N, before + x_channels, H, W) in [-1, 1], and c as the encoder takes it -> (N, 1, h, w) of each head."""
        beside, x = x[:, : self.before], x[:, self.before :]
        encoded = self.encoder(c) if self.encoder else None
        scale = LEAST / min(x.shape[2:])
        enlarged = F.interpolate(x, scale_factor=scale, mode="bilinear") if scale > 1 else x
        maps = self.mix(self.features(enlarged.expand(-1, 3, -1, -1)))
        return tuple(head(m, beside, encoded) for head, m in zip(self.heads, maps, strict=True))

    def mix(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the features, finest first -> as many, (N, width, h, w), each with what is coarser mixed in (Sec.
        3.2)."""
        mixed: list[Tensor] = []
        for place in reversed(range(len(maps))):
            m = F.conv2d(maps[place], self.get_buffer(f"ccm{place}"))
            if mixed:
                m = (m + F.interpolate(mixed[0], m.shape[2:], mode="bilinear")) * 0.5**0.5
            mixed.insert(0, F.conv2d(m, self.get_buffer(f"csm{place}"), padding=1))
        return mixed


class Head(nn.Module):
    """A map (N, width, h, w), the condition's pictures (N, before, H, W) and an encoded condition -> logits (N, 1, h',
    w'), h' = ceil(h / 2), or of the whole picture (N, 1, 1, 1)."""

    def __init__(self, width: int, before: int, condition_width: int | None, whole: bool) -> None:
        super().__init__()
        self.whole = whole
        self.convolution = nn.Conv2d(width + before, width, 3, 1 if whole else 2, padding=1)
        self.judge = nn.Conv2d(2 * width if whole else width, 1, 1 if whole else 3, padding=0 if whole else 1)
        self.condition = nn.Linear(condition_width, self.judge.in_channels) if condition_width else None

    def forward(self, m: Tensor, beside: Tensor, encoded: Tensor | None) -> Tensor:
        """See the class; `beside` is shrunk to the map's size, and may have no channels."""
        if beside.shape[1]:
            m = torch.cat([m, F.adaptive_avg_pool2d(beside, (m.shape[2], m.shape[3])).to(m.dtype)], 1)
        h = F.leaky_relu(self.convolution(m), 0.2)
        if self.whole:
            # Not amax: its gradient looks for the values that equal the maximum, and kernels that torch.compile makes
            # keep more digits than the bf16 maximum has, find none, and divide by 0.
            highest = h.flatten(2).max(2).values[..., None, None]
            h = torch.cat([h.mean((2, 3), keepdim=True), highest], 1)
        logits = self.judge(h)
        if self.condition is not None and encoded is not None:
            logits = logits + (h * self.condition(encoded)[..., None, None]).mean(1, keepdim=True)
        return logits


class Judges(nn.Module):
    """Two discriminators of the same pictures: one that learns from nothing, and one on features -> the logits of the
    first, then those of the second's heads."""

    def __init__(self, own: nn.Module, projected: ProjectedDiscriminator) -> None:
        super().__init__()
        self.own, self.projected = own, projected

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What both take -> (N, ...) of `own`, and (N, 1, h, w) of each head."""
        return self.own(*inputs), *self.projected(*inputs)


def check_features(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Refuses a checkpoint that was trained on other features. Raises BadInput."""
    assert isinstance(module, ProjectedDiscriminator)
    stored = state.get(f"{prefix}features_sha256")
    if stored is not None and bytes(stored.tolist()).hex() != module.features.sha256:
        raise BadInput(
            f"the run was trained on features of SHA-256 {bytes(stored.tolist()).hex()[:8]}, and {module.features.name}"
            f" has {module.features.sha256[:8]}: install the package of its version, or begin a new run"
        )
