"""From typed words to what is asked for."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from orchestrator.cli import notebook, parsing
from orchestrator.cli.printing import _poison_of, print_explanation
from orchestrator.cli.study_commands import study_command
from orchestrator.run import report, tracking
from orchestrator.step import ancestors
from orchestrator.store.store import open_store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import LAPTOP
from tasks.data import datasets
from tasks.detectors import CognitiveDistillation, FeatureConsistency
from tests.pictures import CLASSES, make_folder

OWN = """from orchestrator.studies.axes import SEED, TRIGGER
from orchestrator.studies.graph import Graph
from orchestrator.studies.study import Study
from tasks.triggers import BadNets1


def points(scale, axes):
    graph = Graph(scale, "8")
    how = dict(poison_ratio=0.1, guidance_weight=2.0, sampler="ddim")
    return [graph.point(BadNets1(), seed=seed, **how) for seed in axes.seed]


OWN = Study(name="own", title="Own", paper="", question="?", columns=("g1",), points=points)
"""
MISTAKES = """
OWN = Study | OWN = = Study | own.py, line 13: SyntaxError: invalid syntax
from tasks.triggers | from nowhere | own.py, line 4: ModuleNotFoundError: No module named 'nowhere'
, points=points | | own.py, line 13: TypeError: .* missing .* 'points'
(scale, axes) | (scale) | own.py: TypeError: points.. takes 1 positional argument but 2 were
return | made = | expected points of study own to return points in a list, got None
columns= | axes=TRIGGER, columns= | own.py, line 13: expected a study's axes as a tuple, .* got Axis
BadNets1(), | "badnets1", | own.py, line 10: expected a trigger such as .* got 'badnets1'
"ddim" | "ddimm" | own.py, line 10: expected a sampler .* got 'ddimm'; did you mean ddim
ratio=0.1 | ratio="0.1" | own.py, line 10: expected a poison_ratio .* got '0.1'
in axes.seed | in axes.sed | own.py, line 10: AttributeError: this study has no axis 'sed'
("g1",) | "g1" | own.py, line 13: expected a study's columns as a tuple
seed=seed | seed=0 | two points are the same: badnets1-p0.1-w2-ddim-8-seed0
in axes.seed | in () | expected points of study own to return points in a list, got ..$
name="own" | name="../../evil" | own.py, line 13: expected a study's name of letters
name="own" | name="Detection" | Castlewalls has reports named Detection
"""
"""What stands in the file, what in its place, and what is said."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("own") / "my pictures", per_class=20)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CASTLEWALLS_STORE", raising=False)
    return tmp_path


def ask(tmp_path, study="amplification", **words):
    return parsing.request(study, store=str(tmp_path / "store"), **words)


def digests(asked):
    return [point.measure.digest for point in asked.points()]


def drawn_by(asked):
    """How many images each of the study's samples has."""
    steps = ancestors(point.measure for point in asked.points())
    return {step.settings.n for step in steps if step.task == "sample"}


def test_times_and_sizes_are_a_number_and_a_unit():
    times = {"90s": 90, "1.5h": 5400, "2d": 172_800}
    assert {typed: parsing.seconds_of(typed) for typed in times} == times
    assert (parsing.bytes_of("2GiB"), parsing.bytes_of("0.5 GB")) == (2**31, 5 * 10**8)
    for typed in ("", "20", "-3m", "0s", "1h30m"):
        with pytest.raises(ValueError, match="takes a time such as 90s"):
            parsing.seconds_of(typed)


