"""The cluster files: as Ray's own validator wants them, and with words that the program knows."""

import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer
import yaml

from orchestrator.cli.commands import app
from orchestrator.studies.scales import SCALES

ROOT = Path(__file__).parent.parent
CLUSTERS = ("cluster.yaml", "deploy/onprem.yaml")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def pinned(package):
    text = (ROOT / "constraints.txt").read_text()
    return re.search(rf"^{package}==(.+)$", text, re.MULTILINE)[1]


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_the_cluster_file(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(read(name))
    validate_config(prepared)
    assert prepared["head_node_type"] in prepared["available_node_types"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_head_computes_nothing_and_every_node_asks_for_a_token(name):
    text = (ROOT / name).read_text()
    head = read(name).get("available_node_types", {}).get("head", {}).get("resources", {})
    assert head.get("CPU") == 0 or "--num-cpus=0" in text
    starts = (r"ray start ", "RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0")
    assert [len(re.findall(words, text)) for words in starts] == [2, 2, 2]
    [(there, here)] = read(name)["file_mounts"].items()
    assert here == "~/.ray/auth_token"
    assert there.endswith("/.ray/auth_token")
    assert read(name)["setup_commands"] == ["chmod 600 ~/.ray/auth_token"]


def test_no_cluster_file_opens_a_dashboard_to_others():
    for name in (*CLUSTERS, "deploy/rayjob.yaml"):
        assert not re.search(r"dashboard-host[=: ]+[\"']?0\.0\.0\.0", (ROOT / name).read_text())


def test_the_job_runs_a_command_that_there_is_on_a_store_that_every_pod_may_use():
    spec = read("deploy/rayjob.yaml")["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "orchestrator"]
    command = typer.main.get_command(app).commands[words[3]].get_command(None, words[4])
    given = command.make_context(words[4], words[5:]).params
    assert given["scale"] in {scale.name for scale in SCALES}
    assert given["address"] == "auto"
    store = urlsplit(given["store"])
    assert (store.scheme, store.username) == ("s3", None)
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == pinned("ray")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["serviceAccountName"] == "castlewalls"


def test_the_image_has_the_pinned_ray_and_every_package():
    text = (ROOT / "deploy/Dockerfile").read_text()
    [(ray, python)] = re.findall(r"^FROM rayproject/ray:(.+)-py(\d+)-gpu$", text, re.MULTILINE)
    assert (ray, python) == (pinned("ray"), "311")
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert re.findall(r"^COPY \S+ (\w+) \S+$", text, re.MULTILINE) == packages


def test_every_direct_dependency_is_pinned():
    project = PROJECT["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    names = [*project["dependencies"], *extras]
    wanted = {re.split(r"[\[<>=!~ ]", name)[0].lower() for name in names}
    held = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert wanted <= held
