"""Points and whole runs side by side, from records alone; nothing is trained for it."""

import csv
import io
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from analysis.rows import KEY
from orchestrator.cli.compare import SAME, _place, compare, print_comparison, share, write_csv
from orchestrator.run import report
from orchestrator.run.request import Request, Result
from orchestrator.step import ancestors
from orchestrator.store.recorded import POINTS, Library
from orchestrator.store.store import RECORD, Store
from orchestrator.studies import AMPLIFICATION, STUDIES
from orchestrator.studies.graph import Graph
from orchestrator.studies.scales import TINY
from tasks.triggers import BadNets1
from tasks.triggers.blend import Blend
from tests.made_up import make_row, template_matched, triggers_sweep
from tests.made_up_classification import classification_study
from tests.made_up_defense import defense_study, make_defense_row
from tests.made_up_detection import detection_study

BADNETS = BadNets1()
SHORTER = replace(TINY, diffusion=replace(TINY.diffusion, steps=77))


def point(trigger=BADNETS, scale=TINY, **changes):
    cell = {"poison_ratio": 0.1, "guidance_weight": 5.0, "sampler": "ddim", "seed": 0, **changes}
    return Graph(scale, "8").point(trigger, **cell)


def publish(store, counts, *points):
    """Finish points with given G1..G4, and whatever they need with nothing in it."""
    new = [step for step in ancestors(one.measure for one in points) if not store.has(step)]
    for step in new:
        with store.publish(step) as attempt:
            if step.task == "generations_row":
                settings = step.settings
                row = make_row(settings.trigger, settings.poison_ratio, counts=counts)
                row |= {x: getattr(settings, x) for x in ("guidance_weight", "sampler", "seed")}
                row = {x: value for x, value in template_matched(row).items() if x not in KEY[:2]}
                (attempt.folder / "metrics.json").write_text(json.dumps(row))


def printed(comparison):
    console = Console(width=200, file=io.StringIO())
    print_comparison(comparison, console)
    return console.file.getvalue()


