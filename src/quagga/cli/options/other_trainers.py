"""The names of options in other trainers, so that the error about an unknown option names ours."""

from collections.abc import Iterable

from quagga.did_you_mean import did_you_mean, nearest

SIZE = "image_size img_size imsize input_size fine_size resolution"
OTHER_NAMES = {  # our option -> its names in other trainers, in lower case
    "crop_size": f"{SIZE} size",
    "size": f"{SIZE} crop_size load_size",
    "batch_size": "batch bs batchsize minibatch train_batch_size per_device_train_batch_size",
    "lr": "learning_rate lr_g g_lr",
    "lr_discriminator": "lr_d d_lr",
    "epochs": "n_epochs num_epochs max_epochs num_train_epochs niter",
    "images": "iterations steps num_steps max_steps max_train_steps kimg",
    "decay": "n_epochs_decay niter_decay decay_epoch",
    "device": "gpu_ids gpu_id gpus gpu cuda",
    "root": "dataroot data_root data dataset data_dir dataset_dir data_path train_data_dir",
    "workers": "num_workers n_workers num_threads nthreads n_cpu",
    "output": "name checkpoints_dir results_dir output_dir out_dir outdir out save_dir logdir log_dir",
    "resume": "continue_train resume_from load_checkpoint",
    "init_from": "pretrained load_model finetune",
    "save_every": "save_epoch_freq save_latest_freq save_freq checkpoint_every checkpointing_steps",
    "log_every": "print_freq log_freq log_interval",
    "sample_every": "display_freq sample_freq sample_interval",
    "mixed_precision": "amp fp16 bf16 use_amp precision",
    "fit": "preprocess",
    "flip": "no_flip hflip random_flip",
    "generator": "netg",
    "discriminator": "netd",
    "width": "ngf base_channels",
    "width_discriminator": "ndf",
    "layers": "n_layers_d",
    "blocks": "n_blocks num_blocks n_residual_blocks",
    "objective": "gan_mode gan_loss",
    "lambda_cycle": "lambda_a lambda_b lambda_cyc",
    "lambda_identity": "lambda_idt lambda_id",
    "x_channels": "input_nc in_channels nc",
    "y_channels": "output_nc out_channels",
    "z_size": "nz z_dim latent_dim noise_dim",
    "ema_halflife": "ema ema_decay",
    "to": "direction",
    "side": "direction",
    "count": "num num_samples n_samples num_images",
}


def our_names_for(word: str) -> list[str]:
    """Returns our options that have this name in another trainer; a command need not have all of them."""
    return [ours for ours, theirs in OTHER_NAMES.items() if word.lower() in theirs.split()]


def suggestion(word: str, options: Iterable[str]) -> str:
    """Returns the end of an error about an unknown option: it names the option that has this name in other trainers,
    else the most similar one, else all of a few, else the --help that lists them.

    Args:
        word: The unknown option, without its leading dashes or with them.
        options: The known ones, written the same way.
    """
    spellings = {name.replace("-", "_"): name for name in options}
    plain = word.replace("-", "_")
    dashes = plain[: len(plain) - len(plain.lstrip("_"))]
    candidates = [dashes + name for name in our_names_for(plain.lstrip("_")) if dashes + name in spellings]
    if candidates:
        return f": did you mean {spellings[candidates[0]]}?"
    few = len(spellings) < 10 or nearest(word, spellings)
    return did_you_mean(word, spellings.values()) if few else ": --help all lists all there are"
