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


def test_ray_s_validator_does_look():
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(ValidationError, match="idle_timeout"):
        validate_config(prepare_config({**read("cluster.yaml"), "idle_timeout": 10}))


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_head_computes_nothing_and_every_node_asks_for_a_token(name):
    text = (ROOT / name).read_text()
    starts = re.findall(r"ray start.*", text)
    assert len(starts) == 2
    head = read(name).get("available_node_types", {}).get("head", {}).get("resources", {})
    assert head.get("CPU") == 0 or "--num-cpus=0" in text
    assert text.count("RAY_AUTH_MODE=token") == 2
    assert text.count("RAY_USAGE_STATS_ENABLED=0") == 2


@pytest.mark.parametrize("name", [*CLUSTERS, "deploy/rayjob.yaml"])
def test_no_cluster_file_opens_a_dashboard_to_others(name):
    assert not re.search(r"dashboard-host[=: ]+[\"']?0\.0\.0\.0", (ROOT / name).read_text())


def test_the_job_runs_a_command_that_there_is():
    words = shlex.split(read("deploy/rayjob.yaml")["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "orchestrator"]
    command = typer.main.get_command(app).commands[words[3]].get_command(None, words[4])
    given = command.make_context(words[4], words[5:]).params
    assert given["scale"] in {scale.name for scale in SCALES}
    assert given["address"] == "auto"


def test_every_pod_of_the_job_may_use_the_store():
    spec = read("deploy/rayjob.yaml")["spec"]
    words = shlex.split(spec["entrypoint"])
    store = urlsplit(words[words.index("--store") + 1])
    assert store.scheme == "s3"
    assert store.username is None
    cluster = spec["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["serviceAccountName"] == "castlewalls"


def test_workers_are_spot_machines_and_the_head_is_not():
    kinds = read("cluster.yaml")["available_node_types"]
    spot = {name for name, kind in kinds.items() if "InstanceMarketOptions" in kind["node_config"]}
    assert spot == kinds.keys() - {"head"}


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_token_goes_to_every_node_for_its_owner_only(name):
    cluster = read(name)
    [(there, here)] = cluster["file_mounts"].items()
    assert here == "~/.ray/auth_token"
    assert there.endswith("/.ray/auth_token")
    assert cluster["setup_commands"] == ["chmod 600 ~/.ray/auth_token"]


def test_the_image_has_the_ray_and_the_python_that_are_pinned():
    text = (ROOT / "deploy/Dockerfile").read_text()
    [(ray, python)] = re.findall(r"^FROM rayproject/ray:(.+)-py(\d+)-gpu$", text, re.MULTILINE)
    assert ray == pinned("ray")
    assert python == "311"


def test_the_image_has_every_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    text = (ROOT / "deploy/Dockerfile").read_text()
    assert re.findall(r"^COPY \S+ (\w+) \S+$", text, re.MULTILINE) == packages


def test_the_job_s_ray_is_the_one_that_is_pinned():
    assert read("deploy/rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned("ray")


def test_what_is_installed_is_what_is_pinned():
    """Every direct dependency is held by the constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    wanted = {
        re.split(r"[\[<>=!~ ]", name)[0].lower() for name in [*project["dependencies"], *extras]
    }
    held = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert wanted <= held
