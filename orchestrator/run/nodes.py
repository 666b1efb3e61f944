"""The nodes of a cluster: what they have, what may still come, and whether all can take part."""

import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
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
HEAD = "node:__internal_head__"
"""A resource that every Ray cluster has one of, on its head."""
ID, GROUP = "ray.io/node-id", "ray.io/node-group"
"""Ray's labels of a node: its own id; the group that an autoscaler has added it for."""
MOST_WORKERS = 2
"""Of a cluster whose configuration says nothing else, by Ray's default."""
BOUNDLESS = 1e15
"""CPUs, GPUs and bytes that no cluster has."""
ANSWER_SECONDS = 60.0
"""How long a node may take to say what it sees; it may fetch our code first."""
NAMED = 3
"""Nodes that a message names; the rest is counted."""


def alive(without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Each live node as Ray describes it, but those with some ids."""
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in without]


def there() -> Nodes:
    """What each live node has."""
    return [node["Resources"] for node in alive()]


def possible(without: Collection[str] = ()) -> Nodes:
    """What each live node has, and each that an autoscaler may add.

    A cluster may start as a head without CPUs and no worker at all.  What it may become is in the
    file that its autoscaler was started with, on the head; anywhere else what is there is all.

    Args:
        without: Ids of live nodes that are left out.
    """
    nodes = alive(without)
    file = _autoscaler_file(ray.get_runtime_context().gcs_address)
    told = yaml.safe_load(file.read_text()) if file and file.exists() else {}
    return [node["Resources"] for node in nodes] + list(addable(told, nodes))


def addable(
    told: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What each node has that an autoscaler may still add.

    Args:
        told: Its configuration, as ``ray up`` has it.
        nodes: The live nodes, as Ray describes them.
    """
    groups = dict(told.get("available_node_types", {}))
    groups.pop(told.get("head_node_type"), None)
    most = told.get("max_workers", MOST_WORKERS)
    live = Counter(_group_of(node, groups) for node in nodes if HEAD not in node["Resources"])
    for name, group in groups.items():
        for _ in range(min(group.get("max_workers", most), most) - live[name]):
            yield group.get("resources", {})


def _group_of(node: Mapping[str, Any], groups: Mapping[str, Any]) -> str | None:
    """The node group that a live node is of, if its label or else its CPUs and GPUs tell."""
    if label := node.get("Labels", {}).get(GROUP):
        return str(label)
    return next(
        (
            name
            for name, group in groups.items()
            if all(
                group.get("resources", {}).get(kind, 0) == node["Resources"].get(kind, 0)
                for kind in ("CPU", "GPU")
            )
        ),
        None,
    )


def grows_unseen() -> bool:
    """Whether nodes may be added of which nothing is known here: KubeRay's autoscaler is at work.

    It reads its node groups from Kubernetes, in a container of its own beside the head's.
    """
    return "--no-monitor" in os.environ.get("KUBERAY_GEN_RAY_START_CMD", "")


def capacity(without: Collection[str] = ()) -> Mapping[str, float]:
    """What steps may hold together: all there can be; without a bound where nobody knows that.

    Args:
        without: Ids of live nodes that are left out.
    """
    return dict.fromkeys(RESOURCES, BOUNDLESS) if grows_unseen() else summed(possible(without))


@lru_cache(maxsize=1)
def _autoscaler_file(head: str) -> Path | None:
    """The configuration of a cluster's autoscaler, if that runs on this machine."""
    for process in psutil.process_iter(["cmdline"]):
        words = (word.partition("=") for word in process.info["cmdline"] or ())
        given = {name: value for name, _, value in words}
        if given.get("--gcs-address") == head and "--autoscaling-config" in given:
            return Path(given["--autoscaling-config"]).expanduser()
    return None


def this_machine(object_store: int) -> Mapping[str, float]:
    """What a Ray that is started in this machine has, by its own arithmetic; nothing is started.

    Args:
        object_store: Bytes that are set aside for objects.
    """
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
    """Fail before anything starts if a step fits no set of nodes.

    Args:
        steps: What is to run.
        placement: How it is spread.
        nodes: What each node has.

    Raises:
        ValueError: With the need, what there is, and what would fit.
    """
    capacity = summed(nodes)
    for step in steps:
        if reason := refusal(step, placement.bundle(step, capacity), nodes):
            raise ValueError(reason)


@dataclass(frozen=True)
class Facts:
    """What a node says of itself."""

    versions: Mapping[str, str]
    """Of Python and of ``VERSIONS_OF``."""
    unseen: str | None = None
    """Why it does not see the store; None if it does."""


def facts(store: Store | None = None, token: str = "") -> Facts:
    """What this process says of itself.

    Args:
        store: Looked at, if there is one.
        token: What ``store.probe`` left there.
    """
    versions = {name: _version(name) for name in VERSIONS_OF}
    unseen = store.sees(token) if store else None
    return Facts({"Python": platform.python_version(), **versions}, unseen)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def ask(store: Store, token: str) -> dict[str, Facts | str]:
    """Have every live node look at the store.

    Returns:
        By the node's name: what it says, or why it says nothing.
    """
    waiting = {_ask(node["NodeID"], store, token): _name(node) for node in alive()}
    deadline = time.monotonic() + ANSWER_SECONDS
    said: dict[str, Facts | str] = {}
    for answer, node in waiting.items():
        try:
            said[node] = ray.get(answer, timeout=max(0.1, deadline - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            said[node] = f"it did not answer within {ANSWER_SECONDS:.0f} s"
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            said[node] = " ".join(f"{type(cause).__name__}: {cause}".split())[:300]
    return said


def _name(node: Mapping[str, Any]) -> str:
    """Its address, and which of those that one machine may have."""
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"


def _ask(node: str, store: Store, token: str) -> Any:
    only_there = NodeAffinitySchedulingStrategy(node, soft=False)
    task: Any = ray.remote(facts)
    how = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": only_there}
    return task.options(**how).remote(store, token)


def refuse_unfit(said: Mapping[str, Facts | str], store: Store, own: Facts) -> None:
    """Fail before anything starts if a node cannot take part.

    Args:
        said: By the node's name: its facts, or why it has none.
        store: For the message.
        own: Of the driver.

    Raises:
        NoCluster: A node is silent, of other versions, or does not see the store: which, and what
            to do about it.
    """
    silent = {node: why for node, why in said.items() if isinstance(why, str)}
    if silent:
        raise NoCluster(f"{_named(silent)}. Take it out of the cluster, or see to it.")
    known = {node: fact for node, fact in said.items() if isinstance(fact, Facts)}
    for name, version in own.versions.items():
        others = {
            node: f"{fact.versions[name]}"
            for node, fact in known.items()
            if fact.versions[name] != version
        }
        if others:
            raise NoCluster(
                f"results depend on the version of {name}: here it is {version}, but on "
                f"{_named(others)}. Install the same on every node, from constraints.txt."
            )
    unseen = {node: fact.unseen for node, fact in known.items() if fact.unseen}
    if unseen:
        raise NoCluster(
            f"not every node sees the store {store.address}: {_named(unseen)}. "
            + (
                "Give that node credentials for it, as its environment or files have them."
                if store.remote
                else "Give --store a folder that all nodes share, or an s3:// or gs:// address."
            )
        )


def _named(nodes: Mapping[str, str]) -> str:
    some = [f"node {node}: {why}" for node, why in list(nodes.items())[:NAMED]]
    more = len(nodes) - len(some)
    return "; ".join(some) + (f"; and {more} more nodes" if more else "")
