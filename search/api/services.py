"""What the routers work with, and how they get it."""

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from search.api.metrics import Metrics
from search.api.problems import Problem
from search.database import Database
from search.encoding import Encoders
from search.settings import WebSettings
from search.tokens import Role, TokenFile, includes


@dataclass
class Services:
    """Everything that a request may need.

    Parameters
    ----------
    database : Database
        Pooled, as a rule.
    encoders : Encoders
        For uploads.
    settings : WebSettings
        Limits.
    tokens : TokenFile or None
        Who may do what; None lets everyone who reaches the server do everything.
    metrics : Metrics
        For Prometheus.
    """

    database: Database
    encoders: Encoders
    settings: WebSettings
    tokens: TokenFile | None
    metrics: Metrics
    uploads: threading.BoundedSemaphore = field(init=False)
    warmth: str = field(default="warming up", init=False)
    """Of uploads, by `search.api.warmth`: "ok" once the next is as fast as any."""

    def __post_init__(self) -> None:
        self.uploads = threading.BoundedSemaphore(self.settings.uploads_at_once)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(_services)]
"""Annotates the parameter that is given the `Services`."""


class RequireRole:
    """A dependency that lets nobody below a role through."""

    def __init__(self, needed: Role) -> None:
        self.needed = needed

    def __call__(self, request: Request) -> None:
        """Look at the role that the guard found."""
        if not includes(request.scope["state"].get("role"), self.needed):
            raise Problem(
                403, "role_too_low", f"This needs the role {self.needed}: use such a token."
            )
