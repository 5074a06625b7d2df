"""``POST /searches``: by a region of a track, by an upload, by examples, and the pages after."""

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from search.api import models
from search.api.cursors import Cursor, read_cursor, write_vector
from search.api.models import (
    PREFIX,
    ExamplesSearch,
    NextPage,
    Options,
    QueryEcho,
    Result,
    SearchResults,
    SegmentSearch,
    problems,
)
from search.api.problems import Problem, not_found
from search.api.services import Given, RequireRole, Services
from search.api.stages import Stages
from search.api.uploads import FORM_LIMITS, embed_upload, one_of_few, read_form
from search.catalogue import find_track
from search.retrieval import (
    DEEPEST,
    Example,
    Hit,
    examples_vector,
    pin_version,
    region_vector,
    search_page,
)
from search.similarity import Filters
from search.waveforms import find_loudness

router = APIRouter(prefix=PREFIX, tags=["searches"], dependencies=[Depends(RequireRole("listen"))])

_MULTIPART = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "Up to 20 MB, 15 min."},
            "start_ms": {"type": "integer", "minimum": 0, "maximum": 900_000},
            "end_ms": {"type": "integer", "minimum": 2000, "maximum": 960_000},
            "options": {"type": "string", "description": "JSON: filters, k, model_version."},
        },
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": f"#/components/schemas/{kind.__name__}"}
                        for kind in (SegmentSearch, ExamplesSearch, NextPage)
                    ]
                }
            },
            "multipart/form-data": _MULTIPART,
        },
    }
}


@dataclass(frozen=True)
class Query:
    """What is looked for, in one version."""

    version: int
    vector: NDArray[np.float32]
    excluded: list[str]
    echo: QueryEcho


