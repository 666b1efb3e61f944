"""The command line: its words, its answers to wrong ones, and how little it imports."""

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from orchestrator.cli.commands import NAMED, app, main
from orchestrator.cli.options import Options
from orchestrator.process import environment_kept
from orchestrator.studies.scales import SCALES
from tests.pictures import make_folder

OF_ALL = (
    "--scale --store --trigger --poison-ratio --target-class --seed --dataset --images "
    "--image-size --channels --skip-broken --stored-as --data --download --trigger-setting "
    "--training-steps "
    "--budget --stream-memory --precision --micro-batch --recompute --model "
)
SAMPLES = OF_ALL + "--guidance-weight --sampler --generations "
STUDIES = {
    "amplification": SAMPLES,
    "composition": SAMPLES + "--clip",
    "triggers": SAMPLES,
    "detection": SAMPLES + "--detector --detector-setting --generation-labels",
    "defense": SAMPLES + "--classifier --classifier-weights --generation-labels",
    "diffusion_classifier": OF_ALL + "--noise-model --filter-ratio --draws --test-images",
}
RUN = (
    " --address --actors --gpus-per-actor --training-workers --data-cpus --cache-decoded "
    "--gpus-per-training --checkpoint-seconds --dashboard --verbose"
)
ON_A_STUDY = {"plan": " --pace", "run": RUN, "report": "", "explain": " step"}
COMMANDS = {
    "studies": "",
    "mlflow": "--store --port",
    "detect": "--images --detector --detector-setting --scale --store --image-size --channels "
    "--skip-broken --stored-as --classifier-steps --address --actors --verbose",
    "submit": "words --address --wait",
    "doctor": "--address --store",
    "verify": "--store --scale --csv --json --markdown",
    "compare": "names --store --csv",
}
"""Every command's arguments and flags.  People's scripts rest on these: add, never rename."""

HEAVY = ("ray", "torch", "mlflow", "diffusers", "accelerate", "matplotlib", "sklearn")


def castlewalls(*words, **environment):
    command, own = [sys.executable, "-m", "orchestrator", *words], {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=own)


def every_command():
    """Each command by its words, e.g. ``run detection``."""
    group = typer.main.get_command(app)
    for name in group.commands:
        _, command, _ = group.resolve_command(None, [name])
        if name in ON_A_STUDY:
            for study in STUDIES:
                yield f"{name} {study}", command.get_command(None, study)
        else:
            yield name, command


def test_the_command_line_is_what_it_was():
    expected = dict(COMMANDS)
    for name, own in ON_A_STUDY.items():
        expected |= {f"{name} {study}": flags + own for study, flags in STUDIES.items()}
    found = {}
    for name, command in every_command():
        found[name] = {word for parameter in command.params for word in parameter.opts}
        assert command.help
        for parameter in command.params:
            assert getattr(parameter, "help", ""), (name, parameter.name)
    assert found == {name: set(words.split()) for name, words in expected.items()}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("castlewalls run amp", {"amplification"}),
        ("castlewalls run amplification --trigger wanet,bl", {"wanet,blend"}),
        ("castlewalls run amplification --trigger = bl", {"blend"}),
        ("castlewalls run amplification --scale ti", {"tiny", "tiny-text"}),
        ("castlewalls run --scale t", {"tiny", "tiny-text"}),
        ("castlewalls run amplification --dataset c", {"cifar10"}),
        ("castlewalls verify --scale ti", {"tiny", "tiny-text"}),
        ("castlewalls submit amp", {"amplification"}),
    ],
)
def test_a_shell_completes_words(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    program = shutil.which("castlewalls", path=Path(sys.executable).parent)
    own = {**os.environ, **words, "_CASTLEWALLS_COMPLETE": "complete_bash"}
    done = subprocess.run([program], capture_output=True, text=True, env=own)
    assert set(done.stdout.split()) == offered


BAD = """
plan --scale tiny nowhere.py | there is no file nowhere.py
run --scale tiny | A study is missing: one of amplification,
rnu | No such command 'rnu'. Did you mean 'run'?
run amplification --poisn-ratio 0.1 | --poison-ratio
run amplification --scale tny | unknown scale 'tny'; did you mean tiny?
run amplification --trigger badnet | did you mean badnets1?
run amplification --poison-ratio 10 | for ten percent write 0.1
run amplification --actors 0 | --actors must be at least 1, got 0
run amplification --gpus-per-training 3 --training-workers 2 | cannot be split evenly
plan amplification --trigger none --poison-ratio 0.1 | hold no point
explain amplification zzz --scale tiny | no step goes by 'zzz' in amplification-tiny
mlflow | no MLflow database in
plan amplification --images '/nowhere/at all' | /nowhere/at all
plan amplification --detector cd | No such option: --detector
plan detection --trigger relabel_only | relabel_only stamps none
plan amplification --image-size 0 | add --images FOLDER
plan amplification --dataset cifra10 | unknown dataset 'cifra10'; did you mean cifar10?
plan amplification --dataset digits --images . | --dataset does not go with --images
plan amplification --download | needs a dataset that is downloaded: --dataset cifar10
plan amplification --precision 3 | there are: auto, fp32, tf32, bf16
plan amplification --micro-batch -1 | micro_batch of at least 0
plan amplification --scale cifar10 --data . --pace | Run it on the machine with the GPU
plan detection --detector-setting fct.drawz=1 | did you mean draws?
plan defense --generation-labels cleen | did you mean clean?
plan defense --trigger clean_label --poison-ratio 0.2 | at most
plan defense --classifier-weights x --classifier small,resnet18 | fit one network
plan amplification --budget 1s | --budget 1.0 s is too little
plan amplification --budget 1h --training-steps 50 | leave them out
plan amplification --generations 0 | --generations must be at least 1, got 0
plan amplification --training-steps 3 | steps of at least 10
run amplification --store s4://bucket/x | --store takes a folder, or an address such as
submit amplification --store '' | --store
explain amplification '' --scale tiny | no step goes by '' in amplification-tiny
verify --scale tiny | there is no store
compare a b | no finished point goes by 'a'
detect --scale tiny | Missing option '--images'.
doctor --address '' | --address is empty
verify --scale tiny --json '' | --json is empty
"""


@pytest.fixture
def typed(monkeypatch, capfd, tmp_path):
    """A function that runs a command in this process: its code, its output and its errors."""
    monkeypatch.setenv("CASTLEWALLS_STORE", str(tmp_path / "store"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["castlewalls", *words])
        with environment_kept(), pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return run


@pytest.mark.parametrize("case", BAD.strip().splitlines())
def test_bad_usage_gets_one_line_and_code_2(case, typed, tmp_path):
    words, _, said = case.partition(" | ")
    code, output, errors = typed(*shlex.split(words))
    assert (code, output) == (2, "")
    [line] = errors.splitlines()
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


def test_nobody_at_an_address_is_said_in_one_line(tmp_path):
    words = ["--scale", "tiny", "--address", "127.0.0.1:9", "--store", str(tmp_path)]
    done = castlewalls("run", "amplification", *words)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("castlewalls: no Ray cluster answers at 127.0.0.1:9 (")
    assert "Traceback" not in done.stdout


def test_a_store_that_is_a_file_is_said_in_one_line(typed, tmp_path):
    (file := tmp_path / "file").write_text("")
    code, _, errors = typed("run", "amplification", "--scale", "tiny", "--store", f"{file}/store")
    said = f"castlewalls: --store takes a folder, but {str(file)!r} is a file.\n"
    assert (code, errors) == (2, said)


def test_output_goes_wherever_it_can(tmp_path):
    """Nowhere on a full disk, without dashes to ASCII, in 120 columns where a terminal says 0."""
    words = [sys.executable, "-m", "orchestrator", "verify", "--scale", "tiny", "--store"]
    own = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "0"}
    done = subprocess.run([*words, str(tmp_path)], capture_output=True, text=True, env=own)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) > 80
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*words[:3], "studies"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    said = "castlewalls: the output cannot be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_the_version_is_said_and_that_a_folder_was_deleted(typed, tmp_path, monkeypatch):
    assert typed("--version") == (0, f"castlewalls {version('castlewalls')}\n", "")
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = "castlewalls: the current folder is not there anymore; change to another one.\n"
    assert typed("studies") == (1, "", said)


