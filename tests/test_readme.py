"""The README's code runs, its commands parse, and its paths exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from bench import glossary
from bench.local import run_in_process
from models.classifiers import Classifier, Shape
from orchestrator.cli.commands import app
from orchestrator.cli.submit import command as job
from orchestrator.graph import plan
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, DETECTION, STUDIES
from orchestrator.studies.scales import TINY
from tasks import detectors, triggers
from tasks.steps import poison

ROOT = Path(__file__).parent.parent
README, EXTEND = ROOT / "README.md", ROOT / "docs" / "extend.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCED = re.compile(r"^ *```(?:sh|console)?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for page in PAGES
    for block in FENCED.findall(page.read_text())
    for line in re.findall(r"^ *(?:\$ )?castlewalls (.+)", block, re.MULTILINE)
]


def code(name, page=EXTEND):
    marked = rf"<!-- test: {name} -->\n```python\n(.*?)```"
    [block] = re.findall(marked, page.read_text(), re.DOTALL)
    return block


def run(name):
    """The names that an example of ``docs/extend.md`` makes."""
    names = {"__name__": "tasks"}
    exec(compile(code(name), "docs/extend.md", "exec"), names)
    return names


def test_the_trigger_stamps_every_image_alone_and_poisons(monkeypatch, tmp_path):
    stripe = run("trigger")["Stripe"]
    images = np.random.default_rng(0).integers(0, 200, (5, 8, 8, 1), dtype=np.uint8)
    before = images.copy()
    stamped = stripe().stamp(images)
    assert (stamped != images).any(axis=(1, 2, 3)).all()
    assert (images == before).all()
    np.testing.assert_array_equal(stripe().stamp(images[:1]), stamped[:1])

    monkeypatch.setattr(triggers, "TRIGGERS", (*triggers.TRIGGERS, stripe))
    points = AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY, {"trigger": "stripe"}))
    assert {"stripe"} == {point.axes["judge_trigger"] for point in points}
    manifest = points[-1].measure.inputs["manifest"]
    store = Store(tmp_path)
    run_in_process([manifest], store)
    assert isinstance(poison.Manifest.read(store.folder(manifest)).trigger, stripe)
    judge = Step(TINY.content_judge, {}, {"dataset": Step(TINY.dataset)})
    assert judge.digest in {step.digest for step in plan.make(points, store).to_run}


def test_the_detector_says_what_is_known_of_a_classifier_and_joins_the_study(monkeypatch):
    loss = run("detector")["Loss"]
    sure = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4)).requires_grad_(False)
    sure[1].weight.zero_()
    sure[1].bias.copy_(torch.log(torch.tensor([0.5, 0.25, 0.125, 0.125])))
    shape = Shape(network="small", classes=4, image_size=8, channels=1)
    images = np.zeros((3, 8, 8, 1), dtype=np.uint8)
    labels, index = np.array([0, 1, 3]), np.arange(3)
    state = loss().prepare(images, labels, Classifier(sure, shape, torch.device("cpu")))
    found = loss().suspicion(images, labels, index, state)
    np.testing.assert_allclose(found, np.log([0.5, 0.25, 0.125]), rtol=1e-6)

    monkeypatch.setattr(detectors, "DETECTORS", (*detectors.DETECTORS, loss))

    def steps(names):
        points = DETECTION.points(TINY, DETECTION.chosen(TINY, {"detector": names}))
        return {step.digest: step for step in ancestors(point.measure for point in points)}

    before, after = steps("cd,strip,fct"), steps("cd,strip,fct,loss")
    added = [step for digest, step in after.items() if digest not in before]
    assert {step.task for step in added} == {"prepare", "detect", "detection_row"}


def test_the_study_plans_both_triggers_at_every_ratio(tmp_path):
    study = run("study")["RELABELLING"]
    points = study.points(TINY, study.chosen(TINY))
    assert {point.axes["trigger"] for point in points} == {"badnets1", "relabel_only"}
    assert len(plan.make(points, Store(tmp_path)).unfinished()) == 8


@pytest.mark.parametrize("name", ["trigger", "detector"])
def test_an_example_passes_the_linter_where_it_belongs(name):
    file = f"tasks/{name}s/own.py"
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", file, "-"]
    subprocess.run(command, input=code(name), text=True, check=True, cwd=ROOT)


@pytest.mark.ray
def test_three_lines_of_python_run_a_study_and_return_its_table(tmp_path, tiny_store, decoys):
    shutil.copytree(tiny_store.root, tmp_path, dirs_exist_ok=True)
    for row in tmp_path.glob("generations_row/badnets1-*"):
        shutil.rmtree(row)
    script = f"""
import os, ray  # before us, as notebooks do
before = dict(os.environ)
{code("notebook", README)}
assert os.environ == before
print(table.to_csv(index=False))
print(table.attrs["page"])
"""
    own = {**os.environ, "CASTLEWALLS_STORE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=own, cwd=decoys)
    header, row, _, page = done.stdout.splitlines()
    point = dict(zip(header.split(","), row.split(","), strict=True))
    assert (point["trigger"], point["guidance_weight"]) == ("badnets1", "2.0")
    counts = sum(int(point[f"{group}_count"]) for group in ("g1", "g2", "g3", "g4"))
    assert counts == int(point["n"]) == 60
    assert Path(page).read_text().startswith("<!doctype html>")
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command, tmp_path, monkeypatch):
    (tmp_path / "relabelling.py").write_text(code("study"))
    monkeypatch.chdir(tmp_path)
    typed = shlex.split(command, comments=True)
    name, found, words = typer.main.get_command(app).resolve_command(None, typed)
    if hasattr(found, "body"):  # a command on a study has one for each
        found = found.get_command(None, words.pop(0))
    given = found.make_context(name, words).params  # raises for a word that it does not know
    if name == "submit":
        job(given["words"])


def test_every_folder_of_the_tree_and_every_link_exists():
    tree = re.search(r"^```\n(orchestrator/.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    missing, top = [], Path()
    for indent, names in re.findall(r"^( *)((?:\w+/ ?)+)", tree[1], re.MULTILINE):
        top = top if indent else ROOT
        missing += [name for name in names.split() if not (top / name).is_dir()]
        top = top if indent else ROOT / names.split()[0]
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            missing += [] if (page.parent / link).exists() else [f"{page.name}: {link}"]
    assert not missing


def test_the_glossary_is_that_of_the_pages():
    assert glossary.DOCUMENT.read_text(encoding="utf-8") == glossary.text()


def test_the_results_name_every_claim_of_their_study():
    for study in STUDIES:
        written = (ROOT / "docs" / "results" / f"{study.name}.md").read_text(encoding="utf-8")
        for claim in study.part("claims").CLAIMS:
            assert claim.statement in written, claim.name
