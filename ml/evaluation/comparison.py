"""Compare encoders on the same clips: the evaluation step of the pipeline."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.collection import Collection
from ml.embedding import embed_clips
from ml.encoders import Encoder
from ml.evaluation.labels import EvaluationSettings
from ml.evaluation.protocols import ScoreRow, evaluate, to_rows
from ml.evaluation.scores import Score

logger = logging.getLogger(__name__)

CODE_VERSION = "5"
"""Raised when the same encoders and clips would give other scores, or more of them."""


class Heard(NamedTuple):
    """What an encoder makes of clips ``[clips, 128]``, and its scores."""

    encoder: str
    embeddings: NDArray[np.float32]
    scores: list[Score]


def score_encoders(
    encoders: Mapping[str, Encoder], collection: Collection, settings: EvaluationSettings
) -> Iterator[Heard]:
    """Embed and score the same clips by one encoder after the other.

    Parameters
    ----------
    encoders, collection, settings
        As for `compare_encoders`.

    Yields
    ------
    Heard
    """
    for name, encoder in encoders.items():
        logger.info("Evaluating %s on %d clips", name, len(collection.clips))
        embeddings = embed_clips(encoder, collection.store, collection.clips)
        yield Heard(name, embeddings, evaluate(embeddings, collection.labels, settings))


def compare_encoders(
    encoders: Mapping[str, Encoder], collection: Collection, settings: EvaluationSettings
) -> list[ScoreRow]:
    """Score each encoder on the same clips.

    Parameters
    ----------
    encoders : mapping of str to Encoder
        By the name they have in the table.
    collection : Collection
        Clips with their labels.
    settings : EvaluationSettings
        Protocols and draws, the same for all.

    Returns
    -------
    list of ScoreRow
        A row for each encoder, protocol and annotation.
    """
    heard = score_encoders(encoders, collection, settings)
    return to_rows({name: scores for name, _, scores in heard})


def fingerprint_comparison(
    encoders: Mapping[str, str], collection: Collection, settings: EvaluationSettings
) -> str:
    """Digest of everything that decides a comparison.

    Parameters
    ----------
    encoders : mapping of str to str
        Fingerprint of each encoder by its name.
    collection : Collection
        Clips with their labels.
    settings : EvaluationSettings
        Of the evaluation.

    Returns
    -------
    str
    """
    decisive = [CODE_VERSION, dict(encoders), collection.fingerprint, asdict(settings)]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
