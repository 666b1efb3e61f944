"""Ray Tune drives a study's points: a trial is a point, its axes are the hyperparameters.

Tune's CSV, JSON and TensorBoard loggers stay on under ``<store>/tune/``, so TensorBoard's HParams
view is the sweep's dashboard.  A trial holds no CPU: it asks the conductor for its point.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import BasicVariantGenerator

from orchestrator import cluster
from orchestrator.request import Failure
from orchestrator.store import Store
from orchestrator.studies.study import Point

MOST_TRIALS = 32
"""Trial processes at a time; each takes some 150 MB on the head."""


def sweep(
    points: Sequence[Point],
    store: Store,
    conductor: str,
    *,
    label: str,
    slots: int,
) -> list[Failure]:
    """Run a Tune trial per point and return those that failed.

    Args:
        points: In the order in which they are to be started.
        store: Where rows are read from and Tune's logs go.
        conductor: Name of the conductor that has the points' steps.
        label: Study and scale, for the folder's name.
        slots: Steps that run side by side; one more trial than that keeps them busy.
    """
    by_axes = {_key(point.axes): point for point in points}
    names = {key: point.name for key, point in by_axes.items()}
    digests = {key: point.measure.digest for key, point in by_axes.items()}
    rows = {
        point.measure.digest: str(store.folder(point.measure) / "metrics.json") for point in points
    }
    trainable = tune.with_parameters(_trial, conductor=conductor, digests=digests, rows=rows)
    space = {axis: tune.choice(_values(points, axis)) for axis in points[0].axes}
    results = tune.Tuner(
        tune.with_resources(trainable, cluster.HEAD),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=BasicVariantGenerator(
                points_to_evaluate=[dict(point.axes) for point in points],
                max_concurrent=min(slots + 1, MOST_TRIALS),  # TuneConfig's own is not heeded here
            ),
            num_samples=len(points),
            reuse_actors=True,
            trial_name_creator=lambda trial: names[_key(trial.config)],
            trial_dirname_creator=lambda trial: names[_key(trial.config)],
        ),
        run_config=tune.RunConfig(
            name=f"{label}-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=str(store.root / "tune"),
            verbose=0,
        ),
    ).fit()
    ended = [results[place] for place in range(len(results))]
    return [
        Failure(by_axes[_key(result.config)], _reason(result.error))
        for result in ended
        if result.error is not None and result.config is not None
    ]


def _values(points: Sequence[Point], axis: str) -> list[Any]:
    """The values of an axis, ascending; None, where a point has no such thing, comes first."""
    values = {point.axes[axis] for point in points}
    return sorted(values, key=lambda value: (value is not None, value))


def _key(axes: Mapping[str, Any]) -> str:
    return json.dumps(dict(axes), sort_keys=True)


def _trial(
    config: dict[str, Any], *, conductor: str, digests: Mapping[str, str], rows: Mapping[str, str]
) -> None:
    """One trial: have the conductor finish the point and report its row's numbers."""
    digest = digests[_key(config)]
    try:
        ray.get(cluster.conductor(conductor).finish.remote(digest))
    except ray.exceptions.RayTaskError as error:
        raise RuntimeError(str(error.cause)) from None
    row = json.loads(Path(rows[digest]).read_text())
    tune.report({name: value for name, value in row.items() if isinstance(value, int | float)})


def _reason(error: BaseException) -> str:
    """The last line of what a trial said, without Tune's wrapping."""
    cause = getattr(error, "cause", None) or error
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return lines[-1].split("RuntimeError: ", 1)[-1].strip() if lines else type(error).__name__