class TestOwnImages:
    def test_they_are_the_dataset_and_p_t_is_known_without_decoding(self, tmp_path, folder):
        asked = ask(tmp_path, images=str(folder), poison_ratio="0.1")
        assert asked.scale == own_images(LAPTOP, asked.scale.dataset)
        assert asked.scale.dataset.counts() == {"train": (16, 16, 16), "test": (4, 4, 4)}
        point = next(point for point in asked.points() if point.axes["trigger"] == "badnets1")
        assert _poison_of(point) == "4 of 48 images poisoned, p_t 20.0 %"

    def test_a_folder_that_moves_is_the_same_dataset(self, tmp_path, folder):
        here = ask(tmp_path, images=str(folder))
        there = ask(tmp_path, images=str(shutil.copytree(folder, tmp_path / "elsewhere")))
        assert (digests(here), here.label) == (digests(there), there.label)

    def test_the_command_on_the_page_asks_for_the_same(self, tmp_path, folder):
        asked = ask(tmp_path, images=str(folder), image_size=16, training_steps=120)
        words = shlex.split(report.command(asked))
        typed = study_command(AMPLIFICATION, "run", print).make_context("run", words[3:]).params
        assert typed["images"] == str(folder)
        assert (typed["image_size"], typed["training_steps"]) == (16, 120)

    def test_they_get_the_ratios_that_they_can_be_poisoned_at(self, tmp_path, folder):
        asked = ask(tmp_path, "detection", images=str(folder), target_class="Äpfel")
        assert {point.axes["target_class"] for point in asked.points()} == {"Äpfel"}
        assert {point.axes["poison_ratio"] for point in asked.points()} == {0, 0.05, 0.1}
        assert drawn_by(asked) == {48}

    def test_a_store_in_a_class_folder_is_refused_and_leaves_the_class_alone(self, tmp_path):
        folder = make_folder(tmp_path / "pics", per_class=5)
        with pytest.raises(ValueError, match=r"as --store, but '.*/pics/apples' holds pictures"):
            parsing.request("amplification", images=str(folder), store=str(folder / "apples"))
        (folder / "apples" / ".costs").mkdir()
        assert ask(tmp_path, images=str(folder)).scale.dataset.class_names == CLASSES


class TestDataset:
    def test_another_than_the_scale_s_gets_networks_that_fit_it(self, tmp_path):
        asked = ask(tmp_path, dataset="cifar10", data=str(tmp_path / "none"))
        assert asked.scale == own_images(LAPTOP, datasets.Cifar10.open(tmp_path / "none"))
        assert (asked.scale.diffusion.image_size, asked.scale.content_judge.channels) == (32, 3)
        assert report.command(asked).endswith(f"--dataset cifar10 --data {tmp_path}/none")
        asked = ask(tmp_path, dataset="digits")  # the scale's own
        assert (asked.scale, asked.label) == (LAPTOP, "amplification-laptop")

    def test_one_that_was_added_goes_by_its_name(self, tmp_path, monkeypatch):
        class Few(datasets.Digits):
            name = "few"
            class_names = ("a", "b")
            class_sizes = (50, 50)

        monkeypatch.setattr(datasets, "DATASETS", (*datasets.DATASETS, Few))
        scale = ask(tmp_path, dataset="few", poison_ratio="0.1").scale
        assert (scale.dataset, scale.target_class, scale.diffusion.classes) == (Few(), "a", 2)

    def test_cifar10_is_planned_before_it_is_there_and_wherever_it_lies(self, tmp_path):
        places = [ask(tmp_path, scale="cifar10", data=str(tmp_path / name)) for name in "ab"]
        assert places[0].label == "amplification-cifar10"
        assert {point.axes["guidance_weight"] for point in places[0].points()} == {1, 2, 3, 6, 11}
        assert digests(places[0]) == digests(places[1])
        assert ask(tmp_path, data=str(tmp_path)).typed == ()  # no word of other datasets


