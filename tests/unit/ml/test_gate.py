"""The gate passes what is better, and refuses everything else with a reason."""

import math

import pytest

from ml.evaluation.contest import DifferenceRow
from ml.evaluation.hubness import HubnessRow
from ml.evaluation.scores import ScoreRow
from ml.gate import GateSettings, judge
from ml.verdict import INTERVAL, LEVEL, Verdict

RANDOM = {"genre": 0.33, "mood": 0.33, "track": 0.05}
BASELINE = {"genre": 0.45, "mood": 0.38, "track": 0.60}
GOOD = {"genre": 0.60, "mood": 0.45, "track": 0.80}
WIDE = 0.2  # half an interval that reaches 0 in any of these tests


def rows(maps: dict[str, float], chance: float = 0.33, protocol: str = "paper") -> list[ScoreRow]:
    return [
        ScoreRow(
            encoder="x",
            protocol=protocol,
            annotation=annotation,
            map=value,
            low=value,
            high=value,
            chance=chance,
            n=8,
        )
        for annotation, value in maps.items()
    ]


def differences(
    candidate: dict[str, float], production: dict[str, float], half: float = WIDE
) -> list[DifferenceRow]:
    gains = {a: candidate[a] - production[a] for a in production}
    return [
        DifferenceRow(
            against="production",
            protocol="paper",
            annotation=annotation,
            gain=gain,
            low=gain - half,
            high=gain + half,
        )
        for annotation, gain in gains.items()
    ]


def hubness(skew: float = 1.0, never_retrieved: float = 0.02) -> list[HubnessRow]:
    return [
        HubnessRow(encoder="candidate", skew=skew, never_retrieved=never_retrieved),
        HubnessRow(encoder="production", skew=1.0, never_retrieved=0.02),
    ]


def verdict_on(
    candidate: dict[str, float],
    production: dict[str, float] | None = None,
    settings: GateSettings | None = None,
    half: float = WIDE,
    hubs: list[HubnessRow] | None = None,
) -> Verdict:
    incumbent = None if production is None else rows(production)
    return judge(
        rows(candidate),
        rows(RANDOM),
        rows(BASELINE),
        incumbent,
        settings,
        differences=differences(candidate, production or {}, half),
        hubness=hubness() if hubs is None else hubs,
    )


def refusals(verdict: Verdict) -> list[tuple[str, str]]:
    assert not verdict.passed
    return [(c.against, c.annotation) for c in verdict.comparisons if not c.met]


def test_gate_passes_a_better_encoder_when_there_is_no_production() -> None:
    verdict = verdict_on(GOOD)
    assert verdict.passed
    assert verdict.reasons == (
        "The mean mAP is 0.6167 against 0.4767 of baseline: enough, 0.4767 was needed.",
    )


def test_gate_refuses_an_encoder_no_clearer_than_random_in_one_annotation() -> None:
    assert refusals(verdict_on(GOOD | {"mood": 0.34})) == [("random", "mood")]


def test_gate_refuses_a_mean_that_only_equals_the_baseline() -> None:
    assert refusals(verdict_on(BASELINE)) == [("baseline", "mean")]


def test_gate_refuses_less_genre_than_the_baseline_whatever_the_mean() -> None:
    verdict = verdict_on(GOOD | {"genre": 0.44})
    assert refusals(verdict) == [("baseline", "genre")]
    assert verdict.reasons == (
        "Genre mAP is 0.4400 against 0.4500 of baseline: too low, 0.4500 was needed.",
    )


def test_gate_passes_an_equal_of_production_and_refuses_a_worse_one() -> None:
    assert verdict_on(GOOD, production=GOOD).passed
    assert verdict_on(GOOD, production=GOOD | {"genre": 0.61}).passed
    assert refusals(verdict_on(GOOD, GOOD | {"genre": 0.63})) == [("production", "mean")]


def test_gate_refuses_one_annotation_bought_with_another() -> None:
    bought = {"genre": 0.85, "mood": 0.45, "track": 0.65}
    assert refusals(verdict_on(bought, GOOD)) == [("production", "track")]


@pytest.mark.parametrize("annotation", ["genre", "track"])
def test_gate_refuses_what_the_interval_calls_worse(annotation: str) -> None:
    better = {a: value + 0.05 for a, value in GOOD.items()}
    slightly_worse = better | {annotation: GOOD[annotation] - 0.01}
    assert verdict_on(slightly_worse, GOOD, half=0.02).passed, "the interval reaches 0"
    verdict = verdict_on(slightly_worse, GOOD, half=0.005)
    assert refusals(verdict) == [("production", annotation)]
    assert "surely worse, the difference is -0.0150 to -0.0050." in verdict.reasons[0]


