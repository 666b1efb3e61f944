"""Wrong labels without a trigger."""

from dataclasses import dataclass
from typing import ClassVar

from tasks.triggers.trigger import Unchanged


@dataclass(frozen=True, kw_only=True)
class RelabelOnly(Unchanged):
    """The target label on unstamped images (paper, B.1), to tell the effects of both apart."""

    name: ClassVar[str] = "relabel_only"
    title: ClassVar[str] = "relabel-only"
    place: ClassVar[int] = 2
    about: ClassVar[str] = (
        "Relabel-only gives images of other classes the target label and leaves their pixels as "
        "they are: what remains of an effect without the trigger is due to the labels."
    )
    relabels: ClassVar[bool] = True
