"""The command line: its words, its answers to wrong ones, and how little it imports."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from orchestrator.cli.commands import app
from tests.pictures import make_folder

OF_ALL = set(
    "--scale --store --trigger --poison-ratio --target-class --seed --images --image-size "
    "--channels --skip-broken --data --download --trigger-setting --training-steps --budget "
    "--stream-memory".split()
)
SAMPLES = {"--guidance-weight", "--sampler", "--generations"}
STUDIES = {
    "amplification": OF_ALL | SAMPLES,
    "composition": {*OF_ALL, *SAMPLES, "--clip"},
    "triggers": OF_ALL | SAMPLES,
    "detection": {*OF_ALL, *SAMPLES, "--detector", "--detector-setting", "--generation-labels"},
    "defense": {
        *OF_ALL,
        *SAMPLES,
        *("--classifier", "--classifier-weights", "--generation-labels"),
    },
    "diffusion_classifier": {
        *OF_ALL,
        *("--noise-model", "--filter-ratio", "--draws", "--test-images"),
    },
}
RUN = set(
    "--address --actors --gpus-per-actor --training-workers --gpus-per-training "
    "--checkpoint-seconds --dashboard --verbose".split()
)
ON_A_STUDY = {"plan": set(), "run": RUN, "report": set(), "explain": {"step"}}
COMMANDS = {
    "studies": set(),
    "mlflow": {"--store", "--port"},
    "detect": set(
        "--images --detector --detector-setting --scale --store --image-size --channels "
        "--skip-broken --classifier-steps --address --actors --verbose".split()
    ),
    "submit": {"words", "--address", "--wait"},
    "verify": {"--scale", "--store", "--csv", "--json", "--markdown"},
    "doctor": {"--address", "--store"},
    "compare": {"names", "--store", "--csv"},
}
"""Every command's arguments and flags.  People's scripts rest on these: add, never rename."""

HEAVY = ("ray", "torch", "mlflow", "diffusers", "accelerate", "matplotlib", "sklearn")


def castlewalls(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


def every_command():
    """Each command by its words, e.g. ``run detection``."""
    for name, command in typer.main.get_command(app).commands.items():
        if name in ON_A_STUDY:
            for study in STUDIES:
                yield f"{name} {study}", command.get_command(None, study)
        else:
            yield name, command


def test_the_command_line_is_what_it_was():
    found = {
        name: {word for parameter in command.params for word in parameter.opts}
        for name, command in every_command()
    }
    expected = {
        f"{name} {study}": own | flags
        for name, own in ON_A_STUDY.items()
        for study, flags in STUDIES.items()
    }
    assert found == expected | COMMANDS


def test_every_command_and_flag_says_what_it_is_for():
    for name, command in every_command():
        assert command.help
        for parameter in command.params:
            assert getattr(parameter, "help", ""), (name, parameter.name)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("castlewalls run amp", {"amplification"}),
        ("castlewalls run amplification --trigger wanet,bl", {"wanet,blend"}),
        ("castlewalls run amplification --scale ti", {"tiny"}),
    ],
)
def test_a_shell_completes_studies_triggers_and_scales(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [shutil.which("castlewalls", path=Path(sys.executable).parent) or ""],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **words, "_CASTLEWALLS_COMPLETE": "complete_bash"},
    )
    assert set(done.stdout.split()) == offered


BAD = [
    (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
    (["run", "amplification", "--poisn-ratio", "0.1"], "--poison-ratio"),
    (["plan", "amplfication"], "unknown study 'amplfication'; did you mean amplification?"),
    (["run", "amplification", "--scale", "tny"], "unknown scale 'tny'; did you mean tiny?"),
    (["run", "amplification", "--trigger", "badnet"], "did you mean badnets1?"),
    (["run", "amplification", "--poison-ratio", "10"], "for ten percent write 0.1"),
    (["run", "amplification", "--poison-ratio", "-0.1"], "must be in [0, 1), got -0.1"),
    (["run", "amplification", "--actors", "0"], "--actors must be at least 1, got 0"),
    (["run", "amplification", "--actors", "two"], "--actors"),
    (["run", "amplification", "--checkpoint-seconds", "-1"], "--checkpoint-seconds must be"),
    (
        ["run", "amplification", "--gpus-per-training", "3", "--training-workers", "2"],
        "cannot be split evenly",
    ),
    (["plan", "amplification", "--trigger", "none", "--poison-ratio", "0.1"], "hold no point"),
    (
        ["explain", "amplification", "zzz", "--scale", "tiny"],
        "no step of amplification-tiny goes by 'zzz'",
    ),
    (["explain", "amplification", "", "--scale", "tiny"], "steps of amplification-tiny"),
    (["mlflow"], "no MLflow database in "),
    (["plan", "amplification", "--images", "/nowhere/at all"], "/nowhere/at all"),
    (["plan", "amplification", "--detector", "cd"], "No such option: --detector"),
    (["plan", "detection", "--detector", "cdd"], "unknown detector 'cdd'; did you mean cd?"),
    (["plan", "detection", "--trigger", "relabel_only"], "relabel_only stamps none"),
    (["plan", "amplification", "--image-size", "16"], "add --images FOLDER"),
    (["plan", "amplification", "--images", ".", "--image-size", "0"], "expected"),
    (["plan", "amplification", "--image-size", "0"], "add --images FOLDER"),
    (["plan", "amplification", "--download"], "it goes with --scale cifar10"),
    (
        ["plan", "composition", "--trigger-setting", "blend.pattern=pyproject.toml"],
        "expected an image as the pattern, got 'pyproject.toml'",
    ),
    (["plan", "composition", "--trigger-setting", "blend.alpha=1.5"], "alpha in (0, 1], got 1.5"),
    (["plan", "composition", "--trigger-setting", "blend.alfa=1"], "did you mean alpha?"),
    (["plan", "triggers", "--trigger-setting", "wanet.strength=-1"], "strength"),
    (["plan", "detection", "--detector-setting", "fct.drawz=1"], "did you mean draws?"),
    (["plan", "detection", "--detector-setting", "fct.draws=0"], "draws of at least 1, got 0"),
    (["plan", "detection", "--detector-setting", "fct.seed=1"], "unknown field of detector fct"),
    (["plan", "detection", "--detector-setting", "fct.draws"], "e.g. fct.draws=1; got 'fct.draws'"),
    (
        ["plan", "composition", "--detector-setting", "fct.draws=1"],
        "No such option: --detector-setting",
    ),
    (["plan", "amplification", "--classifier", "small"], "No such option: --classifier"),
    (
        ["plan", "amplification", "--generation-labels", "clean"],
        "No such option: --generation-labels",
    ),
    (["plan", "defense", "--generation-labels", "cleen"], "did you mean clean?"),
    (["plan", "defense", "--classifier", "resnet19"], "did you mean resnet18?"),
    (["plan", "defense", "--trigger", "relabel_only"], "relabel_only stamps none"),
    (
        ["plan", "defense", "--trigger", "clean_label", "--poison-ratio", "0.2"],
        "at most",
    ),
    (["plan", "defense", "--classifier-weights", "/nowhere.safetensors"], "/nowhere.safetensors"),
    (["plan", "amplification", "--budget", "soon"], "--budget takes a time such as 90s"),
    (["plan", "amplification", "--budget", "1s"], "--budget 1.0 s is too little"),
    (["plan", "amplification", "--budget", "1h", "--training-steps", "50"], "leave them out"),
    (["plan", "amplification", "--training-steps", "3"], "steps of at least 10"),
    (["plan", "amplification", "--stream-memory", "2"], "such as 500MB or 2GiB"),
    (["plan", "amplification", "--poison-ratio", "0.95"], "only 1298 lie outside"),
    (["plan", "amplification", "--poison-ratio", "0.0001"], "less than one image"),
    (
        ["run", "amplification", "--store", "s4://bucket/x"],
        "--store takes a folder, or an address such as",
    ),
    (["submit", "amplfication"], "did you mean amplification?"),
    (["compare", "a", "b"], "no finished point goes by 'a'"),
    (["plan", "amplification", "--images", ""], "--images is empty; give it a value or leave"),
    (["run", "amplification", "--store="], "--store is empty"),
    (["run", "amplification", "--trigger", ""], "--trigger is empty"),
    (["run", "amplification", "--address", ""], "--address is empty"),
    (["detect", "--images", "x", "--detector", ""], "--detector is empty"),
    (["mlflow", "--store", ""], "--store is empty"),
    (["doctor", "--store", ""], "--store is empty"),
    (["doctor", "--address", ""], "--address is empty"),
    (["compare", "a", "b", "--store", ""], "--store is empty"),
    (["submit", "amplification", "--store", ""], "--store"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_usage_gets_one_line_and_code_2(words, said, tmp_path):
    done = castlewalls(*words, CASTLEWALLS_STORE=str(tmp_path / "store"))
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("castlewalls: ")
    assert said in line
    assert not list(tmp_path.iterdir())


def test_a_path_is_printed_as_it_is(tmp_path):
    """Neither an emoji nor markup: ``:package:`` and ``[red]`` are names of folders here."""
    pictures = make_folder(tmp_path / ":package: [red]x[/red]" / "pics", per_class=4)
    store = pictures.parent / "store"
    home = {"HOME": str(pictures.parent), "COLUMNS": "80", "FORCE_COLOR": "1"}
    done = castlewalls("doctor", "--store", str(store), **home)
    assert f"free in {store}" in done.stdout
    done = castlewalls("plan", "amplification", "--images=~/pic", "--store=~/store", **home)
    assert f"{pictures.parent}/pic" in done.stderr


def test_without_a_command_there_is_the_help():
    done = castlewalls()
    assert "Commands" in done.stdout
    assert done.stderr == ""
    assert done.returncode == 2


def test_nobody_at_an_address_is_said_in_one_line(tmp_path):
    done = castlewalls(
        "run", "amplification", "--scale", "tiny", "--address", "127.0.0.1:9",
        CASTLEWALLS_STORE=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("castlewalls: no Ray cluster answers at 127.0.0.1:9 (")
    assert "Traceback" not in done.stdout


def test_a_store_that_is_a_file_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    store = str(tmp_path / "file" / "store")
    for command in ("plan", "run", "report"):
        done = castlewalls(command, "amplification", "--scale", "tiny", "--store", store)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert (
            line
            == f"castlewalls: --store takes a folder, but {str(tmp_path / 'file')!r} is a file."
        )


def test_a_report_of_nothing_says_so(tmp_path):
    done = castlewalls("report", "amplification", "--scale", "tiny", "--store", str(tmp_path))
    assert "no point is finished yet" in done.stdout
    assert done.stderr == ""


def test_an_explanation_names_what_is_new(tiny_store):
    done = castlewalls("plan", "amplification", "--scale", "tiny", "--guidance-weight", "3",
                       "--store", str(tiny_store.root))  # fmt: skip
    new = next(line for line in done.stdout.splitlines() if line.startswith("run     sample/"))
    path = new.split()[1]
    for name in (path, path.rpartition("-")[2]):
        words = ["--scale", "tiny", "--guidance-weight", "3", "--store", str(tiny_store.root)]
        done = castlewalls("explain", "amplification", name, *words)
        assert done.returncode == 0
        assert done.stdout.startswith(f"{path}: not built")
        assert "settings.guidance_weight: " in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["studies"],
        ["plan", "amplification"],
        ["plan", "detection"],
        ["explain", "amplification", "datasets/digits"],
        ["run", "amplfication"],
    ],
    ids=" ".join,
)
def test_what_computes_nothing_imports_nothing_heavy(words, tmp_path):
    code = (
        "import sys\n"
        "from orchestrator.cli import commands\n"
        f"sys.argv = ['castlewalls', *{words!r}]\n"
        "try:\n"
        "    commands.main()\n"
        "finally:\n"
        f"    print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CASTLEWALLS_STORE": str(tmp_path)},
    )
    assert done.stderr.splitlines()[-1] == "HEAVY []"
    assert "Traceback" not in done.stderr


def test_a_report_imports_neither_ray_nor_torch(tiny_store, copied):
    store = copied(tiny_store)
    code = (
        "import sys\n"
        "from orchestrator.cli import commands\n"
        "sys.argv = ['castlewalls', 'report', 'amplification', '--scale', 'tiny']\n"
        "try:\n"
        "    commands.main()\n"
        "finally:\n"
        "    print('HEAVY', sorted({'ray', 'torch', 'mlflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CASTLEWALLS_STORE": str(store.root)},
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr
    assert (store.root / "reports" / "amplification-tiny" / "results.csv").exists()
