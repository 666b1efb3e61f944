"""What TensorBoard shows of a sweep: a table of points, their axes and the numbers that matter.

Tune's own logger writes no table here: it takes the values of points that are given beforehand for
no hyperparameters.  And TensorBoard shows the first five of each, so they are put in order.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.air.constants import TRAINING_ITERATION
from ray.tune.logger import TBXLoggerCallback
from ray.tune.result import AUTO_RESULT_KEYS

from orchestrator.run.headline import telling_first

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

IN_THE_NAME = frozenset({"judge_trigger", "target_class"})
"""Axes that hardly vary; a trial's name tells them."""


class Board(TBXLoggerCallback):
    """Tune's logger for TensorBoard, told what the hyperparameters are."""

    def log_trial_start(self, trial: "Trial") -> None:
        """Open a trial's file."""
        trial.evaluated_params = {
            axis: value for axis, value in trial.config.items() if axis not in IN_THE_NAME
        }
        super().log_trial_start(trial)

    def log_trial_result(self, iteration: int, trial: "Trial", result: dict[str, Any]) -> None:
        """Write a point's numbers."""
        numbers = in_order(result, trial.config)
        step = {TRAINING_ITERATION: result[TRAINING_ITERATION]}
        super().log_trial_result(iteration, trial, {**step, **numbers})


def in_order(result: Mapping[str, Any], axes: Mapping[str, Any]) -> dict[str, float]:
    """A row's numbers, the telling ones first: no axes, no bounds, nothing of Tune's own."""
    numbers = {
        name: value
        for name, value in result.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and name not in axes
        and name not in AUTO_RESULT_KEYS
        and not name.endswith(("_low", "_high"))
    }
    return telling_first(numbers)
