"""A rater's query: every system is asked, and what they give is kept blinded."""

from itertools import groupby
from typing import Any
from uuid import UUID

from ml.embedding import embed_excerpt
from ml.errors import StudyError
from ml.waveform import measure_loudness
from search.api.models import DEFAULT_MS
from search.api.problems import Problem, not_found
from search.api.services import Services
from search.api.stages import Stages
from search.api.study_models import BlindItem, BlindQuery, NewQuery
from search.api.uploads import Upload, decode_upload
from search.catalogue import find_track
from search.retrieval import pin_version, region_vector
from search.study.drawing import BASELINE_VERSION, Asked, draw_items
from search.study.records import Study, StudyQuery, add_query, list_items
from search.waveforms import find_loudness


def query_by_track(services: Services, study: Study, wanted: NewQuery) -> BlindQuery:
    """Search by ten seconds of a track.

    Raises
    ------
    Problem
        There is no such track or moment, or the rater has all their queries.
    """
    track = find_track(services.database, wanted.track_id)
    if track is None:
        raise not_found()
    end_ms = min(wanted.start_ms + DEFAULT_MS, track.duration_ms or wanted.start_ms + DEFAULT_MS)
    if end_ms <= wanted.start_ms:
        raise Problem(
            422, "region_outside", "The moment lies behind the track's end: choose one before it."
        )
    production = pin_version(services.database)
    region = (track.track_id, wanted.start_ms, end_ms)
    vectors = {
        version: region_vector(services.database, version, *region)[0]
        for version in _versions(study, production)
    }
    asked = Asked(*region, find_loudness(services.database, *region), vectors)
    return _keep(services, study, wanted.rater, asked, production)


def query_by_upload(services: Services, study: Study, rater: str, upload: Upload) -> BlindQuery:
    """Search by a region of a file, which is not kept.

    Raises
    ------
    Problem
        The rater has all their queries.
    AudioError
        The file cannot be used.
    """
    production = pin_version(services.database)
    samples, end_ms = decode_upload(services, upload, Stages())
    vectors = {
        version: embed_excerpt(services.encoders.of(version), samples)[0]
        for version in _versions(study, production)
    }
    asked = Asked(None, upload.start_ms, end_ms, measure_loudness(samples), vectors)
    return _keep(services, study, rater, asked, production)


def show_blind(rows: list[dict[str, Any]]) -> list[BlindQuery]:
    """Show the rows of `list_items`, query by query."""
    return [
        _blind_query(query_id, list(items))
        for query_id, items in groupby(rows, key=lambda row: row["query_id"])
    ]


def _versions(study: Study, production: int) -> list[int]:
    known = {"production": production, "baseline": BASELINE_VERSION}
    return [known[system] for system in study.systems if system in known]


def _keep(
    services: Services, study: Study, rater: str, asked: Asked, production: int
) -> BlindQuery:
    items, gain_db = draw_items(services.database, study, asked, production)
    query = StudyQuery(rater, asked.track_id, asked.start_ms, asked.end_ms, gain_db, production)
    try:
        query_id = add_query(services.database, study, query, items)
    except StudyError as error:
        raise Problem(409, "study_full", str(error)) from error
    kept = show_blind(list_items(services.database, study, rater))
    return next(query for query in kept if query.query_id == query_id)


def _blind_query(query_id: UUID, rows: list[dict[str, Any]]) -> BlindQuery:
    first = rows[0]
    return BlindQuery(
        query_id=query_id,
        track_id=first["query_track_id"],
        start_ms=first["query_start_ms"],
        end_ms=first["query_end_ms"],
        gain_db=first["query_gain_db"],
        items=[_blind_item(row) for row in rows],
    )


def _blind_item(row: dict[str, Any]) -> BlindItem:
    return BlindItem(
        item_id=row["item_id"],
        order=row["position"],
        audio_url=f"/api/v1/studies/items/{row['item_id']}/audio",
        start_ms=row["start_ms"],
        end_ms=row["end_ms"],
        gain_db=row["gain_db"],
        rating=row["rating"],
        comment=row["comment"],
    )
