"""What the API takes and gives."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

PREFIX = "/api/v1"
NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(max_length=512, pattern=NO_NUL)]
TrackId = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=NO_NUL)]
Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]
Version = Annotated[int, Field(ge=1, le=2_000_000_000)]

SHORTEST_MS, LONGEST_MS, DEFAULT_MS = 2_000, 60_000, 10_000


class Strict(BaseModel):
    """What is sent: a misspelt field is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Filters(Strict):
    """Which tracks may be found: any of the genres, any of the moods, none of the artists."""

    genres: list[Text] | None = Field(default=None, max_length=100)
    moods: list[Text] | None = Field(default=None, max_length=100)
    not_artists: list[Text] | None = Field(default=None, max_length=100)
    min_duration_ms: Milliseconds | None = None
    max_duration_ms: Milliseconds | None = None


class Options(Strict):
    """What every search takes."""

    filters: Filters = Field(default_factory=Filters)
    k: int = Field(default=20, ge=1, le=100)
    model_version: Version | None = Field(
        default=None, description="A loaded version; the active one by default."
    )


class SegmentSearch(Options):
    """Search by a region of a track of the catalogue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"track_id": "demo_001", "start_ms": 30_000, "end_ms": 40_000}]
        }
    )

    track_id: TrackId
    start_ms: Milliseconds = 0
    end_ms: Milliseconds | None = Field(
        default=None, description="2 to 60 s after the start; 10 s by default."
    )

    @model_validator(mode="after")
    def _check_region(self) -> "SegmentSearch":
        if self.end_ms is None:
            self.end_ms = self.start_ms + DEFAULT_MS
        check_region(self.start_ms, self.end_ms)
        return self


class Moment(Strict):
    """An example: a track, or the moment of it that is meant."""

    track_id: TrackId
    start_ms: Milliseconds | None = None


class ExamplesSearch(Options):
    """Search by several examples, for and against."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"likes": [{"track_id": "demo_001"}], "dislikes": [{"track_id": "demo_002"}]}
            ]
        }
    )

    likes: list[Moment] = Field(min_length=1, max_length=20)
    dislikes: list[Moment] = Field(default_factory=list, max_length=20)


class NextPage(Strict):
    """The page after one: the cursor holds all else."""

    cursor: str = Field(min_length=1, max_length=60_000)


class QueryEcho(BaseModel):
    """What was searched by."""

    kind: Literal["segment", "upload", "examples"]
    track_id: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    windows: int = Field(description="Windows of ten seconds that the query is the mean of.")
    loudness_lufs: float | None = None


class VersionOfTrack(BaseModel):
    """A duplicate that a result stands for."""

    track_id: str
    title: str
    artist: str


class Track(BaseModel):
    """A track of the catalogue."""

    model_config = ConfigDict(from_attributes=True)

    track_id: str
    title: str
    artist: str
    album: str
    genres: list[str]
    moods: list[str]
    duration_ms: int | None
    loudness_lufs: float | None = Field(description="Integrated, ITU-R BS.1770-4.")


class Result(Track):
    """A track that was found, and the ten seconds of it that match."""

    loudness_lufs: float | None = Field(description="Of the segment, by ITU-R BS.1770-4.")
    rank: int
    start_ms: int
    end_ms: int
    distance: float = Field(description="Euclidean, 0 to 2.")
    similarity: float = Field(description="100 (1 - distance² / 4): 100 the same, 50 unrelated.")
    versions: list[VersionOfTrack]


class SearchResults(BaseModel):
    """A page of results, nearest first."""

    model_version: int
    query: QueryEcho
    results: list[Result]
    next_cursor: str | None


class TrackPage(BaseModel):
    """A page of tracks."""

    tracks: list[Track]
    next_cursor: str | None


class Excerpt(BaseModel):
    """Ten seconds of a track."""

    model_config = ConfigDict(from_attributes=True)

    start_ms: int
    end_ms: int
    loudness_lufs: float | None = Field(description="Of these, by ITU-R BS.1770-4.")


class Peaks(BaseModel):
    """What to draw of a track, and what to play of it where nobody chose: its loudest part."""

    track_id: str
    duration_ms: int | None
    loudness_lufs: float | None
    points_per_second: int
    peaks: list[float]
    excerpt: Excerpt


class Facet(BaseModel):
    """A name to filter by."""

    name: str
    tracks: int


class FacetLists(BaseModel):
    """What there is to filter by, most frequent first."""

    genres: list[Facet]
    moods: list[Facet]
    artists: list[Facet]


class ActiveVersion(BaseModel):
    """The model that answers."""

    version: int
    since: datetime
    name: str
    metrics: dict[str, float | None]


class Point(BaseModel):
    """A track on the map."""

    model_config = ConfigDict(from_attributes=True)

    track_id: str
    x: float
    y: float
    title: str
    artist: str
    genre: str | None


class CatalogueMap(BaseModel):
    """The catalogue in two dimensions: near tracks sound alike."""

    model_version: int
    trustworthiness: float | None
    points: list[Point]


class SessionState(BaseModel):
    """Whether a token is needed, and what the caller may do."""

    authentication: bool
    role: Literal["listen", "rate", "admin"] | None


class Token(Strict):
    """What `soundalike token new` printed."""

    token: str = Field(min_length=1, max_length=512)


class Health(BaseModel):
    """How the server is."""

    status: Literal["ok", "not ready"]
    checks: dict[str, str] = Field(default_factory=dict)


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="One sentence, which ends with what to do.")
    code: str
    instance: str


def check_region(start_ms: int, end_ms: int) -> None:
    """Refuse a region that is too short or too long to search by.

    Raises
    ------
    ValueError
        It is; says what to do.
    """
    if not SHORTEST_MS <= end_ms - start_ms <= LONGEST_MS:
        raise ValueError("a region is 2 to 60 seconds long: move its start or its end")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of an operation."""
    always = {400, 401, 403, 408, 413, 422, 503}
    content = {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}}
    described = {"description": "An error, and what to do about it", "content": content}
    return {status: dict(described) for status in sorted(always | {*statuses})}
