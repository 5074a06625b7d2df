"""``/studies``: the listening study."""

import secrets
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from ml.errors import StudyError
from search.api.audio import serve_audio
from search.api.models import NO_NUL, PREFIX, problems
from search.api.problems import Problem, not_found
from search.api.services import Given, RequireRole, Services
from search.api.study_models import (
    BlindQuery,
    NewQuery,
    NewStudy,
    RaterState,
    Rating,
    StudyList,
    StudyReport,
    StudyState,
)
from search.api.study_queries import query_by_track, query_by_upload, show_blind
from search.api.tracks import AUDIO_ANSWERS
from search.api.uploads import FORM_LIMITS, one_of_few, read_form
from search.study.baseline import has_baseline, require_baseline
from search.study.records import (
    SYSTEMS,
    Study,
    create_study,
    find_item_track,
    find_study,
    list_items,
    list_studies,
    rate_item,
    read_results,
)
from search.study.report import report_study
from search.waveforms import find_waveform

router = APIRouter(
    prefix=f"{PREFIX}/studies", tags=["study"], dependencies=[Depends(RequireRole("rate"))]
)
ADMIN = [Depends(RequireRole("admin"))]

_FORM = {
    "schema": {
        "type": "object",
        "required": ["file", "rater"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "rater": {"type": "string"},
            "start_ms": {"type": "integer", "minimum": 0},
        },
    }
}
_JSON = {"schema": {"$ref": "#/components/schemas/NewQuery"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": _JSON, "multipart/form-data": _FORM},
    }
}


@router.post("", status_code=201, responses=problems(409), dependencies=ADMIN)
def begin_study(wanted: NewStudy, services: Given) -> StudyState:
    """Begin a study."""
    if "baseline" in wanted.systems:
        _require_baseline(services)
    design = wanted.model_dump() | {"systems": list(dict.fromkeys(wanted.systems))}
    study = create_study(services.database, secrets.randbits(31), **design)
    return StudyState.model_validate(study)


@router.get("", responses=problems())
def get_studies(services: Given) -> StudyList:
    """List the studies, newest first."""
    found = list_studies(services.database)
    ready = [s for s in SYSTEMS if s != "baseline" or has_baseline(services.database)]
    states = [StudyState.model_validate(study) for study in found]
    return StudyList(studies=states, systems=ready)


@router.get("/{study_id}", responses=problems(404))
def get_study(study_id: UUID, services: Given) -> StudyState:
    """Look a study up."""
    return StudyState.model_validate(_study(services, study_id))


@router.post(
    "/{study_id}/queries",
    status_code=201,
    responses=problems(404, 409, 410, 415, 429),
    openapi_extra=_BODY,
)
async def choose_query(study_id: UUID, request: Request, services: Given) -> BlindQuery:
    """Search by a moment of a track, or by a file; every system's results come interleaved."""
    study = await run_in_threadpool(_study, services, study_id)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        wanted = NewQuery.model_validate_json(await request.body())
        return await run_in_threadpool(query_by_track, services, study, wanted)
    if kind != "multipart/form-data":
        raise Problem(415, "unsupported_media_type", "Send JSON, or a form with an audio file.")
    async with request.form(**FORM_LIMITS) as form:
        upload = read_form(form)
        named = NewQuery(rater=str(form.get("rater", "")), track_id="an upload")
        with one_of_few(services):
            return await run_in_threadpool(query_by_upload, services, study, named.rater, upload)


@router.get("/{study_id}/raters/{rater}", responses=problems(404))
def get_rater(
    study_id: UUID, rater: Annotated[str, Path(max_length=100, pattern=NO_NUL)], services: Given
) -> RaterState:
    """Tell what a rater has done and what is left."""
    study = _study(services, study_id)
    queries = show_blind(list_items(services.database, study, rater))
    unrated = sum(item.rating is None for query in queries for item in query.items)
    left = max(0, study.queries - len(queries))
    return RaterState(rater=rater, queries=queries, queries_left=left, ratings_left=unrated)


@router.put("/{study_id}/ratings", status_code=204, responses=problems(404))
def put_rating(study_id: UUID, rating: Rating, services: Given) -> None:
    """Rate an item, or change a rating."""
    kept = rate_item(
        services.database, study_id, rating.item_id, rating.rater, rating.rating, rating.comment
    )
    if not kept:
        raise not_found("item of this rater")


@router.get("/{study_id}/report", responses=problems(404), dependencies=ADMIN)
def get_report(study_id: UUID, services: Given) -> StudyReport:
    """Sum a study up: mean opinion of each system, differences, agreement, careless raters."""
    study = _study(services, study_id)
    found = report_study(read_results(services.database, study_id))
    return StudyReport(study=StudyState.model_validate(study), **found)


@router.get(
    "/{study_id}/report.csv",
    response_class=Response,
    responses={**problems(404), 200: {"content": {"text/csv": {}}}},
    dependencies=ADMIN,
)
def get_ratings(study_id: UUID, services: Given) -> Response:
    """Give every rating of a study as CSV."""
    _study(services, study_id)
    results = read_results(services.database, study_id)
    results["systems"] = results["systems"].map("|".join)
    return Response(results.to_csv(index=False), media_type="text/csv")


@router.get(
    "/items/{item_id}/audio", response_model=None, responses={**problems(404), **AUDIO_ANSWERS}
)
def get_item_audio(item_id: UUID, services: Given) -> FileResponse:
    """Play an item, by ranges; its address does not tell which track it is."""
    track_id = find_item_track(services.database, item_id)
    waveform = find_waveform(services.database, track_id) if track_id else None
    if waveform is None:
        raise not_found("item")
    return serve_audio(waveform.path)


def _study(services: Services, study_id: UUID) -> Study:
    study = find_study(services.database, study_id)
    if study is None:
        raise not_found("study")
    return study


def _require_baseline(services: Services) -> None:
    try:
        require_baseline(services.database)
    except StudyError as error:
        raise Problem(409, "baseline_missing", str(error)) from error