class TestWords:
    def test_a_tilde_is_the_home_folder_in_every_path(self, home, monkeypatch):
        make_folder(home / "pics", per_class=5)
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(home / "black.png")
        typed = {"images": "~/pics", "trigger_setting": "blend.pattern=~/black.png"}
        asked = parsing.request("composition", store="~/results", **typed)
        assert asked.store.root == home / "results"
        assert len(asked.scale.dataset.class_names) == 3
        assert asked.scale.trigger("blend").pattern
        cifar10 = ask(home, scale="cifar10", data="~/cifar").scale.dataset
        assert cifar10.folder == str(home / "cifar")
        with pytest.raises(ValueError, match=f"{home}/weights.pth"):
            ask(home, "defense", classifier_weights="~/weights.pth")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///~/runs.db")
        assert tracking.uri(open_store(str(home))) == f"sqlite:///{home}/runs.db"

    @pytest.mark.parametrize(("name", "value"), [("store", ""), ("address", " "), ("seed", [])])
    def test_an_empty_word_is_no_default(self, name, value):
        with pytest.raises(ValueError, match=f"^--{name} is empty; .* variable not set"):
            notebook.run("amplification", scale="tiny", **{name: value})

    def test_an_empty_variable_is_an_unset_one(self, home, monkeypatch):
        monkeypatch.setenv("CASTLEWALLS_STORE", "")
        monkeypatch.chdir(home)
        assert parsing.request("amplification").store.root == home / "artifacts"

    def test_percent_and_ranges_are_said_in_numbers(self, tmp_path):
        said = []
        asked = ask(tmp_path, say=said.append, poison_ratio="0,5%,10%", seed="0-2")
        taken = "--poison-ratio 0,5%,10% is taken for 0,0.05,0.1; --seed 0-2 is taken for 0,1,2"
        assert said == taken.split("; ")
        assert "--poison-ratio 0.0,0.05,0.1" in report.command(asked)

    def test_a_title_is_taken_for_its_name(self, tmp_path):
        said = []
        axes = ask(tmp_path, say=said.append, trigger="BadNets-2,badnets1", sampler="DDPM").axes
        assert (axes.trigger, axes.sampler) == (("blend", "badnets1"), ("ddpm",))
        taken = (
            "--trigger BadNets-2,badnets1 is taken for blend,badnets1; --sampler DDPM is taken for"
        )
        assert said == f"{taken} ddpm".split("; ")

    def test_a_value_of_another_type_is_taken_or_refused(self, tmp_path):
        asked = ask(tmp_path, generations="60", actors=np.int64(2), checkpoint_seconds="3")
        assert asked.scale.generations.n == 60
        assert (asked.placement.actors, asked.placement.checkpoint_seconds) == (2, 3.0)
        wrong = {"generations": 60.0, "actors": "two", "scale": 5, "budget": 20, "images": 5}
        wrong |= {"trigger_setting": 5, "verbose": "yes", "training_steps": True}
        for name, value in wrong.items():
            said = f"^--{name.replace('_', '-')} takes .*, got {value!r}\\.$"
            with pytest.raises(ValueError, match=said):
                ask(tmp_path, **{name: value})


class TestParts:
    def test_a_pattern_of_one_s_own_is_another_study(self, tmp_path):
        pattern = tmp_path / "pattern.png"
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(pattern)
        plain = ask(tmp_path, "composition")
        typed = [f"blend.pattern={pattern}", "blend.alpha=0.36"]
        own = ask(tmp_path, "composition", trigger_setting=typed)
        assert own.label != plain.label
        blends = sum(point.axes["judge_trigger"] == "blend" for point in plain.points())
        assert len({*digests(plain)} - {*digests(own)}) == blends
        assert own.scale.trigger("blend").alpha == 0.36
        for words in typed:
            assert f"--trigger-setting {words}" in report.command(own)

    def test_a_detector_with_other_fields_is_another_study(self, tmp_path):
        plain = ask(tmp_path, "detection")
        own = ask(tmp_path, "detection", detector_setting="fct.draws=1")
        assert own.label != plain.label
        fct = [point.measure.digest for point in plain.points() if point.axes["detector"] == "fct"]
        assert {*digests(plain)} - {*digests(own)} == {*fct}
        assert "--detector-setting fct.draws=1" in report.command(own)

    def test_what_is_not_typed_is_the_scale_s_and_the_seed_the_point_s(self, tmp_path):
        typed = ["fct.draws=3", "cd.betas=0.5,0.9"]
        scale = ask(tmp_path, "detection", scale="tiny", detector_setting=typed).scale
        assert scale.detector("fct", 7) == FeatureConsistency(epochs=1, draws=3, seed=7)
        assert scale.detector("cd") == CognitiveDistillation(steps=5, betas=(0.5, 0.9))

    def test_detectors_are_chosen_and_typed_again_and_other_studies_have_none(self, tmp_path):
        asked = ask(tmp_path, "detection", detector="fct,cd")
        assert report.command(asked).endswith("--scale laptop --detector fct,cd")
        assert re.fullmatch("detection-laptop-[0-9a-f]{8}", asked.label)
        with pytest.raises(ValueError, match="study composition has no --detector; leave it out"):
            ask(tmp_path, "composition", detector="cd")


