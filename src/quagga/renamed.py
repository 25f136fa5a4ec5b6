"""Imports of version 0.1's module paths, which a user's own file may contain: they work until version 0.3, with a
warning that names the new path. CHANGELOG.md lists the other renames.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

CORE, DATA, FILES = "quagga.pipelines.core", "quagga.data", "quagga.inference.model_files"
MODULES = {  # module of version 0.1 -> the modules in which its names are now
    "quagga.models.encoders": ("quagga.models.blocks.encoders",),
    "quagga.models.layers": ("quagga.models.blocks.layers",),
    "quagga.models.modes": ("quagga.models.network_mode",),
    "quagga.models.together": ("quagga.models.joint_pass",),
    "quagga.pipelines.bounds": (f"{CORE}.option_checks",),
    "quagga.pipelines.cli": ("quagga.cli.main", "quagga.pipelines"),
    "quagga.pipelines.diffaugment": (f"{CORE}.diffaugment",),
    "quagga.pipelines.load": ("quagga.inference.load",),
    "quagga.pipelines.losses": (f"{CORE}.losses",),
    "quagga.pipelines.minimax": (f"{CORE}.game_protocol", f"{CORE}.minimax_trainer"),
    "quagga.pipelines.model_folder": (
        f"{FILES}.model_folder",
        f"{FILES}.model_saving",
    ),
    "quagga.pipelines.noise": (f"{CORE}.option_checks", f"{CORE}.sample_metrics"),
    "quagga.pipelines.pool": (f"{CORE}.image_pool",),
    "quagga.pipelines.run": (
        "quagga.training.train",
        "quagga.training.hardware.device_setup",
        "quagga.training.setup.first_minibatches",
        "quagga.training.setup.rows_and_game",
    ),
    "quagga.pipelines.sampler": ("quagga.inference.sampler", "quagga.inference.load"),
    "quagga.pipelines.schedule": (f"{CORE}.schedule",),
    "quagga.pipelines.translator": (
        "quagga.inference.translator",
        "quagga.inference.load",
        "quagga.inference.predictor_loading",
        "quagga.inference.device",
    ),
    "quagga.data.augment": (f"{DATA}.transforms.augment",),
    "quagga.data.conditions": (f"{DATA}.transforms.conditions",),
    "quagga.data.decode": (f"{DATA}.io.read",),
    "quagga.data.embedded": (f"{DATA}.synthetic.scenes",),
    "quagga.data.feed": (f"{DATA}.loading.data_workers",),
    "quagga.data.folders": (f"{DATA}.sources.folders", f"{DATA}.sources.two_folders", f"{DATA}.sources.held_out"),
    "quagga.data.form": (f"{DATA}.io.pixel_format",),
    "quagga.data.pictures": (f"{DATA}.images",),
    "quagga.data.preview": (f"{DATA}.io.contact_sheet",),
    "quagga.data.rows": (f"{DATA}.loading.row_order", "quagga.seeding"),
    "quagga.data.tensors": (f"{DATA}.io.tensors",),
}
REMOVED_OPTIONS = {"ema_ramp": 0.05, "optimizer_discriminator": None}  # option of version 0.1 -> its value since then
REMOVED_BECAUSE = {  # and what is so now
    "ema_ramp": "its value is always 0.05",
    "optimizer_discriminator": "the discriminators take --optimizer too",
}
NAMES = {  # name of version 0.1 in those modules -> its name now
    "Form": "PixelFormat",
    "Kind": "ConditionKind",
    "Side": "Domain",
    "check_batch": "check_batch_norm",
    "default_of": "build_default",
    "places": "row_indices",
    "rows_apart": "has_independent_rows",
    "start": "start_accelerator",
    "with_known": "add_known_options",
    "Pool": "ImagePool",
    "WIDEST": "MAX_CHANNELS",
    "bounded": "check_bounds",
    "distances": "pairwise_distances",
    "fitted": "to_domain_format",
    "for_the_eye": "strips_for_display",
    "generator_of": "load_network",
    "judged": "evaluation_logits",
    "keep_model": "write_model",
    "key": "derive_seed",
    "minibatches": "first_minibatches",
    "name_of": "pipeline_name",
    "nearest_kind": "nearest_class",
    "norm_of_discriminator": "discriminator_norm",
    "order": "epoch_permutation",
    "pick_device": "choose_device",
    "place": "candidate_indices",
    "rows_of": "load_rows",
    "to_form": "to_pixel_format",
    "together": "joint_pass",
    "used": "apply_in_mode",
    "warn_of_unbounded": "warn_unconstrained_critic",
    "wide": "at_least_float32",
    "windowed": "stretch_columns",
}


class RenamedModuleFinder:
    """Finder and loader of modules under their old paths; attributes come from the new modules. It is the last finder,
    so it is used only where no module of that path exists. (It does not inherit from `importlib.abc`, whose import
    takes a fifth of the time of `quagga --help`.)"""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MODULES else None  # pyright: ignore[reportArgumentType]

    def create_module(self, spec: ModuleSpec) -> None:
        """Python makes the module as usual."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__

        def get_attribute(name: str) -> Any:
            if name == "__all__":  # of `from MODULE import *`
                return sorted({one for path in MODULES[old] for one in vars(import_module(path)) if one[0] != "_"})
            for path in MODULES[old]:
                new = import_module(path)
                for candidate in (NAMES.get(name, name), name):
                    if hasattr(new, candidate):
                        return getattr(new, candidate)
            raise AttributeError(f"module {old!r} has no attribute {name!r}")

        module.__getattr__ = get_attribute  # pyright: ignore[reportAttributeAccessIssue]
        new_paths = " and ".join(MODULES[old])
        warnings.warn(f"{old} is {new_paths} now; the old path goes with Quagga 0.3", FutureWarning, stacklevel=2)


def install_renamed_modules() -> None:
    """Installs the finder: from now on, imports of the old paths work."""
    if not any(isinstance(finder, RenamedModuleFinder) for finder in sys.meta_path):
        sys.meta_path.append(RenamedModuleFinder())
