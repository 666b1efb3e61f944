"""TensorBoard has a table of the points: their axes and the numbers that matter."""

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from orchestrator.run.sweep import HyperparameterTable

ROW = {"n": 500, "poison_ratio": 0.1, "g1": 0.2, "g1_low": 0.1, "g1_high": 0.3, "p_t": 0.5}
OF_TUNE = {"training_iteration": 1, "pid": 7, "time_total_s": 1.0, "done": True}


class Trial:
    """What a logger is given of a trial of Tune's."""

    def __init__(self, local_path, config):
        self.local_path, self.config = local_path, config

    def init_local_path(self):
        pass


def test_a_trial_has_the_axes_that_vary_and_its_study_s_columns_first(tmp_path):
    axes = {"trigger": "badnets1", "target_class": "8", "poison_ratio": 0.1, "seed": None}
    trial = Trial(str(tmp_path), axes)
    table = HyperparameterTable(("trigger", "poison_ratio", "seed"), ("trigger_ratio", "g1"))
    table.log_trial_result(1, trial, {**ROW, "trigger_ratio": 0.7, **OF_TUNE, "config": axes})
    table.log_trial_end(trial)
    [path] = Path(tmp_path).iterdir()
    values = [value for event in EventFileLoader(str(path)).Load() for value in event.summary.value]
    names = [f"ray/tune/{name}" for name in ("trigger_ratio", "g1", "n", "p_t")]
    assert [value.tag for value in values if value.tag.startswith("ray/")] == names
    found = {}
    for value in values:
        if value.metadata.plugin_data.plugin_name == "hparams":
            part = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            found[part.WhichOneof("data")] = part
    assert [one.name.tag for one in found["experiment"].experiment.metric_infos] == names
    assert {
        name: value.string_value or value.number_value
        for name, value in found["session_start_info"].session_start_info.hparams.items()
    } == {"trigger": "badnets1", "poison_ratio": 0.1}
