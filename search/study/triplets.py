"""Ratings as triplets: after query `a`, a rater found `p` more similar than `n`."""

from itertools import permutations

import pandas as pd

from ml.evaluation.raters import COLUMNS as RATED
from search.database import Database
from search.study.records import list_studies, read_results

COLUMNS = [*RATED, "margin"]
LEAST_MARGIN = 2.0
"""Of 10: what differs by less is no judgement."""


def read_judgements(database: Database, margin: float = LEAST_MARGIN) -> pd.DataFrame:
    """List what raters judged in all studies.

    Parameters
    ----------
    database : Database
        Migrated.
    margin : float
        The least difference of two ratings.

    Returns
    -------
    pandas.DataFrame
        As by `export_triplets`.
    """
    results = [read_results(database, study.study_id) for study in list_studies(database)]
    found = [export_triplets(rows, margin) for rows in results if not rows.empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


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
        Columns `ml.evaluation.raters.COLUMNS` and `margin`; starts are milliseconds, of ten
        seconds each.
    """
    kept = results[results["query_track_id"].notna() & (results["planted"] != "query")]
    rows = []
    for _, heard in kept.groupby(["rater", "query_id"], sort=True):
        anchor = heard[["rater", "query_track_id", "query_start_ms"]].iloc[0]
        items = zip(heard["track_id"], heard["start_ms"], heard["rating"], strict=True)
        for (p, p_start, above), (n, n_start, below) in permutations(items, 2):
            if above - below >= margin:
                rows.append((*anchor, p, p_start, n, n_start, above - below))
    return pd.DataFrame(rows, columns=COLUMNS)
