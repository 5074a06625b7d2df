"""What a study says: opinion of each system, differences, agreement, and who did not listen.

Conventions
-----------
A rating counts for every system that gave the item; planted items count for none. The mean opinion
score is the mean over ratings. Its interval is that of `ml.evaluation.raters`, over raters and
queries; several raters' query by the same moment of a track is one query.
"""

from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
import pandas as pd

from ml.evaluation.raters import rater_interval

PAPER_MOS = 7.8
"""Mean opinion of the paper's producers, section 3.3."""
LEAST_GAP = 3.0
"""How much higher than random tracks a careful rater rates the query itself, of 10."""


def report_study(results: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """Sum a study up.

    Parameters
    ----------
    results : pandas.DataFrame
        Rows of the view ``study_results``: `query_id`, `rater`, `systems`, `planted`, `rating`,
        `query_track_id`, `query_start_ms`, `query_end_ms`, `track_id`, `start_ms`.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        `systems` (mean opinion, n, 95 % interval or None), `paired`, `agreement`, `raters`,
        `paper_mos`.
    """
    found = results[results["planted"].isna()].assign(query=name_queries(results))
    rated = found.explode("systems").rename(columns={"systems": "system"})
    rated = rated.dropna(subset=["system"])
    names = sorted(rated["system"].unique())
    return {
        "systems": [_score(rated[rated["system"] == name], name, seed) for name in names],
        "paired": [_compare(rated, a, b, seed) for a, b in combinations(names, 2)],
        "agreement": measure_agreement(results),
        "raters": [
            _judge(results[results["rater"] == r], r) for r in sorted(set(results["rater"]))
        ],
        "paper_mos": PAPER_MOS,
    }


def name_queries(results: pd.DataFrame) -> "pd.Series[str]":
    """Name each rating's query alike for all who asked it; a file of one's own is asked once.

    Returns
    -------
    pandas.Series of str
        Indexed as `results`.
    """
    track, start, end = (
        results[f"query_{name}"].astype(str) for name in ("track_id", "start_ms", "end_ms")
    )
    named = track + " " + start + " " + end
    return named.where(results["query_track_id"].notna(), results["query_id"])


def measure_agreement(results: pd.DataFrame) -> dict[str, Any]:
    """Measure Krippendorff's alpha, interval scale, over what several raters heard.

    Parameters
    ----------
    results : pandas.DataFrame
        As for `report_study`.

    Returns
    -------
    dict
        `krippendorff_alpha`, None where fewer than two units were rated by two raters or all
        ratings are equal, and `units`, how many those are.
    """
    unit = ["query_track_id", "query_start_ms", "track_id", "start_ms"]
    catalogued = results.dropna(subset=["query_track_id"])
    table = catalogued.pivot_table("rating", "rater", unit, "mean")
    shared = table.loc[:, table.notna().sum() > 1]
    values = shared.to_numpy(float)
    enough = values.shape[1] > 1 and len(np.unique(values[~np.isnan(values)])) > 1
    alpha = float(krippendorff.alpha(values, level_of_measurement="interval")) if enough else None
    return {"krippendorff_alpha": alpha, "units": int(shared.shape[1])}


def _score(rated: pd.DataFrame, system: str, seed: int) -> dict[str, Any]:
    low, high = _interval(rated.assign(value=rated["rating"]), seed)
    mos = float(rated["rating"].mean())
    return {"system": system, "mos": mos, "n": len(rated), "low": low, "high": high}


def _compare(rated: pd.DataFrame, one: str, other: str, seed: int) -> dict[str, Any]:
    """Compare two systems query by query, so that easy queries favour neither."""
    means = rated.pivot_table("rating", ["rater", "query"], "system", "mean")
    paired = means[[one, other]].dropna()
    answer: dict[str, Any] = {"system": one, "other": other, "queries": len(paired)}
    if paired.empty:
        return answer | {"difference": None, "low": None, "high": None}
    values = (paired[one] - paired[other]).rename("value").reset_index()
    low, high = _interval(values, seed)
    return answer | {"difference": float(values["value"].mean()), "low": low, "high": high}


def _interval(rated: pd.DataFrame, seed: int) -> tuple[float | None, float | None]:
    """Give no interval for one rater's one query: there is nothing to resample."""
    if len(rated[["rater", "query"]].drop_duplicates()) < 2:
        return None, None
    return rater_interval(rated, seed)


def _judge(rated: pd.DataFrame, rater: str) -> dict[str, Any]:
    """Hold a rater's ratings of the query itself against those of random tracks."""
    itself = rated.loc[rated["planted"] == "query", "rating"]
    by_chance = rated.loc[rated["planted"] == "random", "rating"]
    known = len(itself) > 0 and len(by_chance) > 0
    gap = float(itself.mean() - by_chance.mean()) if known else None
    careless = gap is not None and gap < LEAST_GAP
    return {"rater": rater, "ratings": len(rated), "gap": gap, "careless": careless}
