"""What a report reads from a store's points."""

from orchestrator.run import report
from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.scales import TINY


def test_settings_are_those_that_all_steps_of_a_task_share():
    points = AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY))
    found = report.settings(points)
    assert found["train diffusion: diffusion steps"] == 1000
    assert found["sample: n"] == TINY.generations.n
    # Ratios and guidance weights differ from point to point, conditions from sample to sample.
    own = {"poison: poison ratio", "sample: guidance weight", "sample: conditions"}
    assert not own & set(found)
