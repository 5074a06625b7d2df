"""``/tracks``: look tracks up, draw them, play them."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse

from ml.waveform import PEAKS_PER_SECOND
from search.api.audio import serve_audio
from search.api.models import NO_NUL, PREFIX, Excerpt, Peaks, Track, TrackPage, problems
from search.api.problems import Problem, not_found
from search.api.services import Given, RequireRole, Services
from search.catalogue import find_track, find_tracks
from search.waveforms import Waveform, find_waveform

router = APIRouter(prefix=PREFIX, tags=["tracks"], dependencies=[Depends(RequireRole("listen"))])

AUDIO_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/*": {}}, "description": "The original file."},
    206: {"content": {"audio/*": {}}, "description": "The range that was asked for."},
    416: {"content": {"text/plain": {}}, "description": "The range lies outside the file."},
}


@router.get("/tracks", responses=problems())
def list_tracks(
    services: Given,
    q: Annotated[str, Query(max_length=200, pattern=NO_NUL)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str, Query(max_length=12, pattern=r"^(|\d{1,9})$")] = "",
) -> TrackPage:
    """Find tracks by a part of their title, artist or id; all of them without `q`."""
    skip = int(cursor or 0)
    found = find_tracks(services.database, q, limit + 1, skip)
    further = str(skip + limit) if len(found) > limit else None
    tracks = [Track.model_validate(card) for card in found[:limit]]
    return TrackPage(tracks=tracks, next_cursor=further)


# A track's id may hold slashes, so the longer addresses come first.
@router.get(
    "/tracks/{track_id:path}/audio",
    response_model=None,
    responses={**problems(404), **AUDIO_ANSWERS},
)
def get_audio(track_id: str, services: Given) -> FileResponse:
    """Play a track: its original file, by ranges."""
    return serve_audio(_waveform(services, track_id).path)


@router.get(
    "/tracks/{track_id:path}/peaks",
    response_model=Peaks,
    responses={**problems(404), 304: {"description": "As the caller has it."}},
)
def get_peaks(track_id: str, request: Request, services: Given) -> Response:
    """Draw a track: the greatest magnitude of each tenth of a second, 0 to 1."""
    found = _waveform(services, track_id)
    peaks = Peaks(
        track_id=track_id,
        duration_ms=found.duration_ms,
        loudness_lufs=found.loudness_lufs,
        points_per_second=PEAKS_PER_SECOND,
        peaks=found.heights.tolist(),
        excerpt=Excerpt.model_validate(found.excerpt),
    )
    body = peaks.model_dump_json()
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()}"'
    headers = {"ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/tracks/{track_id:path}", responses=problems(404))
def get_track(track_id: str, services: Given) -> Track:
    """Look one track up."""
    found = find_track(services.database, _checked(track_id))
    if found is None:
        raise not_found()
    return Track.model_validate(found)


def _waveform(services: Services, track_id: str) -> Waveform:
    found = find_waveform(services.database, _checked(track_id))
    if found is None:
        raise not_found()
    return found


def _checked(track_id: str) -> str:
    if "\0" in track_id:
        raise Problem(422, "invalid_request", "A track's id holds no NUL: correct it.")
    return track_id
