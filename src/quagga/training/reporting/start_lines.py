"""What a run says before its first step: how it trains, and what could train faster or more exactly."""

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from quagga.errors import some
from quagga.models.pretrained.frozen import frozen_parts
from quagga.pipelines.core.game_protocol import networks_of
from quagga.pipelines.core.minimax_trainer import Trainer
from quagga.training.hardware.launcher import launched_fewer_than_asked


def start_lines(trainer: Trainer, folder: Path, deterministic: bool) -> list[str]:
    """Returns what a run in `folder` says as it begins; `deterministic`: whether the same bits are asked for."""
    return [
        *unused_processes_lines(trainer.accelerator),
        *(nondeterministic_layers_lines(trainer) if deterministic else []),
        start_message(trainer, folder),
    ]


def nondeterministic_layers_lines(trainer: Trainer) -> list[str]:
    """Returns a line on the layers whose result differs every time in spite of `--deterministic`."""
    if trainer.accelerator.device.type == "cpu":
        return []
    networks = {**trainer.game.generators, **trainer.game.discriminators}
    mirrored = [
        f"{name}.{key}"
        for name, network in networks.items()
        for key, layer in network.named_modules()
        if isinstance(layer, nn.ReflectionPad2d) or getattr(layer, "padding_mode", "") == "reflect"
    ]
    return [f"not deterministic on a GPU: the gradient of mirrored borders, in {some(mirrored, 4)}"] if mirrored else []


def unused_processes_lines(accelerator: Accelerator) -> list[str]:
    """Returns a line if more processes could train: there are unused GPUs, or more processes were asked for."""
    if accelerator.num_processes > 1:
        return []
    on_gpu = accelerator.device.type == "cuda"
    if on_gpu and (count := torch.cuda.device_count()) > 1:
        return [
            f"one of {count} GPUs is used: `accelerate launch --multi_gpu --num_processes {count} -m quagga train ...`"
            " uses all, docs/many_gpus.md"
        ]
    if not launched_fewer_than_asked():
        return []
    two_processes = "`torchrun --standalone --nproc_per_node 2 -m quagga train ...` starts two, docs/many_gpus.md"
    reason = "this machine has one GPU" if on_gpu else f"on a CPU it starts no more; {two_processes}"
    return [f"`accelerate launch` was asked for several processes and has started one: {reason}"]


def start_message(trainer: Trainer, folder: Path) -> str:
    """Returns what begins: images, device, precision, parameters, whose features are used, the TensorBoard command; or
    that the run has ended."""
    length, accelerator, game = trainer.length, trainer.accelerator, trainer.game
    networks = networks_of(game)
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
        for name, network in [*game.generators.items(), *game.discriminators.items()]
    )
    hardware = (
        f"{accelerator.num_processes} x {accelerator.device.type}, mixed precision: {accelerator.mixed_precision}"
    )
    hardware += ", compiled" if any(network._compiled_call_impl for network in networks) else ""
    start = f"going on from {trainer.images_seen:,} of" if trainer.images_seen else "training on"
    if trainer.images_seen >= length:
        in_phases = trainer.schedule.images_of_phases() is not None
        more = "the images of the last of --phases" if in_phases else "--images or --epochs"
        return f"{folder} has seen its {length:,} images: raise {more} to go on"
    watch = f"tensorboard --samples_per_plugin images=200 --logdir {folder}"
    frozen = {part.name for network in networks for part in frozen_parts(network)}
    features = "".join(f"\nfeatures, not trained: {name}" for name in sorted(frozen))
    return f"{start} {length:,} images, {hardware}\nparameters: {sizes}{features}\nwatch: {watch}"