def test_verify_writes_its_page_elsewhere_if_it_must(typed, tmp_path):
    (tmp_path / "reports").write_text("a file")
    code, output, _ = typed("verify", "--scale", "tiny", "--store", str(tmp_path))
    assert code == 0
    assert "verify-tiny cannot be written (Not a directory), so the report is elsewhere" in output
    page = Path(output.splitlines()[-1].removeprefix("page: "))
    assert page.exists()
    shutil.rmtree(page.parent.parent)


def test_a_report_of_nothing_says_so_and_without_a_command_there_is_the_help(typed):
    _, output, errors = typed("report", "amplification", "--scale", "tiny")
    assert "no point is finished yet" in output
    assert errors == ""
    code, output, errors = typed()
    assert "Commands" in output
    assert (code, errors) == (2, "")


def test_an_explanation_names_what_is_new(tiny_store, typed):
    words = ["--scale", "tiny", "--guidance-weight", "3", "--store", str(tiny_store.root)]
    _, output, _ = typed("plan", "amplification", *words)
    path = next(word for word in output.split() if word.startswith("sample/"))
    for name in (path, path.rpartition("-")[2]):
        code, output, _ = typed("explain", "amplification", name, *words)
        assert code == 0
        assert output.startswith(f"{path}: not built")
        assert "settings.guidance_weight: " in output


@pytest.mark.parametrize(
    ("words", "store"),
    [
        (["run", "--help"], None),
        (["studies"], None),
        (["plan", "detection"], None),
        (["explain", "amplification", "datasets/digits"], None),
        (["report", "amplification", "--scale", "tiny"], "tiny_store"),
        (["verify", "--scale", "tiny"], "tiny_store"),
    ],
    ids=str,
)
def test_what_computes_nothing_imports_nothing_heavy(words, store, tmp_path, copied, request):
    root = copied(request.getfixturevalue(store)).root if store else tmp_path
    heavy = HEAVY[:4] if store else HEAVY  # figures are drawn with matplotlib
    code = f"""
import atexit, sys
from orchestrator.cli import commands
atexit.register(lambda: print('HEAVY', sorted({{*{heavy}}} & {{*sys.modules}}), file=sys.stderr))
sys.argv = ['castlewalls', *{words}]
commands.main()
"""
    own = {**os.environ, "CASTLEWALLS_STORE": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    assert done.stderr.splitlines()[-1] == "HEAVY []"
    assert "Traceback" not in done.stderr
    assert (root / "reports").exists() == bool(store)


def test_every_scale_is_named_where_they_are_listed():
    assert [scale.name for scale in SCALES] == NAMED
    named = next(item for item in fields(Options) if item.name == "scale").metadata["help"]
    assert all(scale.name in named for scale in SCALES)


def test_plan_says_which_files_of_a_dataset_are_missing(tmp_path):
    words = ["amplification", "--scale", "cifar10", "--store", str(tmp_path)]
    done = castlewalls("plan", *words, "--data", str(tmp_path))
    assert done.returncode == 0
    assert done.stderr.startswith("castlewalls: expected CIFAR-10's binary version in ")
    assert castlewalls("plan", *words, "--download").stderr == ""
