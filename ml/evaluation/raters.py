"""Agreement with raters: how often an encoder hears two results in the order in which people did.

Conventions
-----------
A triplet (a, p, n) says that after query `a` a rater found `p` more similar than `n`. An encoder
agrees if `a` lies nearer to `p` than to `n`; if they are equally near it agrees by half, so that
chance is 0.5 for any encoder. Triplets of one rater, and of one query, are alike, so the interval
resamples both with replacement, each by itself: what a rater said of a query counts as often as the
one was drawn times as often as the other (the pigeonhole bootstrap [1]). A query is one whoever
asked it.

[1] A. B. Owen: The pigeonhole bootstrap. Annals of Applied Statistics 1 (2), 2007.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES
from ml.collection import Collection
from ml.embedding import embed_clips
from ml.encoders import Encoder
from ml.errors import EvaluationError

CHANCE = 0.5
DRAWS = 2000
LARGEST_DRAW = 1 << 20  # numbers held at once
CONFIDENCE = 0.95
ROLES = ("a", "p", "n")
COLUMNS = ("rater", *(f"{role}_{column}" for role in ROLES for column in ("track_id", "start_ms")))
"""What is read of triplets; starts are milliseconds, of ten seconds each."""

STARTS = {f"{role}_start_ms": "int64" for role in ROLES}

FloatArray = NDArray[np.floating]


class AgreementRow(TypedDict):
    """Agreement of one encoder, with a 95 % interval and chance."""

    encoder: str
    agreement: float
    low: float
    high: float
    chance: float
    triplets: int
    raters: int
    left_out: int
    """Triplets with a segment that the catalogue does not have."""


def read_triplets(file: Path) -> pd.DataFrame:
    """Read a file of triplets.

    Parameters
    ----------
    file : Path
        CSV, as `soundalike study triplets` writes it.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`.

    Raises
    ------
    EvaluationError
        It is no such file.
    """
    try:
        names = ("rater", *(f"{role}_track_id" for role in ROLES))
        found = pd.read_csv(file, dtype=dict.fromkeys(names, str), keep_default_na=False)
        return found[list(COLUMNS)].astype(STARTS)
    except (KeyError, ValueError) as error:
        raise EvaluationError(
            f"{file} holds no triplets: write it by `soundalike study triplets {file.name}`."
        ) from error


def rate_encoders(
    encoders: Mapping[str, Encoder], collection: Collection, triplets: pd.DataFrame
) -> list[AgreementRow]:
    """Hold encoders against what raters said.

    Parameters
    ----------
    encoders : mapping of str to Encoder
        By name.
    collection : Collection
        The catalogue that was rated.
    triplets : pandas.DataFrame
        Columns `COLUMNS`, as a study exports them.

    Returns
    -------
    list of AgreementRow
        None where no triplet is about these tracks.
    """
    triplets = triplets.astype(STARTS)
    segments = find_segments(collection.tracks, triplets)
    places = place_triplets(segments, triplets)
    known = (places >= 0).all(axis=1)
    if not known.any():
        return []
    rated = triplets[known].reset_index(drop=True)
    queries = rated.groupby(["a_track_id", "a_start_ms"]).ngroup()
    rows = []
    for name, encoder in encoders.items():
        embeddings = embed_clips(encoder, collection.store, segments)
        agreed = order_triplets(*(embeddings[column] for column in places[known].T))
        low, high = rater_interval(
            pd.DataFrame({"rater": rated["rater"], "query": queries, "value": agreed})
        )
        rows.append(
            AgreementRow(
                encoder=name,
                agreement=float(agreed.mean()),
                low=low,
                high=high,
                chance=CHANCE,
                triplets=len(rated),
                raters=int(rated["rater"].nunique()),
                left_out=int((~known).sum()),
            )
        )
    return rows


def find_segments(tracks: pd.DataFrame, triplets: pd.DataFrame) -> pd.DataFrame:
    """List the ten seconds that triplets are about, each once, where the tracks have them whole.

    Returns
    -------
    pandas.DataFrame
        Columns `track_id`, `start_ms`, `digest` and `start` (samples).
    """
    named = [
        triplets[[f"{role}_track_id", f"{role}_start_ms"]].set_axis(
            ["track_id", "start_ms"], axis=1
        )
        for role in ROLES
    ]
    known = tracks[["track_id", "digest", "samples"]].drop_duplicates("track_id")
    segments = pd.concat(named).drop_duplicates().merge(known, on="track_id")
    segments["start"] = segments["start_ms"] * SAMPLE_RATE // 1000
    whole = segments["start"] + CLIP_SAMPLES <= segments["samples"]
    return segments[whole & (segments["start"] >= 0)].reset_index(drop=True)


def place_triplets(segments: pd.DataFrame, triplets: pd.DataFrame) -> NDArray[np.int64]:
    """Name each triplet's segments by their rows.

    Returns
    -------
    np.ndarray of int [shape=(triplets, 3)]
        -1 where there is no such segment.
    """
    index = pd.MultiIndex.from_frame(segments[["track_id", "start_ms"]])
    columns = [
        index.get_indexer(
            pd.MultiIndex.from_frame(triplets[[f"{role}_track_id", f"{role}_start_ms"]])
        )
        for role in ROLES
    ]
    return np.stack(columns, axis=1).astype(np.int64)


def order_triplets(a: FloatArray, p: FloatArray, n: FloatArray) -> NDArray[np.float64]:
    """Say of each triplet whether vectors are ordered as the rater did.

    Parameters
    ----------
    a, p, n : np.ndarray [shape=(triplets, d)]
        Vectors of the query, of what was rated above, and of what was rated below.

    Returns
    -------
    np.ndarray [shape=(triplets,)]
        1 where `a` is nearer to `p`, 0 where it is nearer to `n`, 0.5 between.

    Examples
    --------
    >>> order_triplets(np.zeros((2, 1)), np.array([[1.0], [2.0]]), np.array([[3.0], [2.0]]))
    array([1. , 0.5])
    """
    anchor = a.astype(np.float64)
    near, far = (np.square(anchor - other).sum(axis=1) for other in (p, n))
    ordered: NDArray[np.float64] = (1 + np.sign(far - near)) / 2
    return ordered


def rater_interval(ratings: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """Resample raters and queries to a 95 % interval of a mean.

    Parameters
    ----------
    ratings : pandas.DataFrame
        Columns `rater`, `query` (the same whoever asked it) and `value`.
    seed : int
        Of the draws.

    Returns
    -------
    float, float
        The 2.5th and the 97.5th percentile.
    """
    cells = ratings.groupby(["rater", "query"])["value"].agg(["sum", "count"]).reset_index()
    raters, queries = (cells[name].factorize()[0] for name in ("rater", "query"))
    totals = cells[["sum", "count"]].to_numpy(float)
    generator = np.random.default_rng(seed)
    at_once = max(1, LARGEST_DRAW // len(cells))
    drawn = []
    for first in range(0, DRAWS, at_once):
        draws = min(at_once, DRAWS - first)
        weights = _draw_counts(raters, draws, generator) * _draw_counts(queries, draws, generator)
        drawn.append(weights @ totals)
    sums, counts = np.concatenate(drawn).T
    heard = counts > 0  # where few shared a query, a draw may hold no rating at all
    means = sums[heard] / counts[heard]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _draw_counts(
    members: NDArray[np.intp], draws: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw as many groups as there are; how often that of each member was, ``[draws, n]``."""
    groups = int(members.max()) + 1
    counts = generator.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    drawn: NDArray[np.int64] = counts[:, members]
    return drawn
