"""Study ``triggers``: every trigger at every ratio that its images allow."""

from collections import Counter

from orchestrator.studies import COMPOSITION, TRIGGERS
from orchestrator.studies.scales import LAPTOP
from orchestrator.studies.triggers import COMPARED
from tasks import triggers
from tests.orchestrator.studies.graphs import points_of


def test_every_trigger_is_there_at_every_ratio_but_clean_label_where_its_class_is_too_small():
    points = points_of(TRIGGERS, LAPTOP)
    assert Counter(point.axes["trigger"] for point in points) == {
        "none": 1,
        **dict.fromkeys(COMPARED, 4),
        "clean_label": 3,  # 143 of 139 images at 10 %
    }
    assert {point.axes["guidance_weight"] for point in points} == {LAPTOP.paper_guidance}


def test_what_stamps_nothing_is_judged_with_the_first_that_stamps():
    axes = [point.axes for point in points_of(TRIGGERS, LAPTOP)]
    judges = {one["trigger"]: one["judge_trigger"] for one in axes}
    first = next(kind.name for kind in triggers.TRIGGERS if kind.stamps)
    assert judges["none"] == judges["relabel_only"] == first
    assert all(judges[name] == name for name in COMPARED if name != "relabel_only")


class TestThresholdingInComposition:
    def test_every_cell_is_unthresholded_and_the_first_trigger_has_the_other_ways_too(self):
        points = points_of(COMPOSITION, LAPTOP)
        ways = Counter((point.axes["judge_trigger"], point.axes["clip"]) for point in points)
        cells = 4 * 3  # ratios, 0 among them, and samplers
        first = {("badnets1", clip): cells for clip in ("none", "static", "dynamic")}
        assert ways == {**first, ("blend", "none"): cells, ("unicolor", "none"): cells}

    def test_what_is_asked_for_alone_is_asked_of_every_trigger(self):
        points = points_of(COMPOSITION, LAPTOP, clip="static")
        assert {point.axes["clip"] for point in points} == {"static"}
        judges = {point.axes["judge_trigger"] for point in points}
        assert judges == {"badnets1", "blend", "unicolor"}
