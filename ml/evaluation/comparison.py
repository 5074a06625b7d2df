"""Compare encoders on the same clips: the evaluation step of the pipeline."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict

from ml.collection import Collection
from ml.embedding import embed_clips
from ml.encoders import Encoder
from ml.evaluation.labels import EvaluationSettings
from ml.evaluation.protocols import ScoreRow, evaluate, to_rows

logger = logging.getLogger(__name__)

CODE_VERSION = "3"
"""Raised when the same encoders and clips would give other scores."""


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
    rows: list[ScoreRow] = []
    for name, encoder in encoders.items():
        logger.info("Evaluating %s on %d clips", name, len(collection.clips))
        embeddings = embed_clips(encoder, collection.store, collection.clips)
        rows += to_rows({name: evaluate(embeddings, collection.labels, settings)})
    return rows


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
