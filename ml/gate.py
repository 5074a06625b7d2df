"""The gate's arithmetic: whether a new encoder may take the place of the one in production.

Scores come as rows of the evaluation report (``ml.evaluation.scores.ScoreRow``) on validation
tracks, all of the same clips. The candidate passes when it

1. beats the random encoder by a clear margin in every annotation,
2. beats the baseline in the weighted mean over the annotations,
3. is not worse than the baseline in genre, the annotation that search is judged by first,
4. is at least as good as the model in production, within a tolerance: in the weighted mean, and
   within a wider one in each annotation, so that one is not bought with another,
5. is not surely worse than production in genre or track: the bootstrap interval over tracks of the
   paired difference reaches 0,
6. does not leave search with many more hubs, or many more clips that nobody finds.

An annotation that no encoder has a score for (a catalogue without moods) is left out. Whatever
else is missing or not a number refuses: the gate never passes on nothing. Encoders scored on
different clips cannot be compared; their levels of chance or numbers of categories give that away,
and refuse as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.evaluation.contest import DifferenceRow
from ml.evaluation.hubness import HubnessRow
from ml.evaluation.scores import ScoreRow
from ml.verdict import CEILING, HUBNESS, INTERVAL, MEAN, NEVER_RETRIEVED, Comparison, Verdict

SURELY = ("genre", "track")  # annotations in which the interval decides
_SAME_CHANCE = 1e-9
_Intervals = Mapping[tuple[str, str], DifferenceRow]


@dataclass(frozen=True)
class GateSettings:
    """What is asked of a candidate; margins and tolerances are differences of mAP.

    Parameters
    ----------
    protocol : str
        Protocol of the rows that are judged.
    genre_weight, mood_weight, track_weight : float
        Weights of the annotations in the mean; 0 leaves one out of the gate.
    margin_over_random : float
        By how much each annotation must beat the random encoder.
    margin_over_baseline : float
        By how much the mean must beat the baseline.
    genre_tolerance : float
        By how much genre may fall short of the baseline.
    production_tolerance : float
        By how much the mean may fall short of production: enough for another seed's luck, and
        small, as a model a little worse each time would pass each time.
    production_drop : float
        By how much any one annotation may fall short of production.
    hubness_rise : float
        By how much the skewness of the k-occurrence may exceed production's. It is of the order of
        1 for good embeddings; over 200 clips its standard error is some 0.2.
    never_retrieved_rise : float
        By how much the share of clips that nobody finds may exceed production's.
    """

    protocol: str = "paper"
    genre_weight: float = 1.0
    mood_weight: float = 1.0
    track_weight: float = 1.0
    margin_over_random: float = 0.02
    margin_over_baseline: float = 0.0
    genre_tolerance: float = 0.0
    production_tolerance: float = 0.005
    production_drop: float = 0.05
    hubness_rise: float = 1.0
    never_retrieved_rise: float = 0.05

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each annotation that counts."""
        weights = {
            "genre": self.genre_weight,
            "mood": self.mood_weight,
            "track": self.track_weight,
        }
        return {annotation: weight for annotation, weight in weights.items() if weight > 0}


def judge(
    candidate: Sequence[ScoreRow],
    random: Sequence[ScoreRow],
    baseline: Sequence[ScoreRow],
    production: Sequence[ScoreRow] | None = None,
    settings: GateSettings | None = None,
    *,
    differences: Sequence[DifferenceRow] = (),
    hubness: Sequence[HubnessRow] = (),
) -> Verdict:
    """Decide whether a candidate may replace the model in production.

    Parameters
    ----------
    candidate, random, baseline : Sequence[ScoreRow]
        Rows of one encoder each, on the same validation clips; other protocols are ignored.
    production : Sequence[ScoreRow], optional
        Rows of the model in production on these clips; None only when there is none yet.
    settings : GateSettings, optional
        Weights, margins, tolerances.
    differences : Sequence[DifferenceRow]
        The candidate's from the others, on these clips; needed from production.
    hubness : Sequence[HubnessRow]
        Of the encoders ``"candidate"`` and ``"production"``; needed with production.

    Returns
    -------
    Verdict
        Passed or not, with reasons. Bad scores refuse, they do not raise.
    """
    settings = settings or GateSettings()
    rows = {"candidate": candidate, "random": random, "baseline": baseline}
    if production is not None:
        rows["production"] = production
    scores = {name: _by_annotation(encoder, settings) for name, encoder in rows.items()}
    annotations = [a for a in settings.weights if any(a in found for found in scores.values())]
    faults = [
        f"The {name} encoder has two scores for one annotation: give the rows of one encoder."
        for name, encoder in rows.items()
        if sum(row["protocol"] == settings.protocol for row in encoder) > len(scores[name])
    ]
    faults += _faults(scores, annotations, settings)
    if faults:
        return Verdict(passed=False, reasons=tuple(faults))
    maps = {name: {a: found[a]["map"] for a in annotations} for name, found in scores.items()}
    intervals = {
        (row["against"], row["annotation"]): row
        for row in differences
        if row["protocol"] == settings.protocol
    }
    comparisons = _compare_levels(maps, annotations, intervals, settings)
    if production is not None:
        measured = {row["encoder"]: row for row in hubness}
        surely = [a for a in annotations if a in SURELY]
        faults = _missing_evidence(intervals, measured, surely)
        if faults:
            return Verdict(passed=False, reasons=tuple(faults), comparisons=tuple(comparisons))
        comparisons += [_compare_interval(maps, a, intervals["production", a]) for a in surely]
        comparisons += _compare_hubness(measured, settings)
    failed = [str(comparison) for comparison in comparisons if not comparison.met]
    passed = [str(comparison) for comparison in comparisons if comparison.annotation == MEAN]
    return Verdict(not failed, tuple(failed or passed), tuple(comparisons))


