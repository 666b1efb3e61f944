"""Ray Tune drives a study's points: a trial is a point, its axes are the hyperparameters.

Tune's CSV, JSON and TensorBoard loggers stay on under ``<store>/tune/``, so TensorBoard's HParams
view is the sweep's dashboard.  A trial holds no CPU: it asks the conductor for its point.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.run import cluster
from orchestrator.run.board import Board

# isort: split
import ray
from ray import tune
from ray.tune.search import BasicVariantGenerator

from orchestrator.run.request import Failure
from orchestrator.store.store import Store
from orchestrator.studies.study import Point


def sweep(
    points: Sequence[Point],
    store: Store,
    conductor: str,
    *,
    label: str,
) -> list[Failure]:
    """Run a Tune trial per point and return those that failed.

    One at a time: what runs does not depend on trials, as the conductor starts every point by
    itself.  While another one runs, Tune would start a process for each further trial, of 150 MB
    and some seconds of a core, and then reuse the other's after all.

    Args:
        points: In the order in which they are to be started.
        store: Where Tune's logs go.
        conductor: Name of the conductor that has the points' steps.
        label: Study and scale, for the folder's name.
    """
    by_axes = {_key(point.axes): point for point in points}
    names = {key: point.name for key, point in by_axes.items()}
    digests = {key: point.measure.digest for key, point in by_axes.items()}
    trainable = tune.with_parameters(_trial, conductor=conductor, digests=digests)
    space = {axis: tune.choice(_values(points, axis)) for axis in points[0].axes}
    storage_path, storage_filesystem = store.tune()
    results = tune.Tuner(
        tune.with_resources(trainable, cluster.HEAD),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=BasicVariantGenerator(
                points_to_evaluate=[dict(point.axes) for point in points],
                max_concurrent=1,  # TuneConfig's own is not heeded here
            ),
            num_samples=len(points),
            reuse_actors=True,
            trial_name_creator=lambda trial: names[_key(trial.config)],
            trial_dirname_creator=lambda trial: names[_key(trial.config)],
        ),
        run_config=tune.RunConfig(
            name=f"{label}-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=storage_path,
            storage_filesystem=storage_filesystem,
            failure_config=tune.FailureConfig(max_failures=1),  # a trial's process may be lost
            callbacks=[Board()],  # TensorBoard's table
            verbose=0,
        ),
    ).fit()
    ended = [results[place] for place in range(len(results))]
    failed = [each.config for each in ended if each.error]
    named = [by_axes[_key(config)] for config in failed if config]
    # A trial whose process could not begin does not say whose it was.
    return list(_failures(named if len(named) == len(failed) else points, conductor))


def _failures(points: Sequence[Point], conductor: str) -> Iterator[Failure]:
    """Those of the points that failed, and why; a trial may fail though its point does not."""
    asked = cluster.conductor(conductor)
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
        row = ray.get(cluster.conductor(conductor).row.remote(digests[_key(config)]))
    except ray.exceptions.RayTaskError as error:
        raise RuntimeError(str(error.cause)) from None
    tune.report(row)
