"""What TensorBoard makes of a folder of several runs: its custom scalars are joined by their names."""

import json
import re
from pathlib import Path

import pytest
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin

from quagga.training.reporting.tensorboard_logger import Logger

CURVES = {
    "cyclegan": ["generators/G", "generators/cycle_x", "generators/total", "D_X/real", "D_X/fake"],
    "pix2pix": ["generators/G", "generators/L1", "generators/total", "D/real", "D/fake"],
    "conditional": ["generators/G", "generators/total", "D/real", "D/fake", "D/accuracy"],
}


def leave_run(folder: Path, pipeline: str) -> None:
    with Logger(folder, {"pipeline": pipeline}, 0, 8) as log:
        log.scalars(dict.fromkeys(CURVES[pipeline], 0.5), 4)
        log.scalars(dict.fromkeys([*CURVES[pipeline], "held_out/share/c++ (7"], 0.5), 8)


def shown(logs: Path) -> dict[str, dict[str, list[str]]]:
    """Section -> chart -> the expressions of its curves, as TensorBoard's page has them."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logs))
    plugin = CustomScalarsPlugin(TBContext(data_provider=provider))
    layout = plugin.layout_impl(context.RequestContext(), "")
    return {
        section["title"]: {chart["title"]: chart["multiline"]["tag"] for chart in section["chart"]}
        for section in json.loads(str(layout))["category"]
    }


def test_pipelines_in_one_folder_keep_their_charts_apart(tmp_path):
    for number, pipeline in enumerate([*CURVES, *CURVES]):
        leave_run(tmp_path / f"run {number}", pipeline)
    sections = shown(tmp_path)
    assert list(sections) == list(CURVES)
    for pipeline, charts in sections.items():
        leave_run(tmp_path / pipeline / "alone", pipeline)
        assert {pipeline: charts} == shown(tmp_path / pipeline)  # as without the others, and once
        drawn = [tag for tags in charts.values() for tag in tags]
        matches = {name for tag in drawn for name in CURVES[pipeline] if re.match(tag, name)}
        assert matches == set(CURVES[pipeline]) and len(drawn) == len(matches) + 1
        assert re.match(charts["held out: share of each kind"][0], "held_out/share/c++ (7")


@pytest.mark.parametrize("other", ["generators/G_of_another", "generators/GG"])
def test_a_chart_takes_no_curve_whose_name_only_begins_alike(other, tmp_path):
    leave_run(tmp_path / "run", "cyclegan")
    [charts] = shown(tmp_path).values()
    assert not any(re.match(tag, other) for tags in charts.values() for tag in tags)
