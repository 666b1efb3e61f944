from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.steps import sample, train_diffusion
from tasks.steps.sample import SAMPLERS, Settings, Worker

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
    tables = {}
    for mine in ([2, 0], [1]):
        worker = Worker(settings, model=model)
        tables |= {part: worker(*RANGES[part]) for part in mine}
    assert pa.concat_tables([tables[part] for part in range(3)]).equals(whole)


def test_a_condition_that_the_model_does_not_have_is_refused(model):
    with pytest.raises(ValueError, match=r"conditions in 0\.\.9, got \(10,\)"):
        Worker(replace(SETTINGS, conditions=(10,)), model=model)


class TestConditionsAsAnInput:
    SETTINGS = replace(SETTINGS, conditions=())
    ASKED = (3, 8, 8, 1, 0, 9, 8, 3, 3, 5)

    @pytest.fixture
    def listed(self, tmp_path):
        """A function that writes what ``conditions`` writes."""

        def write(labels):
            table = pa.table({"label": np.array(labels, dtype=np.int64)})
            pq.write_table(table, tmp_path / "rows.parquet")
            return tmp_path

        return write

    def test_image_i_is_asked_to_be_what_row_i_says(self, listed, model):
        given = {"model": model, "conditions": listed(self.ASKED)}
        settings = replace(self.SETTINGS, n=7)
        assert sample.count(settings, **given) == 7
        worker = Worker(settings, **given)
        drawn = pa.concat_tables([worker(0, 5), worker(5, 7)])
        assert drawn["label"].to_pylist() == [*self.ASKED[:7]]
        assert drawn["index"].to_pylist() == list(range(7))

    def test_they_draw_the_bytes_that_the_same_conditions_in_the_settings_draw(self, listed, model):
        as_input = Worker(self.SETTINGS, model=model, conditions=listed(self.ASKED))(0, 5)
        as_setting = Worker(replace(SETTINGS, conditions=self.ASKED), model=model)(0, 5)
        assert as_input.equals(as_setting)

    def test_they_are_given_once(self, listed, model):
        with pytest.raises(ValueError, match=r"as the input conditions, got neither"):
            Worker(self.SETTINGS, model=model)
        with pytest.raises(ValueError, match=r"as the input conditions, got both"):
            Worker(SETTINGS, model=model, conditions=listed(self.ASKED))


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "heun"])
def test_more_steps_than_the_model_was_trained_with_are_refused(model, name):
    with pytest.raises(ValueError, match=r"at most 1000 steps, .* got 1001"):
        Worker(replace(SETTINGS, sampler=name, steps=1001), model=model)


@pytest.fixture(scope="module")
def edm(small_training, hold, silent, tmp_path_factory):
    """Hardly trained, and without a null condition."""
    out = tmp_path_factory.mktemp("edm")
    settings = replace(small_training, noise_model="edm", null_probability=0.0, steps=10)
    batches = hold(settings)
    train_diffusion.fit(settings, out=out, batches=batches, report=silent, resume=None)
    return out


class TestOfAnEdm:
    SETTINGS = replace(SETTINGS, sampler="heun", guidance_weight=1.0)

    def test_heun_draws_from_it_the_same_however_ranges_are_handed_out(self, edm):
        first, second = (Worker(self.SETTINGS, model=edm) for _ in range(2))
        whole = pa.concat_tables([first(*edges) for edges in RANGES])
        assert whole["label"].to_pylist() == [8, 1, 3] * 4 + [8]
        assert second(*RANGES[1]).equals(whole.slice(5, 5))


@pytest.mark.parametrize(
    ("sampler", "weight", "evaluations"),
    [("ddim", 1.0, 18), ("ddim", 2.0, 36), ("heun", 1.0, 35), ("heun", 0.0, 70)],
)
def test_the_network_is_evaluated_so_often(sampler, weight, evaluations):
    settings = Settings(conditions=(0,), sampler=sampler, guidance_weight=weight, steps=18)
    assert settings.evaluations == evaluations


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
