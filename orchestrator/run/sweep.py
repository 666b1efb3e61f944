"""Ray Tune drives a study's points: a trial is a point, its axes are the hyperparameters.

A trial holds no CPU: it asks the conductor for its point.  Tune's loggers write ``<store>/tune/``.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.run import conductor_actor

# isort: split
import ray
from ray import tune
from ray.air.constants import TRAINING_ITERATION
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.search import BasicVariantGenerator

from orchestrator.run.request import Failure
from orchestrator.run.tracking import measured
from orchestrator.store.store import Store
from orchestrator.studies.study import Point


class HyperparameterTable(TBXLoggerCallback):
    """Tune's logger for TensorBoard, with a table of the points: their axes and numbers.

    Tune's own writes none; TensorBoard shows the first five of each, so their order matters.
    """

    def __init__(self, axes: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__()
        self.axes, self.columns = axes, columns

    def log_trial_start(self, trial: Trial) -> None:
        """Open a trial's file."""
        trial.evaluated_params = {axis: trial.config[axis] for axis in self.axes}
        super().log_trial_start(trial)

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Write a point's numbers: no axes, no bounds, nothing that Tune adds."""
        numbers = {
            name: value
            for name, value in measured(result, trial.config, self.columns).items()
            if name not in AUTO_RESULT_KEYS and not name.endswith(("_low", "_high"))
        }
        step = {TRAINING_ITERATION: result[TRAINING_ITERATION]}
        super().log_trial_result(iteration, trial, {**step, **numbers})


def sweep(
    points: Sequence[Point], store: Store, conductor: str, label: str, columns: Sequence[str]
) -> list[Failure]:
    """Run a Tune trial per point, one at a time, and return those that failed.

    The conductor starts every point by itself, so what runs does not depend on trials.
    """
    by_axes = {_key(point.axes): point for point in points}
    digests = {key: point.measure.digest for key, point in by_axes.items()}
    trainable = tune.with_parameters(_trial, conductor=conductor, digests=digests)
    space = {axis: tune.choice(_values(points, axis)) for axis in points[0].axes}
    varying = [axis for axis in space if len(_values(points, axis)) > 1]
    storage_path, storage_filesystem = store.tune()

    def name_of(trial: Trial) -> str:
        return by_axes[_key(trial.config)].name

    results = tune.Tuner(
        tune.with_resources(trainable, conductor_actor.HEAD),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=BasicVariantGenerator(
                points_to_evaluate=[dict(point.axes) for point in points],
                max_concurrent=1,  # TuneConfig's own is not heeded here
            ),
            num_samples=len(points),
            reuse_actors=True,
            trial_name_creator=name_of,
            trial_dirname_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=f"{label}-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=storage_path,
            storage_filesystem=storage_filesystem,
            failure_config=tune.FailureConfig(max_failures=1),  # a trial's process may be lost
            callbacks=[HyperparameterTable(varying or list(space), columns)],
            verbose=0,
        ),
    ).fit()
    return list(_failures(points, conductor)) if results.errors else []


def _failures(points: Sequence[Point], conductor: str) -> Iterator[Failure]:
    """Those of the points that failed, and why; a trial may fail though its point does not."""
    asked = conductor_actor.conductor(conductor)
    for point in points:
        try:
            ray.get(asked.finish.remote(point.measure.digest))
        except ray.exceptions.RayTaskError as error:
            yield Failure(point, str(error.cause))
        except ray.exceptions.RayError as error:
            yield Failure(point, f"its process was lost ({type(error).__name__})")


def _values(points: Sequence[Point], axis: str) -> list[Any]:
    """The values of an axis, ascending; None, where a point has no such thing, comes first."""
    values = {point.axes[axis] for point in points}
    return sorted(values, key=lambda value: (value is not None, value))


def _key(axes: Mapping[str, Any]) -> str:
    return json.dumps(dict(axes), sort_keys=True)


def _trial(config: dict[str, Any], *, conductor: str, digests: Mapping[str, str]) -> None:
    """One trial: have the conductor finish the point and report its row's numbers."""
    try:
        row = ray.get(conductor_actor.conductor(conductor).row.remote(digests[_key(config)]))
    except ray.exceptions.RayTaskError as error:
        raise RuntimeError(str(error.cause)) from None
    tune.report(row)