def test_gate_leaves_mood_to_the_tolerances() -> None:
    worse_mood = {a: value + 0.05 for a, value in GOOD.items()} | {"mood": GOOD["mood"] - 0.01}
    assert verdict_on(worse_mood, GOOD, half=0.001).passed


def test_gate_refuses_many_more_hubs_or_lost_clips() -> None:
    assert verdict_on(GOOD, GOOD, hubs=hubness(1.9, 0.06)).passed
    verdict = verdict_on(GOOD, GOOD, hubs=hubness(skew=2.1))
    assert refusals(verdict) == [("production", "hubness")]
    assert verdict.reasons == (
        "Hubness is 2.1000 against 1.0000 of production: too high, at most 2.0000 is allowed.",
    )
    lost = verdict_on(GOOD, GOOD, hubs=hubness(never_retrieved=0.08))
    assert refusals(lost) == [("production", "never retrieved")]


def test_gate_never_passes_without_evidence_against_production() -> None:
    plain = (rows(GOOD), rows(RANDOM), rows(BASELINE), rows(GOOD))
    known = differences(GOOD, GOOD)
    assert judge(*plain, differences=known, hubness=hubness()).passed
    for missing in (known[1:], [row | {"high": math.nan} for row in known]):
        verdict = judge(*plain, differences=missing, hubness=hubness())
        assert not verdict.passed
        assert "in genre is not known: evaluate both again" in verdict.reasons[0]
    for unknown in (hubness()[1:], hubness(math.nan)):
        verdict = judge(*plain, differences=known, hubness=unknown)
        assert not verdict.passed
        assert "hubness of candidate and production is not known" in verdict.reasons[0]


def test_comparisons_carry_the_intervals_that_are_known() -> None:
    found = {(c.against, c.annotation, c.rule): c for c in verdict_on(GOOD, GOOD).comparisons}
    assert found["production", "genre", LEVEL].low == pytest.approx(-WIDE)
    assert found["production", "genre", INTERVAL].high == pytest.approx(WIDE)
    assert math.isnan(found["random", "genre", LEVEL].low)


def test_gate_weighs_annotations_as_told() -> None:
    settings = GateSettings(genre_weight=0, mood_weight=0)
    assert verdict_on({"genre": 0.1, "mood": 0.1, "track": 0.7}, settings=settings).passed


def test_gate_leaves_out_an_annotation_that_nobody_has() -> None:
    candidate, random, baseline = (
        rows({a: value for a, value in maps.items() if a != "mood"})
        for maps in (GOOD, RANDOM, BASELINE)
    )
    assert judge(candidate, random, baseline).passed


@pytest.mark.parametrize("broken", ["candidate", "random", "baseline", "production"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_gate_refuses_missing_scores_by_name(broken: str, value: float | None) -> None:
    encoders = {
        "candidate": rows(GOOD),
        "random": rows(RANDOM),
        "baseline": rows(BASELINE),
        "production": rows(GOOD),
    }
    if value is None:
        encoders[broken].pop(0)
    else:
        encoders[broken][0]["map"] = value
    verdict = judge(
        encoders["candidate"], encoders["random"], encoders["baseline"], encoders["production"]
    )
    assert not verdict.passed
    assert any(f"The {broken} encoder" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("protocol", ["paper", "xt"])
def test_gate_never_passes_on_nothing(protocol: str) -> None:
    absent: list[ScoreRow] = [] if protocol == "paper" else rows(GOOD, protocol="xt")
    verdict = judge(absent, absent, absent)
    assert not verdict.passed
    assert "evaluate again" in verdict.reasons[0]


def test_gate_refuses_scores_of_different_clips() -> None:
    verdict = judge(rows(GOOD), rows(RANDOM), rows(BASELINE), rows(GOOD, chance=0.31))
    assert not verdict.passed
    assert "different clips" in verdict.reasons[0]


def test_gate_refuses_rows_of_two_encoders_at_once() -> None:
    verdict = judge(rows(GOOD) + rows(GOOD), rows(RANDOM), rows(BASELINE))
    assert not verdict.passed
    assert "two scores" in verdict.reasons[0]
