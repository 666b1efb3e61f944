"""The nodes of a cluster: what they have, which may be added, and whether all can take part."""

import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import yaml

from orchestrator.run import environment  # noqa: F401 - before Ray, for what it sets

# isort: split
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.process import cores
from orchestrator.run.placement import RESOURCES, Nodes, Placement, refusal
from orchestrator.run.request import NoCluster
from orchestrator.step import Step
from orchestrator.store.store import Store

VERSIONS_OF = ("ray", "torch")
"""Packages that must be of one version wherever a result is computed; so must Python."""
HEAD = "node:__internal_head__"  # a resource that every Ray cluster has one of, on its head
ID, GROUP = "ray.io/node-id", "ray.io/node-group"
"""Ray's labels of a node: its own id; the group that an autoscaler has added it for."""
MOST_WORKERS = 2  # Ray's default for a cluster whose configuration does not say
BOUNDLESS = 1e15  # CPUs, GPUs and bytes that no cluster has
ANSWER_SECONDS = 60.0  # how long a node may take to answer; it may have to fetch our code first
NAMED = 3  # nodes that a message names; the others are counted


def alive(without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Each live node as Ray describes it, except those with these ids."""
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in without]


def there() -> Nodes:
    """What each live node has."""
    return [node["Resources"] for node in alive()]


def possible(without: Collection[str] = ()) -> Nodes:
    """What each live node has, and each that an autoscaler on this machine may add."""
    nodes = alive(without)
    configuration = _of_autoscaler(ray.get_runtime_context().gcs_address)
    return [node["Resources"] for node in nodes] + list(addable(configuration, nodes))


def addable(
    configuration: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What each node has that an autoscaler may still add."""
    groups = dict(configuration.get("available_node_types", {}))
    groups.pop(configuration.get("head_node_type"), None)
    most = configuration.get("max_workers", MOST_WORKERS)
    live = Counter(_group_of(node, groups) for node in nodes if HEAD not in node["Resources"])
    for name, group in groups.items():
        for _ in range(min(group.get("max_workers", most), most) - live[name]):
            yield group.get("resources", {})


def _group_of(node: Mapping[str, Any], groups: Mapping[str, Any]) -> str | None:
    """The group that a live node is of, by its label, or else by its CPUs and GPUs."""

    def size(of: Mapping[str, Any]) -> list[float]:
        return [of.get(name, 0) for name in ("CPU", "GPU")]

    own = size(node["Resources"])
    alike = (name for name, group in groups.items() if size(group.get("resources", {})) == own)
    return node.get("Labels", {}).get(GROUP) or next(alike, None)


def grows_unseen() -> bool:
    """Whether KubeRay's autoscaler, in a container of its own, may add nodes unknown here."""
    return "--no-monitor" in os.environ.get("KUBERAY_GEN_RAY_START_CMD", "")


def capacity(without: Collection[str] = ()) -> Mapping[str, float]:
    """What steps may hold together: all there can be, unbounded where that is not known."""
    return dict.fromkeys(RESOURCES, BOUNDLESS) if grows_unseen() else summed(possible(without))


@lru_cache(maxsize=1)
def _of_autoscaler(head: str) -> dict[str, Any]:
    """The configuration of a cluster's autoscaler, if that runs on this machine."""
    for process in psutil.process_iter(["cmdline"]):
        words = (word.partition("=") for word in process.info["cmdline"] or ())
        given = {name: value for name, _, value in words}
        if given.get("--gcs-address") == head and "--autoscaling-config" in given:
            file = Path(given["--autoscaling-config"]).expanduser()
            return yaml.safe_load(file.read_text()) if file.exists() else {}
    return {}


def this_machine(object_store: int) -> Mapping[str, float]:
    """What a Ray that is started in this machine has, by its own arithmetic; nothing is started."""
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    found = ResourceAndLabelSpec(num_cpus=cores(), object_store_memory=object_store)
    found.resolve(is_head=False, node_ip_address="127.0.0.1")
    return {name: float(found.to_resource_dict().get(name, 0.0)) for name in RESOURCES}


def summed(nodes: Nodes) -> dict[str, float]:
    """What nodes have together: CPU, GPU and memory (bytes)."""
    return {name: sum(node.get(name, 0.0) for node in nodes) for name in RESOURCES}


def silence(address: str) -> str | None:
    """Why nobody listens at ``host:port``, or None if somebody does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def refuse_impossible(steps: Sequence[Step], placement: Placement, nodes: Nodes) -> None:
    """Raise ValueError if a step fits no set of nodes: its need, what there is, what would fit."""
    capacity = summed(nodes)
    for step in steps:
        if reason := refusal(step, placement.bundle(step, capacity), nodes):
            raise ValueError(reason)


@dataclass(frozen=True)
class Facts:
    """Versions of a node's software, and why it does not see the store; None if it does."""

    versions: Mapping[str, str]
    unseen: str | None = None


def facts(store: Store | None = None, token: str = "") -> Facts:
    """What this process reports of itself."""
    versions = {name: metadata.version(name) if find_spec(name) else "none" for name in VERSIONS_OF}
    unseen = store.sees(token) if store else None
    return Facts({"Python": platform.python_version(), **versions}, unseen)


def ask(store: Store, token: str) -> dict[str, Facts | str]:
    """By each live node's name, what it reports of itself and the store, or why it does not."""
    task: Any = ray.remote(num_cpus=0, max_retries=0)(facts)
    waiting = {}
    for node in alive():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        name = f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"
        waiting[name] = task.options(scheduling_strategy=there).remote(store, token)
    deadline = time.monotonic() + ANSWER_SECONDS
    answers: dict[str, Facts | str] = {}
    for name, answer in waiting.items():
        try:
            answers[name] = ray.get(answer, timeout=max(0.1, deadline - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            answers[name] = f"it did not answer within {ANSWER_SECONDS:.0f} s"
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            answers[name] = " ".join(f"{type(cause).__name__}: {cause}".split())[:300]
    return answers


def refuse_unfit(answers: Mapping[str, Facts | str], store: Store, own: Facts) -> None:
    """Raise NoCluster if a node is silent, has other versions, or does not see the store."""
    silent = {node: why for node, why in answers.items() if isinstance(why, str)}
    if silent:
        raise NoCluster(f"{_named(silent)}. Remove it from the cluster, or repair it.")
    facts = {node: fact for node, fact in answers.items() if isinstance(fact, Facts)}
    for name, version in own.versions.items():
        found = {node: fact.versions[name] for node, fact in facts.items()}
        if others := {node: other for node, other in found.items() if other != version}:
            raise NoCluster(
                f"results depend on the version of {name}: here it is {version}, but on "
                f"{_named(others)}. Install the same on every node, from constraints.txt."
            )
    unseen = {node: fact.unseen for node, fact in facts.items() if fact.unseen}
    if unseen:
        cure = "Give --store a folder that all nodes share, or an s3:// or gs:// address."
        if store.remote:
            cure = "Give that node credentials for it, as its environment or files have them."
        raise NoCluster(f"not every node sees the store {store.address}: {_named(unseen)}. {cure}")


def _named(nodes: Mapping[str, str]) -> str:
    some = [f"node {node}: {why}" for node, why in list(nodes.items())[:NAMED]]
    more = len(nodes) - len(some)
    return "; ".join(some) + (f"; and {more} more nodes" if more else "")
