"""``castlewalls doctor``: look at this machine, or every node of a cluster, before a run does.

A run refuses what cannot work with the first reason that it meets; this looks at everything and
tells all of it.  It leaves nothing behind, neither in the store nor on the cluster.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from rich.text import Text

from orchestrator.cli import findings, machine
from orchestrator.cli.findings import Finding, Wanted
from orchestrator.cli.machine import Machine
from orchestrator.run.placement import GIB

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.store.store import Store

PATIENCE_SECONDS = 60.0
"""How long a node may take to answer; its first task of a run may have code to fetch."""
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Where a tracking server listens that is named without a port."""
SEEN = "read and written on every node"
STYLES = {"good": "green", "note": "yellow", "wrong": "bold red"}


def examine(store: str, address: str | None) -> list[Finding]:
    """Look at everything that a run rests on.

    Args:
        store: As ``--store`` takes it.
        address: An existing Ray cluster, whose nodes are looked at then; None for this machine.

    Raises:
        ValueError: For words that name no store.
        NoCluster: When no cluster answers at the address, or it does not let us in.
    """
    asked = wanted()
    here = machine.look(asked.packages, os.environ)
    if address is None:
        found = list(findings.judge(here, asked))
    else:
        found = [findings.versions(here, asked), findings.token(here)]
    opened, trouble = _opened(store)
    with leaving_nothing(opened.root) if opened else nullcontext():
        found.append(kept(opened) if opened else trouble)
        if opened and (found[-1].level != "wrong" or "MLFLOW_TRACKING_URI" in os.environ):
            found.append(tracked(opened))
        if address is not None:
            found += _cluster(opened, address, asked, here)
    return found


def wanted() -> Wanted:
    """The ranges of ``pyproject.toml``, beside this code or as it was installed."""
    from packaging.requirements import Requirement

    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.exists():
        import tomllib

        told = tomllib.loads(project.read_text())["project"]
        python, lines = told["requires-python"], told["dependencies"]
    else:
        try:
            python = metadata.metadata("castlewalls")["Requires-Python"]
            lines = metadata.requires("castlewalls") or []
        except metadata.PackageNotFoundError:
            python, lines = "", []
    needed = [Requirement(line) for line in lines]
    needed = [one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
    extras = {one.name: f"[{','.join(sorted(one.extras))}]" for one in needed if one.extras}
    return Wanted(python, {one.name: str(one.specifier) for one in needed}, extras)


def _opened(address: str) -> "tuple[Store | None, Finding]":
    """The store, or what is wrong with it."""
    from orchestrator.store.store import open_store

    nothing = Finding("good", "store", address)
    try:
        return open_store(address), nothing
    except OSError as error:  # it does not answer, or not to us
        cure = "give another with --store, or mend what it says; credentials come from the usual "
        cure += "places: environment variables, ~/.aws, the machine's role"
        return None, Finding("wrong", "store", _line(error), cure)


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """Remove the folder, and those above it, that were made inside this block and are empty."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for path in new:
                path.rmdir()


def kept(store: "Store") -> Finding:
    """Whether the store can be written to and read from here, and how much room there is."""
    try:
        probe = store.probe()
        try:
            trouble = machine.unusable(store.address, probe)
        finally:
            store.unprobe(probe)
    except OSError as error:
        trouble = f"cannot write to the store {store.address}: {error.strerror or _line(error)}"
    if trouble:
        cure = "give another with --store"
        if not store.remote:
            cure += f", or let yourself write there: ls -ld {store.root}"
        return Finding("wrong", "store", trouble, cure)
    room = machine.space(store.root)
    if room is None:
        return Finding("good", "store", f"{store.address} is written and read")
    place = f"this machine's copy of {store.address}" if store.remote else store.address
    return findings.disk("store", place, room)


def tracked(store: "Store") -> Finding:
    """Whether MLflow takes results where a run would send them; nothing is written there."""
    from orchestrator.run import tracking

    uri = tracking.uri(store)
    scheme = urlsplit(uri).scheme
    if scheme.startswith("sqlite"):
        return _database(Path(unquote(uri.partition(":///")[2])))
    cure = (
        "start it (castlewalls mlflow does on this machine), mend MLFLOW_TRACKING_URI, or unset it:"
        " then SQLite in the store keeps the results; runs go on without"
    )
    if scheme in ("", "file"):
        says = f"MLFLOW_TRACKING_URI is {public(uri)!r}, and MLflow 3 no longer writes to folders"
        return Finding("wrong", "MLflow", says, cure)
    if trouble := _unreachable(uri, scheme):
        return Finding("wrong", "MLflow", f"{public(uri)} {trouble}", cure)
    return Finding("good", "MLflow", f"{public(uri)} answers")


def _database(path: Path) -> Finding:
    if not path.exists():
        return Finding("good", "MLflow", f"the first run makes {path}")
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5) as opened:
            opened.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error as error:
        cure = f"mv {path} {path}.broken; the next run makes another and sends everything anew"
        return Finding("wrong", "MLflow", f"{path} is no database of MLflow's: {error}", cure)
    return Finding("good", "MLflow", f"{path} can be read")


def _unreachable(uri: str, scheme: str) -> str | None:
    """Why a tracking server does not take results, or None; its own client asks."""
    parts = urlsplit(uri)
    if parts.hostname:
        port = parts.port or PORTS.get(scheme.partition("+")[0], 80)
        if silence := machine.answers(parts.hostname, port):
            return f"does not answer ({silence})"
    if scheme not in ("http", "https"):
        return None  # a database is only touched by runs
    from orchestrator.run.tracking import QUIET

    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    from mlflow import MlflowClient

    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except Exception as error:  # whatever the client makes of what it was answered
        said = _line(error).partition(" Response body")[0].replace(uri, public(uri))
        if parts.password:
            said = said.replace(parts.password, "***")
        return f"did not answer as MLflow does: {said[:200]}"
    return None


def public(uri: str) -> str:
    """An address without the password and the options that it may hold."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _cluster(
    store: "Store | None", address: str, asked: Wanted, here: Machine
) -> Iterator[Finding]:
    """Yield what there is to say of the cluster, and of its nodes."""
    from orchestrator.run import cluster, nodes

    mended: list[str] = []
    with cluster.connected(address, dashboard=False, verbose=False, say=mended.append):
        import ray

        yield from (Finding("good", "authentication", line) for line in mended)
        yield guard(ray.get_runtime_context().gcs_address)
        there = named(nodes.alive())
        yield shape(list(there.values()), nodes.possible())
        with _probed(store) as probe:
            told = dict(_answers(there, asked, probe))
        yield from of_nodes(there, told, here, nodes.VERSIONS_OF, probe and probe[0])


