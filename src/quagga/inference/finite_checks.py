"""Weights and pictures with values that are NaN or infinite are refused before anything is made of them."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from quagga.errors import BadInput


def check_weights(network: nn.Module, source: object) -> None:
    """Refuses a network whose weights, or the averages of its normalisation, are not finite. Another buffer may be
    infinite, as a mask for attention is, but not NaN.

    Args:
        network: On any device.
        source: The file or run that was read, for the message.

    Raises:
        BadInput: it names the first layer with such a value.
    """
    for layer, module in network.named_modules():
        is_norm = isinstance(module, _NormBase)
        groups = (module.named_parameters(recurse=False), True), (module.named_buffers(recurse=False), is_norm)
        for tensors, must_be_finite in groups:
            for name, tensor in tensors:
                # A sum is finite only where all values are, and takes a fifth of the time. It may overflow: then look.
                if torch.isfinite(tensor.sum()):
                    continue
                bad = ~torch.isfinite(tensor) if must_be_finite else torch.isnan(tensor)
                if bad.any():
                    raise BadInput(
                        f"{source}: {int(bad.sum())} of {bad.numel()} values of {name} in the layer"
                        f" {layer or 'itself'} are NaN or infinite, so that nothing can be made with it: copy it again,"
                        " or take an earlier model"
                    )


def check_finite_output(output: Tensor, direction: str, half_precision: bool = False) -> Tensor:
    """Returns the output of a network, of any shape, if all its values are finite.

    Args:
        output: What the network made.
        direction: What it makes of what, for the message: "horse to zebra".
        half_precision: Whether products were computed in 16 bits.

    Raises:
        BadInput: a value is NaN or infinite.
    """
    if torch.isfinite(output).all():
        return output
    move = "take --mixed_precision no" if half_precision else "take an earlier model, or compute it with --device cpu"
    raise BadInput(f"the model ({direction}) made values that are NaN or infinite, and no picture: {move}")
