"""What each kind of change asks for."""

import pytest

from ml.snapshot import Changes
from ml.splits import assign_bucket, hash_track
from orchestration.automation.decision import Action, Drift, decide

SAME = Changes()
RELABELLED = Changes(relabelled=frozenset({"a"}))
MANY_GONE = Changes(removed=frozenset(map(str, range(50))))
GONE = Changes(removed=frozenset({"b"}))


def added(count: int) -> Changes:
    return Changes(added=frozenset(f"new {number}" for number in range(count)))


def drift(
    trained: Changes | None = SAME,
    indexed: Changes | None = SAME,
    evaluated: Changes | None = SAME,
    idle_days: float = 0.0,
) -> Drift:
    return Drift(trained, evaluated, indexed, trained_tracks=100, idle_days=idle_days)


# how far the catalogue has moved, whether it is Monday: what is done, and a part of the reason
TABLE = [
    (Drift(), False, Action.REFRESH, "No model was trained"),
    (drift(), False, Action.NOTHING, "Nothing has changed."),
    (drift(), True, Action.NOTHING, "Nothing has changed."),
    (drift(idle_days=6.5), False, Action.CONFIRM, "Nothing has changed for 6 days"),
    # labels
    (drift(RELABELLED, RELABELLED, RELABELLED), False, Action.RELABEL, "1 relabelled"),
    (drift(RELABELLED, SAME, RELABELLED), False, Action.RELABEL, "1 relabelled"),
    (drift(RELABELLED, RELABELLED, SAME), False, Action.RELABEL, "1 relabelled"),
    (drift(RELABELLED, SAME, SAME), False, Action.NOTHING, "Nothing has changed."),
    (drift(RELABELLED), True, Action.REFRESH, "Weekly: 1 relabelled since the last training."),
    # tracks within the limit
    (
        drift(added(10), added(10)),
        False,
        Action.EXTEND,
        "10 added since the last activation; 10.0% are new to the model, within 10%",
    ),
    (
        drift(added(10), added(2)),
        False,
        Action.EXTEND,
        "2 added since the last activation; 10.0% are new to the model, within 10%",
    ),
    (drift(added(10), SAME), False, Action.NOTHING, "Nothing has changed."),
    (drift(added(10), SAME), True, Action.REFRESH, "Weekly: 10 added since the last training."),
    (
        drift(GONE, GONE),
        False,
        Action.EXTEND,
        "1 removed since the last activation; 0.0% are new to the model, within",
    ),
    # beyond it
    (drift(added(11), added(11)), False, Action.REFRESH, "11.0% of the tracks are new"),
    (drift(added(11), SAME), False, Action.REFRESH, "11.0% of the tracks are new"),
    (
        drift(Changes(replaced=frozenset(map(str, range(11))))),
        False,
        Action.REFRESH,
        "11.0% of the tracks are new",
    ),
    # many leave: the model has heard what stays
    (
        drift(MANY_GONE, MANY_GONE),
        False,
        Action.EXTEND,
        "50 removed",
    ),
    # the last candidate was refused, and its catalogue is not served yet
    (drift(SAME, added(30)), False, Action.EXTEND, "30 added"),
    (drift(SAME, None), False, Action.NOTHING, "No version serves yet"),
    (drift(SAME, SAME, None), False, Action.NOTHING, "Nothing has changed."),
]


@pytest.mark.parametrize(("moved", "weekly", "action", "reason"), TABLE)
def test_change_is_answered(moved: Drift, weekly: bool, action: Action, reason: str) -> None:
    decision = decide(moved, weekly=weekly)
    assert decision.action is action
    assert reason in decision.reason


def test_tracks_come_before_labels() -> None:
    both = Changes(added=frozenset({"new"}), relabelled=frozenset({"a"}))
    assert decide(drift(both, both, RELABELLED)).action is Action.EXTEND
    assert "relabelled" not in decide(drift(both, both, RELABELLED)).reason


def test_buckets_are_those_of_the_changed_tracks() -> None:
    ids = ["new 0", "new 1", "new 2"]
    expected = tuple(sorted({assign_bucket(hash_track(track_id)) for track_id in ids}))
    assert decide(drift(added(3), added(3))).buckets == expected
    assert decide(drift(RELABELLED, RELABELLED)).buckets == (assign_bucket(hash_track("a")),)
    assert decide(drift(added(50))).buckets == ()


def test_limit_is_a_setting() -> None:
    moved = drift(added(3), added(3))
    assert decide(moved, growth_limit=0.02).action is Action.REFRESH
    assert decide(moved, growth_limit=0.03).action is Action.EXTEND
