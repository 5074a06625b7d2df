"""What the study's addresses take and give."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from search.api.models import NO_NUL, Milliseconds, Strict, TrackId

NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"
Rater = Annotated[str, StringConstraints(max_length=100, pattern=NOT_BLANK)]
Name = Annotated[str, StringConstraints(max_length=200, pattern=NOT_BLANK)]
Comment = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]


class NewStudy(Strict):
    """How a study is laid out."""

    name: Name
    raters: int = Field(default=5, ge=1, le=1000)
    queries: int = Field(default=3, ge=1, le=100)
    results: int = Field(default=5, ge=1, le=20)
    systems: list[Literal["production", "baseline", "random"]] = Field(
        default=["production", "random"], min_length=1, max_length=3
    )


class StudyState(BaseModel):
    """A study."""

    model_config = ConfigDict(from_attributes=True)

    study_id: UUID
    name: str
    raters: int
    queries: int
    results: int
    systems: list[str]
    created_at: datetime


class StudyList(BaseModel):
    """Studies, newest first."""

    studies: list[StudyState]
    systems: list[str] = Field(description="What a study that is begun now can compare.")


class NewQuery(Strict):
    """Ten seconds to search by, chosen by a rater."""

    rater: Rater
    track_id: TrackId
    start_ms: Milliseconds = 0


class BlindItem(BaseModel):
    """Something to hear and rate; nothing of it tells where it is from."""

    item_id: UUID
    order: int
    audio_url: str
    start_ms: int
    end_ms: int
    gain_db: float
    rating: float | None
    comment: str | None


class BlindQuery(BaseModel):
    """A query and what to rate after it."""

    query_id: UUID
    track_id: str | None
    start_ms: int
    end_ms: int
    gain_db: float
    items: list[BlindItem]


class RaterState(BaseModel):
    """What a rater has done and what is left: enough to go on after a break."""

    rater: str
    queries: list[BlindQuery]
    queries_left: int
    ratings_left: int


class Rating(Strict):
    """How similar an item is to the query."""

    item_id: UUID
    rater: Rater
    rating: float = Field(ge=0, le=10, allow_inf_nan=False)
    comment: Comment = ""


class SystemScore(BaseModel):
    """Mean opinion of a system, with a 95 % interval once there are two raters or queries."""

    system: str
    mos: float
    n: int
    low: float | None
    high: float | None


class PairedDifference(BaseModel):
    """Two systems compared query by query."""

    system: str
    other: str
    queries: int
    difference: float | None
    low: float | None
    high: float | None


class Agreement(BaseModel):
    """Krippendorff's alpha over what several raters heard; null where there is too little."""

    krippendorff_alpha: float | None
    units: int


class RaterCare(BaseModel):
    """Whether a rater heard the planted checks."""

    rater: str
    ratings: int
    gap: float | None
    careless: bool


class StudyReport(BaseModel):
    """What a study says."""

    study: StudyState
    systems: list[SystemScore]
    paired: list[PairedDifference]
    agreement: Agreement
    raters: list[RaterCare]
    paper_mos: float