class TestLengths:
    def test_each_length_reaches_what_it_is_of(self, tmp_path):
        scale = ask(tmp_path, training_steps=77).scale
        assert scale.diffusion.steps == scale.edm.steps == 77
        assert scale.content_judge == LAPTOP.content_judge
        asked = ask(tmp_path, generations=30)
        assert (asked.scale.generations.n, asked.scale.others.n) == (30, 30)
        assert report.command(asked).endswith("--scale laptop --generations 30")

    def test_less_memory_is_another_order_and_so_another_study(self, tmp_path):
        asked = ask(tmp_path, stream_memory="1MB")
        for name in ("diffusion", "content_judge", "trigger_judge", "classifier"):
            assert getattr(asked.scale, name).window_bytes == 10**6
        assert "--stream-memory 1MB" in report.command(asked)

    def test_a_generation_set_has_no_more_images_than_are_trained_on(self, tmp_path):
        for n, drawn in [(300, 300), (5000, 1437)]:
            asked = ask(tmp_path, "detection", generations=n)
            assert drawn_by(asked) == {drawn}
            assert (asked.label == "detection-laptop") == (drawn == 1437)

    def test_a_budget_is_said_as_steps_and_images(self, tmp_path):
        said = []
        asked = ask(tmp_path, "detection", budget="30d", say=said.append)
        assert (asked.scale, asked.label) == (LAPTOP, "detection-laptop")
        assert "1,000 of 1,000 training steps a model, 1,437 of 1,437 images a point" in said[-1]
        words = ask(tmp_path, "detection", budget="9m", say=said.append)
        [n] = drawn_by(words)
        assert 100 <= n < 1437
        assert report.command(words).endswith(f"--generations {n}")
        steps = words.scale.diffusion.steps
        again = ask(tmp_path, "detection", training_steps=steps, generations=n)
        assert digests(again) == digests(words)


class TestStudies:
    def test_a_file_that_makes_a_study_is_one(self, tmp_path):
        (file := tmp_path / "own.py").write_text(OWN)
        asked = ask(tmp_path, str(file), scale="tiny", seed=[1, 2])
        assert (asked.study.name, asked.axes.seed) == ("own", (1, 2))
        assert asked.label.startswith("own-tiny-")

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / "none.py").write_text("x = 1")
        with pytest.raises(ValueError, match=r"must make one Study, .* got 0"):
            ask(tmp_path, str(tmp_path / "none.py"))
        with pytest.raises(ValueError, match="there is no file"):
            ask(tmp_path, str(tmp_path / "missing.py"))
        with pytest.raises(ValueError, match=r"expected a study by name, .* got 5"):
            notebook.run(5)

    def test_its_command_is_the_file_as_it_was_typed(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("my study.py").write_text(OWN)
        asked = ask(tmp_path, Path("my study.py"), scale="tiny")
        assert report.command(asked) == "castlewalls run 'my study.py' --scale tiny"
        with pytest.raises(ValueError, match=r"`castlewalls plan 'my study.py'` prints it"):
            print_explanation(asked, "", Console())

    @pytest.mark.parametrize("case", MISTAKES.strip().splitlines())
    def test_a_mistake_is_said_in_one_line_with_the_line_of_the_file(self, tmp_path, case):
        before, after, said = (part.strip() for part in case.split("|"))
        (file := tmp_path / "own.py").write_text(OWN.replace(before, after))
        assert file.read_text() != OWN
        with pytest.raises(ValueError, match=said) as raised:
            ask(tmp_path, str(file), scale="tiny", poison_ratio="0.1", seed="0-2")
        assert "\n" not in str(raised.value)