@router.post(
    "/searches",
    response_model=SearchResults,
    responses=problems(404, 410, 415, 429),
    openapi_extra=_BODY,
)
async def create_search(request: Request, services: Given) -> Response:
    """Find the tracks that sound most like a region of a track, an upload, or several examples.

    A region is 2 to 60 s. Beyond 10 s it is the mean of a window every five seconds; an upload's
    shorter than that is repeated until it fills ten seconds, a track's is the stored ten seconds
    nearest to its middle.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _search_by_upload(request, services)
    if kind not in ("application/json", ""):
        raise Problem(
            415, "unsupported_media_type", "Send JSON, or a multipart form with an audio file."
        )
    stages = Stages()
    with stages.time("receive"):
        wanted = read_search(await request.body())
    return await run_in_threadpool(_search_by_json, services, wanted, stages)


def read_search(body: bytes) -> SegmentSearch | ExamplesSearch | NextPage:
    """Read a search as JSON; which kind it is, its fields tell.

    Raises
    ------
    Problem
        It is no JSON object: 422, `invalid_request`.
    ValidationError
        A field is wrong.
    """
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(422, "invalid_request", "The body is no JSON: correct it.") from error
    if not isinstance(sent, dict):
        raise Problem(422, "invalid_request", "The body is no JSON object: send one.")
    if "cursor" in sent:
        return NextPage.model_validate_json(body)
    if "likes" in sent or "dislikes" in sent:
        return ExamplesSearch.model_validate_json(body)
    return SegmentSearch.model_validate_json(body)


def _search_by_json(
    services: Services, wanted: SegmentSearch | ExamplesSearch | NextPage, stages: Stages
) -> Response:
    if isinstance(wanted, NextPage):
        cursor, vector = read_cursor(wanted.cursor)
        query = Query(cursor.version, vector, cursor.excluded, cursor.query)
        options = Options(filters=cursor.filters, k=cursor.k)
        return answer(services, query, options, stages, cursor.skip)
    with stages.time("query"):
        if isinstance(wanted, SegmentSearch):
            query = _query_by_segment(services, wanted)
        else:
            query = _query_by_examples(services, wanted)
    return answer(services, query, wanted, stages)


async def _search_by_upload(request: Request, services: Services) -> Response:
    stages, began = Stages(), time.perf_counter()
    async with request.form(**FORM_LIMITS) as form:
        upload = read_form(form)
        stages.seconds["receive"] = time.perf_counter() - began
        with one_of_few(services):
            version = await run_in_threadpool(
                pin_version, services.database, upload.options.model_version
            )
            found = await run_in_threadpool(embed_upload, services, upload, version, stages)
    echo = QueryEcho(
        kind="upload",
        start_ms=upload.start_ms,
        end_ms=found.end_ms,
        windows=found.windows,
        loudness_lufs=found.loudness_lufs,
    )
    query = Query(version, found.vector, [], echo)
    return await run_in_threadpool(answer, services, query, upload.options, stages)


def _query_by_segment(services: Services, wanted: SegmentSearch) -> Query:
    track = find_track(services.database, wanted.track_id)
    if track is None:
        raise not_found()
    assert wanted.end_ms is not None
    end_ms = min(wanted.end_ms, track.duration_ms or wanted.end_ms)
    if wanted.start_ms >= end_ms:
        raise Problem(
            422, "region_outside", "The region lies behind the track's end: choose one before it."
        )
    version = pin_version(services.database, wanted.model_version)
    region = (track.track_id, wanted.start_ms, end_ms)
    vector, windows = region_vector(services.database, version, *region)
    echo = QueryEcho(
        kind="segment",
        track_id=track.track_id,
        start_ms=wanted.start_ms,
        end_ms=end_ms,
        windows=windows,
        loudness_lufs=find_loudness(services.database, *region),
    )
    return Query(version, vector, [track.track_id], echo)


def _query_by_examples(services: Services, wanted: ExamplesSearch) -> Query:
    version = pin_version(services.database, wanted.model_version)
    likes = [Example(moment.track_id, moment.start_ms) for moment in wanted.likes]
    dislikes = [Example(moment.track_id, moment.start_ms) for moment in wanted.dislikes]
    vector = examples_vector(services.database, version, likes, dislikes)
    echo = QueryEcho(kind="examples", windows=len(likes) + len(dislikes))
    excluded = list(dict.fromkeys(example.track_id for example in [*likes, *dislikes]))
    return Query(version, vector, excluded, echo)


def answer(
    services: Services, query: Query, options: Options, stages: Stages, skip: int = 0
) -> Response:
    """Give a page of results, and the time of each part in ``Server-Timing``."""
    k = min(options.k, DEEPEST - skip)
    with stages.time("query"):
        hits = search_page(
            services.database,
            query.vector,
            query.version,
            k + 1,
            skip=skip,
            excluded=query.excluded,
            filters=to_filters(options.filters),
        )
    with stages.time("serialise"):
        further = len(hits) > k and skip + k < DEEPEST
        results = SearchResults(
            model_version=query.version,
            query=query.echo,
            results=[_to_result(hit) for hit in hits[:k]],
            next_cursor=_write_cursor(query, options, skip + k) if further else None,
        )
        body = results.model_dump_json()
    stages.observe(services.metrics, query.echo.kind)
    return Response(body, media_type="application/json", headers={"Server-Timing": stages.header})


def to_filters(given: models.Filters) -> Filters:
    """Give filters as the database takes them."""
    return Filters(
        genres=given.genres,
        moods=given.moods,
        artists_not_in=given.not_artists,
        min_duration_s=_seconds(given.min_duration_ms),
        max_duration_s=_seconds(given.max_duration_ms),
    )


def _to_result(hit: Hit) -> Result:
    facts: dict[str, Any] = asdict(hit)
    facts["distance"] = round(hit.distance, 5)
    return Result(**facts | {"similarity": round(100 * hit.similarity, 1)})


def _write_cursor(query: Query, options: Options, skip: int) -> str:
    return Cursor(
        version=query.version,
        vector=write_vector(query.vector),
        skip=skip,
        k=options.k,
        filters=options.filters,
        excluded=query.excluded,
        query=query.echo,
    ).write()


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