def _by_annotation(rows: Sequence[ScoreRow], settings: GateSettings) -> dict[str, ScoreRow]:
    return {row["annotation"]: row for row in rows if row["protocol"] == settings.protocol}


def _faults(
    scores: Mapping[str, Mapping[str, ScoreRow]], annotations: list[str], settings: GateSettings
) -> list[str]:
    """Sentences on what keeps the scores from being compared."""
    if not annotations:
        return [f"No encoder has a score of the protocol {settings.protocol!r}: evaluate again."]
    faults = []
    for annotation in annotations:
        reference = scores["candidate"].get(annotation)
        for name, found in scores.items():
            row = found.get(annotation)
            if row is None or not math.isfinite(row["map"]):
                what = "has no score" if row is None else "has a score that is not a number"
                faults.append(f"The {name} encoder {what} for {annotation}: evaluate it again.")
            elif reference and not _same_clips(row, reference):
                faults.append(
                    f"The {name} encoder and the candidate were scored on different clips for "
                    f"{annotation} (chance {row['chance']:.4f} and {reference['chance']:.4f}, "
                    f"n {row['n']} and {reference['n']}): evaluate both on the same."
                )
    return faults


def _same_clips(row: ScoreRow, other: ScoreRow) -> bool:
    return row["n"] == other["n"] and abs(row["chance"] - other["chance"]) < _SAME_CHANCE


def _missing_evidence(
    intervals: _Intervals, hubness: Mapping[str, HubnessRow], annotations: list[str]
) -> list[str]:
    """Sentences on what is not known of the candidate and production together."""
    unknown = [
        annotation
        for annotation in annotations
        if ("production", annotation) not in intervals
        or math.isnan(intervals["production", annotation]["high"])
    ]
    faults = [
        f"How surely the candidate differs from production in {annotation} is not known: "
        "evaluate both again."
        for annotation in unknown
    ]
    known = [hubness[name] for name in ("candidate", "production") if name in hubness]
    if len(known) < 2 or any(math.isnan(row["skew"]) for row in known):
        faults.append("The hubness of candidate and production is not known: evaluate both again.")
    return faults


def _compare_levels(
    maps: Mapping[str, dict[str, float]],
    annotations: list[str],
    intervals: _Intervals,
    settings: GateSettings,
) -> list[Comparison]:
    """Work out the rules on what the candidate must reach."""
    weights = {annotation: settings.weights[annotation] for annotation in annotations}
    scores = {
        name: found | {MEAN: sum(weights[a] * found[a] for a in weights) / sum(weights.values())}
        for name, found in maps.items()
    }

    def rule(against: str, annotation: str, margin: float, *, strictly: bool = False) -> Comparison:
        candidate, other = scores["candidate"][annotation], scores[against][annotation]
        required = other + margin
        met = candidate > required if strictly else candidate >= required
        row = intervals.get((against, annotation))
        low, high = (row["low"], row["high"]) if row else (math.nan, math.nan)
        return Comparison(against, annotation, candidate, other, required, met, low=low, high=high)

    rules = [rule("random", a, settings.margin_over_random, strictly=True) for a in annotations]
    rules.append(rule("baseline", MEAN, settings.margin_over_baseline, strictly=True))
    if "genre" in annotations:
        rules.append(rule("baseline", "genre", -settings.genre_tolerance))
    if "production" in scores:
        rules.append(rule("production", MEAN, -settings.production_tolerance))
        rules += [rule("production", a, -settings.production_drop) for a in annotations]
    return rules


def _compare_interval(
    maps: Mapping[str, dict[str, float]], annotation: str, row: DifferenceRow
) -> Comparison:
    """Refuse what the interval of the difference calls worse than production."""
    return Comparison(
        "production",
        annotation,
        candidate=maps["candidate"][annotation],
        other=maps["production"][annotation],
        required=maps["production"][annotation],
        met=row["high"] >= 0,
        rule=INTERVAL,
        low=row["low"],
        high=row["high"],
    )


def _compare_hubness(hubness: Mapping[str, HubnessRow], settings: GateSettings) -> list[Comparison]:
    """Refuse many more hubs, and many more clips that nobody finds, than production has."""
    candidate, other = hubness["candidate"], hubness["production"]

    def ceiling(name: str, found: float, before: float, rise: float) -> Comparison:
        allowed = before + rise
        return Comparison(
            "production", name, found, before, allowed, met=found <= allowed, rule=CEILING
        )

    return [
        ceiling(HUBNESS, candidate["skew"], other["skew"], settings.hubness_rise),
        ceiling(
            NEVER_RETRIEVED,
            candidate["never_retrieved"],
            other["never_retrieved"],
            settings.never_retrieved_rise,
        ),
    ]
