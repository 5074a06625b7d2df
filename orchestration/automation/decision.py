"""What a changed catalogue asks for: one pure function, so that people can read and change it."""

from dataclasses import dataclass
from enum import StrEnum

from ml.snapshot import Changes, find_buckets

GROWTH_LIMIT = 0.10
"""Share of the tracks that a model was trained on which may be new to it."""

CONFIRM_AFTER_DAYS = 6.0
"""An unchanged catalogue is confirmed this often, well within its freshness policy."""


class Action(StrEnum):
    """What to do; all but the first are names of jobs."""

    NOTHING = "nothing"
    CONFIRM = "confirm"
    RELABEL = "relabel"
    EXTEND = "extend"
    REFRESH = "refresh"


@dataclass(frozen=True)
class Drift:
    """How far the catalogue has moved from what each step has worked on.

    Parameters
    ----------
    trained, evaluated, indexed : Changes or None
        Since the last training, evaluation, and activation; None if there was none.
    trained_tracks : int
        Tracks of the catalogue at the last training.
    idle_days : float
        Since anyone looked at the catalogue.
    """

    trained: Changes | None = None
    evaluated: Changes | None = None
    indexed: Changes | None = None
    trained_tracks: int = 0
    idle_days: float = 0.0

    @property
    def growth(self) -> float:
        """Tracks whose audio the last training has not heard, as a share of those it has."""
        if self.trained is None:
            return 0.0
        return len(self.trained.added | self.trained.replaced) / max(self.trained_tracks, 1)

    @property
    def relabelled(self) -> frozenset[str]:
        """Tracks of which the last evaluation, or what analysts ask, knows older labels."""
        known = [changes for changes in (self.evaluated, self.indexed) if changes]
        return frozenset[str]().union(*(changes.relabelled for changes in known))


@dataclass(frozen=True)
class Decision:
    """What to do and why.

    Parameters
    ----------
    action : Action
        What.
    reason : str
        One sentence; it becomes a tag of the run.
    buckets : tuple of int
        Which are concerned; empty for all.
    """

    action: Action
    reason: str
    buckets: tuple[int, ...] = ()


def decide(drift: Drift, *, weekly: bool = False, growth_limit: float = GROWTH_LIMIT) -> Decision:
    """Decide what a catalogue asks for.

    Parameters
    ----------
    drift : Drift
        How far it has moved.
    weekly : bool
        Whether it is the day on which any change is worth a new model.
    growth_limit : float
        Largest share of tracks that the model has not heard.

    Returns
    -------
    Decision
    """
    if drift.trained is None:
        return Decision(Action.REFRESH, "No model was trained on this catalogue yet.")
    if drift.growth > growth_limit:
        return Decision(
            Action.REFRESH,
            f"{drift.growth:.1%} of the tracks are new since the last training, more than "
            f"{growth_limit:.0%}.",
        )
    if weekly and drift.trained:
        return Decision(Action.REFRESH, f"Weekly: {drift.trained} since the last training.")
    if drift.indexed is None:
        return Decision(
            Action.NOTHING,
            "No version serves yet: see why the last `refresh` stopped, and run it again.",
        )
    if drift.indexed.audible:
        return Decision(
            Action.EXTEND,
            f"{_only_audible(drift.indexed)} since the last activation; {drift.growth:.1%} are new "
            f"to the model, within {growth_limit:.0%}: it stays.",
            tuple(drift.indexed.buckets),
        )
    if drift.relabelled:
        return Decision(
            Action.RELABEL,
            f"{len(drift.relabelled):,} relabelled, no audio changed.",
            tuple(find_buckets(drift.relabelled)),
        )
    if drift.idle_days > CONFIRM_AFTER_DAYS:
        return Decision(
            Action.CONFIRM, f"Nothing has changed for {drift.idle_days:.0f} days: look and confirm."
        )
    return Decision(Action.NOTHING, "Nothing has changed.")


def _only_audible(changes: Changes) -> Changes:
    return Changes(changes.added, changes.removed, changes.replaced)