def lines_of(comparison, tmp_path):
    write_csv(comparison, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    publish(store, (48, 0, 0, 32), point())
    publish(store, (56, 0, 0, 14), point(guidance_weight=2.0))
    return store


A, B = "badnets1-p0.1-w5-ddim-8-seed0", "badnets1-p0.1-w2-ddim-8-seed0"


class TestPoints:
    def test_the_settings_that_differ_and_the_metrics_are_shown(self, store):
        found = compare([A, B], store.address)
        assert [(x.name, x.of, x.values) for x in found.settings] == [
            ("guidance_weight", "point, generations", ("5", "2"))
        ]
        text = printed(found)
        assert "60.0% [49.0, 70.0]" in text
        assert "+20.0 points [5.2, 33.4]" in text  # Newcombe 1998, table II
        assert "Newcombe" in text

    def test_the_same_images_are_not_two_samples(self, store):
        found = compare([A, B], store.address)
        table = found.table.set_index("metric")
        # The other classes are drawn at a guidance of their own: the very same images.
        assert table["basis"]["other_match_ratio"] == SAME
        assert table["b_minus_a"]["other_match_ratio"] is None
        assert table["b_minus_a"]["g1"] is not None
        assert "B − A is empty where both sides count the same images" in printed(found)
        # What is measured on test images, or is no count, has no difference either.
        for name in ("content_accuracy", "amplification", "p_t"):
            assert (table["b_minus_a"][name], table["basis"][name]) == (None, "")

    def test_settings_are_listed_by_the_steps_that_have_them(self, store):
        publish(store, (5, 0, 0, 75), point(Blend()))
        found = compare([A, "blend-p0.1-w5-ddim-8-seed0"], store.address)
        where = {(x.name, x.values): x.of.split(", ") for x in found.settings}
        assert where["trigger", ("badnets1", "blend")] == ["point"]
        assert {"manifest", "dissection"} < {*where["trigger.alpha", ("–", "0.2")]}

    def test_a_larger_set_from_the_same_noise_holds_the_same_images(self, store):
        twice = point(scale=replace(TINY, generations=replace(TINY.generations, n=77)))
        publish(store, (5, 0, 0, 75), twice)
        found = compare([point().measure.digest, twice.measure.digest], store.address)
        assert [(x.name, x.of) for x in found.settings] == [("n", "generations")]
        assert "points [" not in printed(found)

    def test_a_point_goes_by_its_name_its_path_or_the_start_of_its_digest(self, store, tmp_path):
        step, nothing = point().measure, str(tmp_path / "nothing")
        other = f"{store.address}/{point(guidance_weight=2.0).measure.path}"
        here = dict.fromkeys((A, step.path.partition("/")[2], step.digest[:6]), store.address)
        elsewhere = (f"{store.address}/{step.path}", f"file://{store.address}/{step.path}/")
        for words, own in {**here, **dict.fromkeys(elsewhere, nothing)}.items():
            assert [side.name for side in compare([words, other], own).sides] == [A, B]

    def test_a_name_that_two_results_share_is_not_guessed(self, store):
        publish(store, (5, 0, 0, 75), point(scale=SHORTER))
        with pytest.raises(ValueError, match=f"2 finished points go by '{A}': gen.*/.*digest"):
            compare([A, B], store.address)

    def test_the_file_has_everything_as_fractions(self, store, tmp_path):
        found = lines_of(compare([A, B], store.address), tmp_path)
        (g1,) = (line for line in found if (line["kind"], line["metric"]) == ("metric", "g1"))
        assert (g1["a"], g1["b"], g1["basis"]) == ("0.6", "0.8", "Newcombe: 70 and 80 images")
        assert float(g1["b_minus_a_low"]) == pytest.approx(0.0524, abs=5e-5)
        (n,) = (line for line in found if (line["kind"], line["metric"]) == ("metric", "n"))
        assert (n["a"], n["b"], n["b_minus_a"]) == ("80", "70", "")
        assert {line["kind"] for line in found} == {"name", "setting", "metric", "note"}

    def test_what_was_made_by_other_software_is_said(self, store):
        folder = store.folder(point().measure)
        record = json.loads((folder / RECORD).read_text())
        record["versions"] = {**record["versions"], "torch": "1.2.3"}
        (folder / RECORD).write_text(json.dumps(record))
        found = {(x.name, x.of): x.values for x in compare([A, B], store.address).settings}
        assert "1.2.3" in found["torch", "made with"][0]

    def test_sources_without_a_record_are_not_taken_for_independent(self, store):
        shutil.rmtree(store.folder(point().measure.inputs["generations"]))
        text = printed(compare([A, B], store.address))
        assert "no record of" in text
        assert "points [" not in text


class TestRefusals:
    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ([A], "expected two points or reports to compare, got 1"),
            ([A, A], "are the same; name two different ones"),
            ([A, A[:-1]], f"did you mean {A}"),
            ([A, "reports/.."], "there is no report '..'"),
            ([A, "../../etc/passwd"], "as `castlewalls plan STUDY` prints it"),
        ],
    )
    def test_a_wrong_name_is_told_with_what_to_type(self, store, names, said):
        with pytest.raises(ValueError, match=said):
            compare(names, store.address)

    def test_an_altered_row_is_refused(self, store):
        path = store.folder(point().measure) / "metrics.json"
        path.write_text(path.read_text().replace("0.6", "0.7"))
        with pytest.raises(ValueError, match=r"altered after it was written; run its study again"):
            compare([A, B], store.address)

    @pytest.mark.parametrize("content", ["{", '{"g1": "0.6"}'])
    def test_a_row_that_is_none_is_refused(self, store, content):
        other = point(seed=1).measure
        with store.publish(other) as attempt:
            (attempt.folder / "metrics.json").write_text(content)
        with pytest.raises(ValueError, match=r"holds no row"):
            compare([A, other.digest], store.address)

    @pytest.mark.parametrize(
        "change", [{"judge_trigger": "../../../x"}, {"trigger": "\x1b[31mred"}, None]
    )
    def test_a_hostile_record_is_no_point_and_no_path(self, store, change):
        folder = store.root / "generations_row" / "hostile-0123456789ab"
        shutil.copytree(store.folder(point().measure), folder)
        record = json.loads((folder / RECORD).read_text())
        record["identity"]["settings"] |= change or {}
        record["identity"] = change and record["identity"]
        (folder / RECORD).write_text(json.dumps(record))
        assert [step.name for step in Library(store).points] == [B, A]


def reported(store, counts, scale=TINY, **axes):
    """A finished run with a report; every point has the same counts, or each its own."""
    wanted = {"trigger": ("badnets1",), "poison_ratio": (0.05, 0.1), "guidance_weight": (5.0,)}
    chosen = AMPLIFICATION.chosen(TINY).with_values(**{**wanted, **axes})
    study = replace(AMPLIFICATION, write=lambda *given: given[-1] / "index.html")
    asked = Request(study=study, scale=scale, axes=chosen, store=store)
    own = counts if isinstance(counts, list) else [counts] * len(asked.points())
    for one, each in zip(asked.points(), own, strict=True):
        publish(store, each, one)
    report.reported(asked, Result(points=asked.points()))
    return asked


@pytest.fixture
def runs(tmp_path):
    """Two finished runs with reports: the second trains less and has another ratio."""
    store = Store(tmp_path / "store")
    first = reported(store, (48, 0, 0, 32))
    return [first, reported(store, (56, 0, 0, 14), SHORTER, poison_ratio=(0.1, 0.2))]


