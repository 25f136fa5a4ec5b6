"""What torchvision's networks of ImageNet have in common: how pictures are scaled, and where their weights are."""

from pathlib import Path

import torch

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in [0, 1]


def hub_file(name: str) -> Path:
    """Returns where torchvision stores a file of weights, whether or not it is there: in torch's hub folder."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name
