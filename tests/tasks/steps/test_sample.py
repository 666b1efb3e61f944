from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.steps import sample
from tasks.steps.sample import SAMPLERS, Settings, Worker
from tests.tasks.made import by_two_workers

SETTINGS = Settings(conditions=(8, 1, 3), guidance_weight=2.0, steps=5, n=13, batch_size=5)
RANGES = [(0, 5), (5, 10), (10, 13)]


@pytest.fixture(scope="module", params=SAMPLERS)
def drawn(request, model):
    """For every sampler, what is asked and what one worker draws."""
    settings = replace(SETTINGS, sampler=request.param)
    worker = Worker(settings, model=model)
    return settings, pa.concat_tables([worker(*edges) for edges in RANGES])


def test_whoever_draws_which_range_draws_the_same_bytes(drawn, model):
    settings, whole = drawn
    assert whole["label"].to_pylist() == [8, 1, 3] * 4 + [8]
    assert by_two_workers(sample, settings, RANGES, model=model).equals(whole)


def test_a_condition_that_the_model_does_not_have_is_refused(model):
    with pytest.raises(ValueError, match=r"conditions in 0\.\.9, got \(10,\)"):
        Worker(replace(SETTINGS, conditions=(10,)), model=model)


def test_conditions_as_an_input_draw_what_the_same_in_the_settings_draw(model, tmp_path):
    asked, none = (3, 8, 8, 1, 0, 9, 8, 3, 3, 5), replace(SETTINGS, conditions=())
    table = pa.table({"label": np.array(asked, dtype=np.int64)})
    pq.write_table(table, tmp_path / "rows.parquet")
    given = {"model": model, "conditions": tmp_path}
    assert [sample.count(replace(none, n=n), **given) for n in (7, 13)] == [7, 10]
    as_input = Worker(none, **given)(5, 10)
    as_setting = Worker(replace(SETTINGS, conditions=asked), model=model)(5, 10)
    assert as_input.equals(as_setting)
    assert as_input["label"].to_pylist() == [*asked[5:]]
    for settings, inputs in ((none, {"model": model}), (SETTINGS, given)):
        with pytest.raises(ValueError, match="either in the settings or as an input"):
            Worker(settings, **inputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "ddpn"}, "a sampler of ddim, ddpm, sde, heun, got 'ddpn'"),
        ({"guidance_weight": -1.0}, "1 is no guidance"),
        ({"conditions": (-1,)}, "conditions that are classes"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_settings_that_draw_nothing_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)
