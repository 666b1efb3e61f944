"""A step: one task, its settings, and the steps it is computed from.

*Settings* say what to compute, *inputs* and *streams* from what: they are the step's identity.  The
task sees the folders of its inputs; streams are read by the orchestrator alone, so neither a
trainer nor a detector can see which rows are poisoned.  Placement is never part of the identity.
"""

import dataclasses
import enum
import hashlib
import importlib
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import ModuleType
from typing import Any, Literal

Shape = Literal["whole", "per_batch", "fit"]

FUNCTIONS: dict[Shape, str] = {"whole": "run", "per_batch": "Worker", "fit": "fit"}
"""What a task's module defines, by the task's shape."""
GIVEN_BY_THE_ORCHESTRATOR = {
    "whole": {"out"},
    "per_batch": set[str](),
    "fit": {"out", "batches", "report", "resume"},
}
"""Arguments of each shape that are neither settings nor inputs."""
TRAINING_SET = "training_set"
"""A further argument of ``whole`` and ``per_batch`` steps with streams: a folder."""

LONGEST, SHOWN = 300, 24
"""Settings of more characters are shortened in messages, to so many of them."""


@dataclass(frozen=True)
class Step:
    """A node of the experiment graph.  Building one runs nothing."""

    settings: Any
    """A frozen dataclass (``tasks.settings.TaskSettings``) that names its task, or lies in it."""
    inputs: Mapping[str, "Step"] = field(default_factory=dict)
    """Steps whose folders the task reads, by argument name."""
    streams: Mapping[str, "Step"] = field(default_factory=dict)
    """The training set, which the orchestrator reads: ``dataset`` (images, or their moments), and
    perhaps ``manifest`` (what is poisoned) and ``stamped`` (moments of all images stamped)."""

    def __post_init__(self) -> None:
        """Raise TypeError when the task wants other inputs, or streams have no reader."""
        if self.shape == "fit" or self.streams:
            self._check_streams()
        given = dict.fromkeys(GIVEN_BY_THE_ORCHESTRATOR[self.shape])
        if self.reads_training_set:
            given[TRAINING_SET] = None
        try:
            _signature(self.function).bind(self.settings, **given, **self.inputs)
        except TypeError as error:
            raise TypeError(f"{self.task}: {error}") from error

    def _check_streams(self) -> None:
        named = ", ".join(self.streams) or "none"
        trouble = f"expected the streams dataset and perhaps manifest and stamped, got {named}"
        if {"dataset"} <= self.streams.keys() <= {"dataset", "manifest", "stamped"}:
            parameters = _signature(self.function).parameters
            if not self.reads_training_set or TRAINING_SET in parameters:
                return
            name = self.function.__name__
            trouble = f"its {name} takes no {TRAINING_SET}, so it takes no streams"
        raise TypeError(f"{self.task}: {trouble}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the definition only; what is derived is derived again."""
        return Step, (self.settings, dict(self.inputs), dict(self.streams))

    @property
    def module(self) -> ModuleType:
        """The task's code: the module that its settings name as ``task``, or that they are in."""
        kind = type(self.settings)
        return importlib.import_module(getattr(kind, "task", "") or kind.__module__)

    @property
    def task(self) -> str:
        """The task's name: its module's, e.g. ``poison``."""
        return self.module.__name__.rpartition(".")[2]

    @cached_property
    def shape(self) -> Shape:
        """How the task runs, by what its module defines."""
        for shape, name in FUNCTIONS.items():
            if hasattr(self.module, name):
                return shape
        raise TypeError(f"{self.module.__name__} defines no run(), fit() or Worker")

    @property
    def function(self) -> Any:
        """The task's ``run``, ``Worker`` or ``fit``."""
        return getattr(self.module, FUNCTIONS[self.shape])

    @property
    def reads_training_set(self) -> bool:
        """Whether its streams are written to a folder for it; a ``fit`` gets batches instead."""
        return bool(self.streams) and self.shape != "fit"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the bytes of the result, as plain JSON values."""
        digests = {
            kind: {role: step.digest for role, step in sorted(steps.items())}
            for kind, steps in (("inputs", self.inputs), ("streams", self.streams))
        }
        return {
            "task": self.task,
            "revision": type(self.settings).revision,
            "settings": canonical(self.settings),
            **digests,
        }

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits of the identity."""
        text = json.dumps(self.identity, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def path(self) -> str:
        """Where the result lives, relative to the artifact store."""
        words = [self.settings.label, self.subject, self.digest]
        return f"{self.task}/{'-'.join(filter(None, words))}"

    @cached_property
    def subject(self) -> str:
        """What a result is of, for readers of paths: the generations and their poison."""
        if manifest := self.streams.get("manifest"):
            return str(manifest.settings.label)
        if self.shape != "per_batch" or not self.inputs:
            return ""
        source = next(iter(self.inputs.values()))
        own = source.settings.label if source.shape == "per_batch" else ""
        return "-".join(filter(None, [own, source.subject]))

    @property
    def sources(self) -> tuple["Step", ...]:
        """Every step this one is directly computed from."""
        return (*self.inputs.values(), *self.streams.values())


@lru_cache(maxsize=1000)
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def ancestors(targets: Iterable[Step]) -> Iterator[Step]:
    """Yield every step that the targets need, sources first, each digest once."""
    seen: set[str] = set()

    def walk(step: Step) -> Iterator[Step]:
        if step.digest in seen:
            return
        seen.add(step.digest)
        for source in step.sources:
            yield from walk(source)
        yield step

    for target in targets:
        yield from walk(target)


def canonical(value: Any) -> Any:
    """Reduce settings to JSON values that are equal exactly when the settings are.

    A field declared with ``metadata={"since": N}`` was added later, and is left out while it has
    its default: older results keep their digests.  One with ``metadata={"identity": False}`` says
    where something lies, not what it is, and is left out.

    Raises:
        TypeError: For a value with no process-independent form, such as a function or an array.
        ValueError: For NaN, which is not equal to itself and so identifies nothing.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        body = {}
        for item in dataclasses.fields(value):
            if not item.metadata.get("identity", True):
                continue
            current = getattr(value, item.name)
            if item.metadata.get("since") and current == item.default:
                continue
            if item.type in (float, "float"):
                current = float(current)  # 1 and 1.0 are one setting
            body[item.name] = canonical(current)
        return {"type": type(value).__qualname__, **body}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and value != value:
        raise ValueError("settings hold NaN, which cannot identify a result; give a number or None")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    raise TypeError(
        f"settings must be plain values or frozen dataclasses; {type(value).__qualname__} has no "
        f"form that is the same in every process, so it cannot identify a result"
    )


def brief(value: Any) -> Any:
    """Shorten long texts and lists, also in a dictionary, to beginning, length and digest."""
    if isinstance(value, dict):
        return {key: brief(item) for key, item in value.items()}
    if not isinstance(value, str | list | tuple):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) <= LONGEST:
        return value
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    unit = "characters" if isinstance(value, str) else "values"
    return f"{text[:SHOWN]}... ({len(value):,} {unit}, digest {digest})"


def difference(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Yield a line for each value that differs between two identities; long ones are shortened."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            name = f"{at}.{key}" if at else key
            if key not in old:
                yield f"{name}: new, {brief(new[key])!r}"
            elif key not in new:
                yield f"{name}: {brief(old[key])!r} is gone"
            else:
                yield from difference(old[key], new[key], name)
    elif old != new:
        yield f"{at}: {brief(old)!r} -> {brief(new)!r}"
