"""Errors as problem details (RFC 9457): a code for programs, one sentence for people."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import Error as PsycopgError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ml.errors import (
    AudioError,
    DatabaseError,
    EncoderError,
    RegistryError,
    SoundalikeError,
)

logger = logging.getLogger("search.api")

MEDIA_TYPE = "application/problem+json"

# What the database says by its codes (Appendix A of the PostgreSQL manual).
_STATES = {
    "P0002": (404, "not_found"),
    "22023": (422, "invalid_query"),
    "55000": (503, "no_active_model"),
    "42P01": (410, "version_retired"),
    "57014": (503, "too_slow"),
}


class Problem(Exception):  # noqa: N818 (RFC 9457 names it so)
    """An answer that is an error.

    Parameters
    ----------
    status : int
        HTTP's.
    code : str
        For programs; one meaning each.
    detail : str
        One sentence, which ends with what to do.
    headers : mapping, optional
        Sent with it.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})

    def response(self, instance: str) -> JSONResponse:
        """Write it out; `instance` is the path of the request."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": instance,
        }
        return JSONResponse(body, self.status, self.headers, MEDIA_TYPE)


_KINDS: tuple[type[Exception], ...] = (
    Problem,
    RequestValidationError,
    ValidationError,
    HTTPException,
    SoundalikeError,
)


def not_found(what: str = "track") -> Problem:
    """Make the answer about what is not there, was taken down, or never was."""
    return Problem(404, "not_found", f"There is no such {what}: look it up again, it may be gone.")


def register(app: FastAPI) -> None:
    """Answer every error that is foreseen as a problem; `Envelope` answers the others."""
    for kind in _KINDS:
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    problem = to_problem(error)
    if problem.status >= 500:
        logger.error("%s", problem.code, exc_info=error)
    return problem.response(request.url.path)


def to_problem(error: Exception) -> Problem:
    """Say what an exception means to whoever asked."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, (RequestValidationError, ValidationError)):
        return Problem(422, "invalid_request", _first_mistake(error.errors()))
    if isinstance(error, HTTPException):
        return _from_http(error)
    if isinstance(error, AudioError):
        status = 413 if error.reason == "too_many_bytes" else 422
        return Problem(status, error.reason, str(error))
    if isinstance(error, DatabaseError):
        return _from_database(error)
    if isinstance(error, (RegistryError, EncoderError)):
        return Problem(
            503,
            "encoder_unavailable",
            "The encoder of the active model cannot be loaded: search by a track of the catalogue, "
            "and let the operator read the server's log.",
            {"Retry-After": "30"},
        )
    return Problem(
        500, "internal_error", "The server failed: try again, and report it with its request id."
    )


def _first_mistake(errors: Any) -> str:  # noqa: ANN401 (pydantic's and FastAPI's lists of dicts)
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{where or 'The request'}: {message}. Correct it and send it again."


def _from_http(error: HTTPException) -> Problem:
    codes = {404: "not_found", 405: "method_not_allowed", 400: "bad_request"}
    details = {
        404: "There is nothing at this address: see docs/api.md for what there is.",
        405: "This address does not take this method: see docs/api.md for what it takes.",
    }
    detail = details.get(error.status_code, f"{error.detail}: correct the request.")
    code = codes.get(error.status_code, "http_error")
    return Problem(error.status_code, code, detail, error.headers)


def _from_database(error: DatabaseError) -> Problem:
    cause = error.__cause__
    state = cause.sqlstate if isinstance(cause, PsycopgError) else None
    status, code = _STATES.get(state or "", (503, "database_unavailable"))
    if code == "version_retired":
        return Problem(410, code, "That model version is no longer loaded: search again.")
    if code in ("database_unavailable", "too_slow"):
        # The server's own words may name what is none of the caller's business.
        detail = "The database does not answer in time: try again in a moment."
        return Problem(503, code, detail, {"Retry-After": "5"})
    return Problem(status, code, f"{str(error)[:1].upper()}{str(error)[1:]}")
