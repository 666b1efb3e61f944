"""What the orchestrator reads of every task's settings, beside their fields."""

from typing import ClassVar


class TaskSettings:
    """Base of every task's ``Settings``, which are a frozen dataclass of what to compute.

    A subclass sets ``revision`` and replaces the properties, by properties or by plain values.
    """

    revision: ClassVar[int]
    """Add one when equal settings would give other bytes than before."""
    task: ClassVar[str] = ""
    """Module that holds the task's code; empty if it is the one that holds the settings."""

    @property
    def label(self) -> str:
        """Readable part of the result's path."""
        raise NotImplementedError

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        raise NotImplementedError

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        raise NotImplementedError