@contextmanager
def _probed(store: "Store | None") -> Iterator[tuple[str, str] | None]:
    """Yield the store's address and what nodes are to see in it; None if it is no use here."""
    probe = ""
    with suppress(OSError):
        probe = store.probe() if store else ""
    try:
        yield (store.address, probe) if store and probe else None
    finally:
        if store and probe:
            store.unprobe(probe)


def guard(head: str) -> Finding:
    """Whether the cluster turns strangers away; it is asked as one."""
    guarded = machine.guarded(head)
    if guarded is None:
        says = f"the cluster at {head} gave no answer to whether it wants a token"
        cure = "see that it was started with RAY_AUTH_MODE=token on every node"
        return Finding("note", "authentication", says, cure)
    if not guarded:
        return Finding(
            "wrong",
            "authentication",
            f"the cluster at {head} asks for no token: whoever reaches it can run programs there",
            "start it anew with RAY_AUTH_MODE=token on every node, as cluster.yaml does",
        )
    return Finding("good", "authentication", f"the cluster at {head} asks for a token")


def named(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The nodes by address; by address and id where several share one."""
    addresses = [node["NodeManagerAddress"] for node in nodes]
    return {
        address if addresses.count(address) == 1 else f"{address} ({node['NodeID'][:6]})": node
        for address, node in sorted(
            zip(addresses, nodes, strict=True), key=lambda pair: (pair[0], pair[1]["NodeID"])
        )
    }


def shape(nodes: Sequence[Mapping[str, Any]], possible: Sequence[Mapping[str, float]]) -> Finding:
    """What the nodes have together, and what an autoscaler may add.

    Args:
        nodes: The live ones as Ray describes them.
        possible: Resources of these and of those that may come.
    """
    resources = [node["Resources"] for node in nodes]
    told = f"{len(nodes)} node(s) with {_together(resources)}"
    if len(possible) > len(nodes):
        told += f"; {len(possible) - len(nodes)} more may come, {_together(possible)} in all"
    if not any(has.get("CPU") for has in possible):
        cure = "ray start --address=HEAD:6379 on a machine that is to work"
        return Finding("wrong", "cluster", f"{told}: no step can run", cure)
    head: Mapping[str, float] = next(
        (has for has in resources if "node:__internal_head__" in has), {}
    )
    if len(possible) > 1 and head.get("CPU"):
        cure = "ray start --head --num-cpus=0 ..., unless these CPUs are needed"
        says = f"{told}; the head has {head['CPU']:g} CPU: steps on it compete with the drivers"
        return Finding("note", "cluster", says, cure)
    return Finding("good", "cluster", told)


def _together(resources: Sequence[Mapping[str, float]]) -> str:
    cpus, gpus = (sum(has.get(name, 0.0) for has in resources) for name in ("CPU", "GPU"))
    return f"{cpus:g} CPU, {gpus:g} GPU"


Told = tuple[Machine, str | None] | Finding
"""What a node answered: facts, and why the store is no use to it; or why it did not answer."""


def _answers(
    nodes: Mapping[str, Mapping[str, Any]], asked: Wanted, probe: tuple[str, str] | None
) -> Iterator[tuple[str, Told]]:
    """Yield each node's name with its answer; they are asked at once, without holding a CPU."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(machine.look_at_node)
    asking = {}
    for name, node in nodes.items():
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = look.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
        temporary = str(Path(node["RayletSocketName"]).parent.parent.parent)
        asking[task.remote(list(asked.packages), temporary, probe)] = name
    done, _ = ray.wait(list(asking), num_returns=len(asking), timeout=PATIENCE_SECONDS)
    for reference, name in asking.items():
        yield name, _answer(reference) if reference in done else silent()


def silent() -> Finding:
    """What is said of a node that does not answer."""
    return Finding(
        "wrong",
        "node",
        f"no answer within {PATIENCE_SECONDS:.0f} s",
        "look at its raylet.err and runtime_env_setup-*.log in /tmp/ray/session_latest/logs, "
        "and start it anew",
    )


def _answer(reference: Any) -> Told:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()[-1][:200]
        cure = "install there what pyproject.toml asks for (deploy/Dockerfile), and start it anew"
        return Finding("wrong", "node", f"a task on it failed: {said}", cure)


def of_nodes(
    nodes: Mapping[str, Mapping[str, Any]],
    told: Mapping[str, Told],
    here: Machine,
    deciding: Iterable[str],
    store: str | None,
) -> Iterator[Finding]:
    """Yield a line a node, then what is not good on some of them.

    Args:
        nodes: Name to what Ray says of it.
        told: Name to what it answered itself.
        here: The driver's machine.
        deciding: Packages that must be of the same version everywhere.
        store: The address of the store that they were asked for, if any.
    """
    amiss: dict[str, list[Finding]] = {}
    for name, answer in told.items():
        if isinstance(answer, Finding):
            amiss[name] = [answer]
            continue
        facts, blind = answer
        resources = nodes[name]["Resources"]
        yield Finding("good", "node", f"{name}: {_summary(facts, resources)}")
        amiss[name] = [
            *findings.judge_node(facts, here, resources, deciding),
            unseen(blind, store or ""),
        ]
    found = list(findings.merged(amiss))
    for about, says in (("versions", "the same on every node as here"), ("store", SEEN)):
        asked = store or about != "store"
        if asked and not any(finding.about in (about, "node") for finding in found):
            yield Finding("good", about, says)
    yield from found


def _summary(facts: Machine, resources: Mapping[str, float]) -> str:
    memory = f"{facts.memory.free / GIB:.1f} of {facts.memory.total / GIB:.1f} GiB memory free"
    disk = f"{facts.temporary_disk.free / GIB:.1f} GiB disk free"
    has = f"{resources.get('CPU', 0.0):g} CPU, {resources.get('GPU', 0.0):g} GPU"
    return f"{has}; {memory}, {disk}"


def unseen(reason: str | None, store: str) -> Finding:
    """Whether a node uses the store that the driver uses."""
    if not reason:
        return Finding("good", "store", SEEN)
    cure = "mount the same folder at the same path on every node, or give an address such as "
    cure += "s3://bucket/folder with --store"
    if "://" in store:
        cure = "give these nodes credentials for it, by environment variables, ~/.aws or a role"
    return Finding("wrong", "store", reason, cure)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def print_findings(found: list[Finding], console: "Console") -> None:
    """A line a finding, its cure below it, and what it comes to."""
    for finding in found:
        level = Text(f"{finding.level:6}", STYLES[finding.level])
        console.print(level + f"{finding.about}: {finding.says}", soft_wrap=True)
        if finding.cure:
            console.print(f"      cure: {finding.cure}", markup=False, soft_wrap=True)
    counts = {level: sum(finding.level == level for finding in found) for level in STYLES}
    summary = f"{counts['good']} good, {counts['note']} to note, {counts['wrong']} wrong"
    console.print(summary, markup=False)
