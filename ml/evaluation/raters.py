"""Agreement with raters: how often an encoder hears two results in the order in which people did.

Conventions
-----------
A triplet (a, p, n) says that after query `a` a rater found `p` more similar than `n`. An encoder
agrees if `a` lies nearer to `p` than to `n`; if they are equally near it agrees by half, so that
chance is 0.5 for any encoder. Triplets of one rater, and of one query, are alike, so the interval
resamples raters, and within each the queries, with replacement [1].

[1] A. C. Davison, D. V. Hinkley: Bootstrap Methods and their Application, section 3.8. 1997.
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
            pd.DataFrame({"rater": rated["rater"], "query_id": queries, "value": agreed})
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
    """Resample raters, and their queries, to a 95 % interval of a mean.

    Parameters
    ----------
    ratings : pandas.DataFrame
        Columns `rater`, `query_id` and `value`.
    seed : int
        Of the draws.

    Returns
    -------
    float, float
        The 2.5th and the 97.5th percentile.
    """
    grouped = ratings.groupby(["rater", "query_id"])["value"].agg(["sum", "count"])
    by_rater = [group.to_numpy(float) for _, group in grouped.groupby("rater")]
    queries = np.array([len(group) for group in by_rater])
    padded = np.zeros((len(by_rater), queries.max(), 2))
    for row, group in zip(padded, by_rater, strict=True):
        row[: len(group)] = group
    generator = np.random.default_rng(seed)
    at_once = max(1, LARGEST_DRAW // padded.size)
    means = [
        _draw_means(padded, queries, min(at_once, DRAWS - first), generator)
        for first in range(0, DRAWS, at_once)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _draw_means(
    padded: NDArray[np.float64],
    queries: NDArray[np.int64],
    draws: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Mean of each of so many resamples; sums and counts are ``[raters, queries, 2]``, padded."""
    raters, most, _ = padded.shape
    chosen = generator.integers(raters, size=(draws, raters))
    known = queries[chosen][..., None]
    places = np.floor(generator.random((draws, raters, most)) * known).astype(int)
    drawn = padded[chosen[..., None], places] * (np.arange(most) < known)[..., None]
    totals = drawn.sum(axis=(1, 2))
    means: NDArray[np.float64] = totals[:, 0] / totals[:, 1]
    return means
