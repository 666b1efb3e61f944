"""Points and steps of a study, as they are planned."""

from orchestrator.step import ancestors


def points_of(study, scale, **typed):
    """The points of axes as they are typed."""
    return study.points(scale, study.chosen(scale, typed))


def steps_of(study, scale, **typed):
    """Their steps by digest."""
    steps = ancestors(point.measure for point in points_of(study, scale, **typed))
    return {step.digest: step for step in steps}


def added(study, scale, before=None, **typed):
    """The tasks of the steps that typed axes need beyond the axes typed ``before``."""
    known = steps_of(study, scale, **(before or {}))
    found = steps_of(study, scale, **typed)
    return {step.task for digest, step in found.items() if digest not in known}
