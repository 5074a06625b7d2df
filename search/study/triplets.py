"""Ratings as triplets: after query `a`, a rater found `p` more similar than `n`."""

from itertools import permutations

import pandas as pd

LEAST_MARGIN = 2.0
"""Of 10: what differs by less is no judgement."""

COLUMNS = (
    *("rater", "a_track_id", "a_start_ms", "p_track_id", "p_start_ms"),
    *("n_track_id", "n_start_ms", "margin"),
)


def export_triplets(results: pd.DataFrame, margin: float = LEAST_MARGIN) -> pd.DataFrame:
    """List what raters judged.

    Parameters
    ----------
    results : pandas.DataFrame
        Rows of the view ``study_results``. Queries by a rater's own file, and the planted query
        itself, give no triplets: the first is not kept, the second teaches nothing.
    margin : float
        The least difference of two ratings.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`; starts are milliseconds, of ten seconds each.
    """
    kept = results[results["query_track_id"].notna() & (results["planted"] != "query")]
    rows = []
    for _, heard in kept.groupby(["rater", "query_id"], sort=True):
        anchor = heard[["rater", "query_track_id", "query_start_ms"]].iloc[0]
        items = zip(heard["track_id"], heard["start_ms"], heard["rating"], strict=True)
        for (p, p_start, above), (n, n_start, below) in permutations(items, 2):
            if above - below >= margin:
                rows.append((*anchor, p, p_start, n, n_start, above - below))
    return pd.DataFrame(rows, columns=list(COLUMNS))