class TestRuns:
    def test_runs_are_joined_by_their_axes(self, runs, tmp_path):
        found = compare([request.label for request in runs], runs[0].store.address)
        assert set(found.table["poison_ratio"]) == {0.1}
        assert [(x.name, x.of, x.values) for x in found.settings] == [
            ("poison_ratio", "axes", ("0.05, 0.1", "0.1, 0.2")),
            ("steps", "model", (str(TINY.diffusion.steps), "77")),
        ]
        text = printed(found)
        assert "+20.0 points [5.2, 33.4]" in text
        assert "Only in A: 1 point: badnets1-p0.05-w5-ddim-8-seed0" in text
        assert "Only in B: 1 point: badnets1-p0.2-w5-ddim-8-seed0" in text
        lines = lines_of(found, tmp_path)
        assert {x["poison_ratio"] for x in lines if x["kind"] == "metric"} == {"0.1"}

    def test_a_run_of_another_store_goes_by_its_folder_or_its_page(self, runs):
        elsewhere = runs[0].store.root / "reports" / runs[1].label
        for name in (elsewhere, elsewhere / "index.html"):
            found = compare([runs[0].label, str(name)], runs[0].store.address)
            assert found.sides[1].name == runs[1].label

    @pytest.mark.parametrize(
        ("points", "said"),
        [
            *(([], "is damaged"), ([{}], "is damaged"), (3, "is damaged")),
            # No point of the store: it is never opened, nor printed raw.
            ([{"step": "rank/../\x1b[31m"}], r"not in the .* such as 'rank/../\\x1b\[31m'"),
        ],
    )
    def test_a_damaged_report_is_told(self, runs, points, said):
        path = runs[0].store.root / "reports" / runs[0].label / "run.json"
        path.write_text(json.dumps({"axes": {}, "points": points}))
        with pytest.raises(ValueError, match=f"the report .* {said}"):
            compare([request.label for request in runs], runs[0].store.address)

    def test_a_point_is_not_set_beside_a_run(self, runs):
        digest = runs[0].points()[0].measure.digest
        with pytest.raises(ValueError, match=r"expected two points or two whole runs .* a run.* a"):
            compare([runs[0].label, digest], runs[0].store.address)

    @pytest.mark.parametrize(
        ("hits", "ns", "said", "by"),
        [
            # Student's t of 0.1, 0.2, 0.3; two seeds are pooled, as in Newcombe 1998, table II.
            (((10, 20, 30), (20, 40, 60)), (100, 100), "[−4.8, 44.8]", "Student's 95"),
            (((24, 24), (28, 28)), (40, 35), "[5.2, 33.4]", "Newcombe's 95"),
        ],
    )
    def test_seeds_of_one_point_are_taken_together(self, tmp_path, hits, ns, said, by):
        store, labels = Store(tmp_path / "store"), []
        for scale, own, n in zip((TINY, SHORTER), hits, ns, strict=True):
            axes = {"poison_ratio": (0.1,), "seed": tuple(range(len(own)))}
            counts = [(count, 0, 0, n - count) for count in own]
            labels.append(reported(store, counts, scale, **axes).label)
        text = printed(compare(labels, store.address))
        assert f"+20.0 points {said}" in text
        assert [name for name in ("Student's 95", "Newcombe's 95") if name in text] == [by]


def test_a_fraction_s_counts_are_found_by_its_interval():
    row = template_matched(make_row(counts=(48, 0, 0, 32)))
    assert share(row, "g1") == ("n", 48, 80)
    assert share(row, "other_match_ratio")[0] == "other_n"
    assert share(row, "amplification") is None  # no fraction
    assert share(row, "g1_corrected") is None  # its interval is not that of a count
    assert share(row, "content_accuracy") is None  # it has no interval
    defended = make_defense_row(image_set="training", counts=(360, 240))
    assert share(defended, "attack_success_rate")[0] == "attack_n"


@pytest.mark.parametrize(
    "study", [triggers_sweep, detection_study, defense_study, classification_study]
)
def test_the_rows_of_a_run_are_told_apart(study):
    rows = study()[0] if study is detection_study else study()
    step = SimpleNamespace(settings=dict.fromkeys([*KEY, "sampler_steps"]))
    points = [SimpleNamespace(step=step, row=row) for row in rows]
    place = _place([SimpleNamespace(axes={"trigger": 0, "poison_ratio": 0}, points=points)] * 2)
    assert len({tuple(map(row.get, [*place, "seed"])) for row in rows}) == len(rows)


def test_every_study_ends_its_points_in_rows_that_can_be_compared():
    for study in STUDIES:
        found = study.points(TINY, study.chosen(TINY))
        assert {one.measure.task for one in found} <= set(POINTS)
