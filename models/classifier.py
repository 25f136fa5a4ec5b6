"""Networks that say what a picture shows."""

from torch import Tensor, nn

from quagga.models.arguments import Channels, Share, Units, remembers_arguments
from quagga.models.blocks.encoders import LabelName
from quagga.models.blocks.layers import Norm, normalization

POOLED = 4  # places a side that the last maps are averaged over: left and right, above and below stay apart
UNITS = 128  # of the layer before the last


@remembers_arguments
class ConvClassifier(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> logits (N, outputs), for pictures of any size.

    In the papers' shorthand c3s1-k, c3s2-k, c3s1-2k, c3s2-2k, c3s2-4k, an average over 4 x 4 places, fc128, fc. It is
    small, so that a CPU trains it in minutes.

    Args:
        in_channels: channels of the pictures.
        outputs: classes or attributes.
        width: channels of the first layers, k.
        norm: normalisation after every convolution.
        dropout: share of the values before the last layer that are dropped in training.
    """

    def __init__(
        self,
        in_channels: Channels = 3,
        outputs: Units = 10,
        width: Channels = 32,
        norm: Norm = "batch",
        dropout: Share = 0.3,
    ) -> None:
        super().__init__()
        k, body = width, []
        for inputs, channels, stride in (
            (in_channels, k, 1),
            (k, k, 2),
            (k, 2 * k, 1),
            (2 * k, 2 * k, 2),
            (2 * k, 4 * k, 2),
        ):
            convolution = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=norm != "batch")
            body += [convolution, normalization(norm, channels), nn.ReLU(inplace=True)]
            inputs = channels
        self.body = nn.Sequential(*body, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten())
        self.head = head(4 * k * POOLED**2, outputs, dropout)

    def hidden(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> (N, 128), what the last layer sees: the features of the picture."""
        return self.head[:2](self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> logits (N, outputs)."""
        return self.head[2:](self.hidden(x))


@remembers_arguments
class DeepClassifier(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> logits (N, outputs), for pictures of any size.

    In the papers' shorthand c3s2-k, c3s1-k, c3s2-2k, c3s1-2k, c3s2-4k, c3s1-4k, c3s2-8k, c3s1-8k, an average over the
    picture, fc: each of the last maps' places has seen 91 x 91 pixels, a whole animal, and the average does not know
    where in the picture it stands.

    Args:
        in_channels: channels of the pictures.
        outputs: classes or attributes.
        width: channels of the first layers, k.
        norm: normalisation after every convolution.
        dropout: share of the values before the last layer that are dropped in training.
    """

    def __init__(
        self,
        in_channels: Channels = 3,
        outputs: Units = 10,
        width: Channels = 32,
        norm: Norm = "batch",
        dropout: Share = 0.3,
    ) -> None:
        super().__init__()
        inputs, body = in_channels, []
        for channels in (width, 2 * width, 4 * width, 8 * width):
            for stride in (2, 1):
                convolution = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=norm != "batch")
                body += [convolution, normalization(norm, channels), nn.ReLU(inplace=True)]
                inputs = channels
        self.body = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * width, outputs))

    def hidden(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> (N, 8 width), what the last layer sees: the features of the picture."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1] -> logits (N, outputs)."""
        return self.head(self.hidden(x))


@remembers_arguments
class CodeClassifier(nn.Module):
    """Codes (N, code_size) of any range -> logits (N, outputs): fc128, ReLU, fc; a head for an encoder.

    Args:
        code_size: numbers of a code.
        outputs: classes or attributes.
        dropout: share of the values before the last layer that are dropped in training.
    """

    def __init__(self, code_size: Channels = 16, outputs: Units = 10, dropout: Share = 0.3) -> None:
        super().__init__()
        self.head = head(code_size, outputs, dropout)

    def forward(self, z: Tensor) -> Tensor:
        """(N, code_size) -> logits (N, outputs)."""
        return self.head(z)


@remembers_arguments
class Posterior(nn.Module):
    """(N, C, H, W) in [-1, 1] -> p(c|x), (N, K): the probability of each class, or of each attribute by itself.

    Args:
        logits: the network that gives logits (N, K).
        kind: whether exactly one of K classes is true, or any of K attributes.
    """

    def __init__(self, logits: nn.Module, kind: LabelName) -> None:
        super().__init__()
        self.logits, self.kind = logits, kind

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, K) in [0, 1]."""
        logits = self.logits(x)
        return logits.softmax(1) if self.kind == "class" else logits.sigmoid()


def head(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Returns fc128, ReLU, dropout, fc: (N, inputs) -> (N, outputs)."""
    return nn.Sequential(
        nn.Linear(inputs, UNITS), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(UNITS, outputs)
    )
