"""The networks of pipelines whose pictures of noise grow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from quagga.errors import BadInput
from quagga.models import ProgressiveDiscriminator, ProgressiveGenerator
from quagga.pipelines.core.option_checks import check_sizes, refusing_sizes
from quagga.pipelines.core.options.adversary import Adversary
from quagga.pipelines.core.phases import PhaseOptions


@dataclass(frozen=True)
class GrowingNetworks:
    """A generator z -> x and a discriminator x -> logit, mirror images of each other, for pictures from 4 pixels a side
    up to `size`.

    Args:
        size: side of the pictures in the end: 4, doubled: 8, 16, ..., 1024. None takes the data's.
        x_channels: channels of the pictures: 3 for colour, 1 for grey; None takes the data's.
        z_size: numbers of noise a picture is made of; None takes `width`, as in the paper.
        width: most channels of the maps of both networks; the paper has 512.
        wide_until: pixels a side up to which maps have so many channels; above, each doubling halves them.
        group: pictures of which D sees how much they differ, by the minibatch's standard deviation; 1: it does not.
    """

    size: int | None = None
    x_channels: int | None = None
    z_size: int | None = None
    width: int = 128
    wide_until: int = 32
    group: int = 4

    def __post_init__(self):
        counts = {"z_size": self.z_size, "width": self.width, "wide_until": self.wide_until, "group": self.group}
        check_sizes(self.size, None, None, x_channels=self.x_channels, **counts)

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and side of the pictures in the end. Raises BadInput if they are not known."""
        if self.size is None or self.x_channels is None:
            raise BadInput(
                "the pictures' size and channels are not known: say --size 64 --x_channels 3, or as they are"
            )
        return self.x_channels, self.size

    @property
    def noise_size(self) -> int:
        """Numbers of noise."""
        return self.z_size or self.width

    def growth(self, phases: Sequence[PhaseOptions] | None) -> tuple[bool, ...]:
        """Returns of each phase of a schedule whether its pictures are larger than those before. Raises BadInput if
        they shrink, or more than double."""
        each = [int(phase.get("size") or self.shape[1]) for phase in phases or [{}]]
        for number, (before, after) in enumerate(pairwise(each), 2):
            if after not in (before, 2 * before):
                raise BadInput(
                    f"--phases: phase {number} goes from {before} pixels to {after}, and pictures double: give each"
                    f" size a phase, such as {{images: 40960, size: {2 * before}}}"
                )
        return (False, *(after > before for before, after in pairwise(each)))

    @refusing_sizes()
    def make_generator(self) -> ProgressiveGenerator:
        """Returns a generator z (N, z_size) -> x (N, x_channels, side, side), see the class."""
        channels, size = self.shape
        return ProgressiveGenerator(size, channels, self.noise_size, self.width, self.wide_until)

    @refusing_sizes()
    def make_discriminator(self, adversary: Adversary) -> nn.Module:
        """Returns a discriminator x (N, x_channels, side, side), alpha -> logits (N, 1)."""
        channels, size = self.shape

        def own() -> nn.Module:
            return ProgressiveDiscriminator(size, channels, self.width, self.wide_until, self.group, adversary.spectral)

        return adversary.judges(own, channels)
