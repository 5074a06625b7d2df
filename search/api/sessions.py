"""``/session``: the page's token, kept where no script can read it."""

from fastapi import APIRouter, Request, Response

from search.api.guard import COOKIE
from search.api.models import PREFIX, SessionState, Token, problems
from search.api.problems import Problem
from search.api.services import Given

router = APIRouter(prefix=PREFIX, tags=["session"])

_MONTH_S = 30 * 86_400


@router.get("/session", responses=problems())
def get_session(request: Request, services: Given) -> SessionState:
    """Tell whether a token is needed, and what the caller may do."""
    return SessionState(
        authentication=services.tokens is not None, role=request.scope["state"].get("role")
    )


@router.post("/session", responses=problems())
def start_session(
    token: Token, request: Request, response: Response, services: Given
) -> SessionState:
    """Sign in: the token is kept in a cookie that scripts and other sites cannot use."""
    if services.tokens is None:
        return SessionState(authentication=False, role="admin")
    identity = services.tokens.identify(token.token)
    if identity is None:
        raise Problem(401, "token_unknown", "This token is not known: check it, or ask for one.")
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE,
        token.token,
        max_age=_MONTH_S,
        httponly=True,
        samesite="strict",
        secure=secure,
        path="/",
    )
    return SessionState(authentication=True, role=identity.role)


@router.delete("/session", status_code=204, responses=problems())
def end_session(response: Response) -> None:
    """Sign out."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
