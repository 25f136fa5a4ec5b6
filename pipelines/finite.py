"""Weights and pictures that are no numbers (NaN) or infinite: refused before anything is made of them."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from quagga import BadInput


def sound(network: nn.Module, where: object) -> nn.Module:
    """The same network.

    Args:
        network: Its weights must be finite, and so must the averages of its normalisation. Another buffer may be
            infinite, as a mask for attention is, but not NaN.
        where: What is read, for the message: a file or a run.

    Raises:
        BadInput: the first layer that does not hold this is named.
    """
    for layer, module in network.named_modules():
        normal = isinstance(module, _NormBase)
        kinds = (module.named_parameters(recurse=False), True), (module.named_buffers(recurse=False), normal)
        for tensors, bounded in kinds:
            for name, tensor in tensors:
                bad = ~torch.isfinite(tensor) if bounded else torch.isnan(tensor)
                if bad.any():
                    raise BadInput(
                        f"{where}: {int(bad.sum())} of {bad.numel()} values of {name} in the layer {layer or 'itself'}"
                        " are NaN or infinite, so that nothing can be made with it: copy it again, or take an earlier"
                        " model"
                    )
    return network


def checked(made: Tensor, source: str, narrow: bool = False) -> Tensor:
    """What a network made, of any shape.

    Args:
        made: What it made.
        source: Whose it is, for the message: "horse to zebra".
        narrow: Whether products were computed in 16 bits.

    Raises:
        BadInput: a value is NaN or infinite.
    """
    if torch.isfinite(made).all():
        return made
    move = "take --mixed_precision no" if narrow else "take an earlier model, or compute it with --device cpu"
    raise BadInput(f"the model ({source}) made values that are NaN or infinite, and no picture: {move}")
