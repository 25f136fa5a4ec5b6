"""Weights of the authors' program in our networks and back: how far the outputs are apart. Promise: 1e-5 in float32.

python benchmarks/reference_weights.py --reference DIR --output benchmarks/results/reference_weights.txt

DIR is a checkout of github.com/junyanz/pytorch-CycleGAN-and-pix2pix; its networks are imported from there.
"""

import argparse
import contextlib
import importlib.util
import io
import itertools
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quagga.inference.model_files.state_dict_conversion import from_reference, read_weights, to_reference

PROMISE = 1e-5
SIZES = {"resnet_6blocks": 128, "resnet_9blocks": 128, "unet_128": 128, "unet_256": 256, "basic": 128, "pixel": 128}


def networks_of(reference: Path) -> Any:
    """Their module of networks."""
    spec = importlib.util.spec_from_file_location("reference_networks", reference / "models" / "networks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def theirs(module: Any, name: str, norm: str, dropout: bool, width: int) -> nn.Module:
    """One of their networks with their random weights, and biases and averages of batch norm that are random too."""
    with contextlib.redirect_stdout(io.StringIO()):
        if name in ("basic", "pixel"):
            network = module.define_D(3, width, name, norm=norm)
        else:
            network = module.define_G(3, 3, width, name, norm, dropout)
    for tensor_name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point():
            if "running_var" in tensor_name:
                nn.init.uniform_(tensor, 0.5, 1.5)
            elif tensor.ndim == 1:  # biases and averages start at 0, which would hide a mistake
                nn.init.normal_(tensor, tensor.mean().item(), 0.1)
    return network


def parted(network: nn.Module, own: nn.Module, x: Tensor) -> tuple[float, float]:
    """The largest difference of two networks' outputs, and the largest output."""
    with torch.inference_mode():
        a, b = network.eval()(x), own.eval()(x)
    return float((a - b).abs().max()), float(a.abs().max())


def report(reference: Path, width: int, names: list[str]) -> tuple[list[str], float]:
    """A table, and the largest difference in it, relative to outputs above 1 (a discriminator's are no pictures)."""
    module, lines, worst = networks_of(reference), [], 0.0
    lines.append(f"{'network':<16}{'norm':<10}{'dropout':<9}{'into ours':>11}{'and back':>11}{'names':>7}")
    for name, norm, dropout in itertools.product(names, ("instance", "batch", "none"), (False, True)):
        if dropout and name in ("basic", "pixel"):
            continue
        torch.manual_seed(0)
        network = theirs(module, name, norm, dropout, width)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "latest_net_G.pth"
            torch.save(network.state_dict(), path)
            _, own = from_reference(read_weights(path), path)
            _, state = to_reference(own)
            torch.save(state, path)
            twin = theirs(module, name, norm, False, width)
            twin.load_state_dict(torch.load(path, weights_only=True))
        x = torch.rand(2, 3, SIZES[name], SIZES[name]) * 2 - 1
        apart, largest = parted(network, own, x)
        back, _ = parted(network, twin, x)
        same = dropout or set(state) == set(network.state_dict())
        apart, back = apart / max(1, largest), back / max(1, largest)
        worst = max(worst, apart, back, 0.0 if same else 1.0)
        lines.append(f"{name:<16}{norm:<10}{dropout!s:<9}{apart:>11.1e}{back:>11.1e}{'equal' if same else 'differ':>7}")
    return lines, worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--output", type=Path, help="a text file for the table")
    chosen = parser.parse_args()
    lines, worst = report(chosen.reference, chosen.width, list(SIZES))
    text = "\n".join(
        [
            "Outputs of the authors' networks and of ours with their weights: largest difference, eval mode, float32",
            f"width {chosen.width}, Python {platform.python_version()}, torch {torch.__version__}, CPU",
            "",
            *lines,
            "",
            f"promise: {PROMISE:.0e}; worst: {worst:.1e}",
        ]
    )
    print(text)
    if chosen.output:
        chosen.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
