"""TensorBoard has a table of the points: their axes and the numbers that matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from orchestrator.run import cluster  # noqa: F401 - before Ray

# isort: split
from orchestrator.run.board import Board, in_order

AXES = {"trigger": "badnets1", "judge_trigger": "badnets1", "poison_ratio": 0.1, "seed": 0}
ROW = {"n": 500, "poison_ratio": 0.1, "g1": 0.2, "g1_low": 0.1, "g1_high": 0.3, "p_t": 0.5}
OF_TUNE = {"training_iteration": 1, "pid": 7, "time_total_s": 1.0, "done": True, "config": AXES}


@dataclass(eq=False)
class Trial:
    """What a logger is told of a trial of Tune's."""

    local_path: str
    config: Mapping[str, Any]
    evaluated_params: Mapping[str, Any] = field(default_factory=dict)

    def init_local_path(self) -> None:
        """It is there."""


@pytest.fixture
def said(tmp_path):
    """What TensorBoard reads of one trial: tags of numbers, and what makes up the table."""
    trial = Trial(str(tmp_path), AXES | {"guidance_weight": None})
    board = Board()
    board.log_trial_result(1, trial, {**ROW, "trigger_ratio": 0.7, **OF_TUNE})
    board.log_trial_end(trial)
    [path] = Path(tmp_path).iterdir()
    values = [value for event in EventFileLoader(str(path)).Load() for value in event.summary.value]
    table = {}
    for value in values:
        if value.metadata.plugin_data.plugin_name == "hparams":
            part = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            table[part.WhichOneof("data")] = part
    return [value.tag for value in values], table


def test_the_axes_are_hyperparameters_but_those_that_hardly_vary(said):
    _, table = said
    found = {
        name: value.string_value or value.number_value
        for name, value in table["session_start_info"].session_start_info.hparams.items()
    }
    assert found == {"trigger": "badnets1", "poison_ratio": 0.1, "seed": 0}


def test_the_telling_numbers_come_first(said):
    tags, table = said
    names = [f"ray/tune/{name}" for name in ("trigger_ratio", "p_t", "g1", "n")]
    columns = table["experiment"].experiment.metric_infos
    assert [column.name.tag for column in columns] == names
    assert [tag for tag in tags if tag.startswith("ray/")] == names


def test_a_row_is_told_from_what_tune_adds():
    assert in_order({**ROW, **OF_TUNE}, AXES) == {"p_t": 0.5, "g1": 0.2, "n": 500}
    assert list(in_order({"n": 1, "g2": 0.5, "auroc": 0.25}, {})) == ["auroc", "g2", "n"]
