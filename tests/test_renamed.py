"""What a user's file imports by the paths of version 0.1 is still found, and the warning says the new path."""

import json
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from quagga.renamed import MODULES, NAMES

NAMES_OF_0_1 = json.loads((Path(__file__).parent / "fixtures" / "0.1" / "names.json").read_text())


@pytest.mark.parametrize("old", MODULES)
def test_an_old_path_leads_to_the_new_modules(old):
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match=MODULES[old][0]):
        module = import_module(old)
    for place in MODULES[old]:
        new = import_module(place)
        for name in vars(new):
            if getattr(vars(new)[name], "__module__", None) == place:
                assert hasattr(module, name), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


def test_an_old_name_leads_to_the_new_one():
    with pytest.warns(FutureWarning):
        sys.modules.pop("quagga.pipelines.pool", None)
        module = import_module("quagga.pipelines.pool")
    assert module.Pool is import_module(MODULES["quagga.pipelines.pool"][0]).ImagePool
    assert set(NAMES.values()) >= {"ImagePool", "PixelFormat"}


def test_a_users_file_sees_one_line_and_runs(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from quagga.pipelines.minimax import Loss, Trainer\nfrom quagga.pipelines import schedule\nprint(Loss)"
    )
    ran = subprocess.run([sys.executable, str(file)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "mine.py:1: FutureWarning: quagga.pipelines.minimax is quagga.pipelines.core.game_protocol" in ran.stderr


# Of 0.1's modules, what was for the program itself and has gone or split; CHANGELOG.md says that it is not kept.
INTERNAL = {
    "quagga.pipelines.cli": "bug complain exhausted explained left lost module_of open_streams suggestion too_long",
    "quagga.pipelines.load": "folded",
    "quagga.pipelines.model_folder": "golden_noise mode_of",
    "quagga.pipelines.run": "check_places describe ending idle not_deterministic use",
    "quagga.pipelines.translator": "form_of",
    "quagga.data.augment": "composed made middle resized window",
    "quagga.data.decode": "deep",
    "quagga.data.feed": "Whole",
    "quagga.data.form": "depth_kept finite holding",
    "quagga.data.preview": "Pictures shown_of window",
    "quagga.data.rows": "Named Read",
}


@pytest.mark.parametrize("old", NAMES_OF_0_1)
def test_every_public_name_of_0_1_is_found_but_for_those_of_the_program_itself(old):
    with warnings.catch_warnings(action="ignore"):
        module = import_module(old)
    lost = [name for name in NAMES_OF_0_1[old] if not hasattr(module, name)]
    assert lost == INTERNAL.get(old, "").split()


def test_all_names_come_by_a_star():
    found: dict = {}
    with warnings.catch_warnings(action="ignore"):
        exec("from quagga.pipelines.losses import *", found)
    assert {"OBJECTIVES", "penalty", "readings"} <= found.keys()


def test_what_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        import_module("quagga.pipelines.nothing")
