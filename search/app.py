"""The web application, assembled: the page, the API, and what every request passes."""

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from ml.errors import SoundalikeError
from search.api import catalogue, health, problems, searches, sessions, studies, tracks
from search.api.envelope import Envelope
from search.api.guard import Guard
from search.api.metrics import Metrics
from search.api.models import PREFIX, ExamplesSearch, NextPage, SegmentSearch
from search.api.services import Services
from search.api.study_models import NewQuery
from search.api.warmth import keep_warm
from search.database import Database
from search.encoding import Encoders
from search.settings import WebSettings
from search.tokens import TokenFile

ROUTERS = (searches, tracks, catalogue, sessions, studies)


def create_app(
    database: Database, encoders: Encoders, settings: WebSettings | None = None
) -> FastAPI:
    """Assemble the application; headers of caution are added by the server, `search.serving`.

    Parameters
    ----------
    database : Database
        Migrated; pooled, for speed.
    encoders : Encoders
        For uploads.
    settings : WebSettings, optional
        From the environment, unless given.

    Returns
    -------
    FastAPI

    Raises
    ------
    SoundalikeError
        The file of tokens cannot be used.
    """
    settings = settings or WebSettings()
    tokens = TokenFile(settings.tokens_file) if settings.tokens_file else None
    services = Services(database, encoders, settings, tokens, Metrics())
    app = FastAPI(
        title="soundalike",
        version="1",
        summary="Search music by listening.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
        lifespan=keep_warm,
    )
    app.state.services = services
    for module in ROUTERS:
        app.include_router(module.router)
    app.include_router(health.router)
    _add_page(app, settings)
    problems.register(app)
    _describe_searches(app)
    app.add_middleware(Guard, settings=settings, tokens=tokens)
    app.add_middleware(Envelope, metrics=services.metrics)
    return app


def _add_page(app: FastAPI, settings: WebSettings) -> None:
    static = StaticFiles(directory=settings.static_folder, check_dir=False)
    app.mount("/static", static, name="static")

    @app.get("/", include_in_schema=False)
    def open_page() -> Response:
        page = settings.static_folder / "index.html"
        if not page.is_file():
            raise SoundalikeError(f"The page is missing at {page}: install the project again.")
        return FileResponse(page, headers={"Cache-Control": "no-cache"})


def _describe_searches(app: FastAPI) -> None:
    """Add the bodies of searches to the OpenAPI: they are read by hand, as either of two types."""
    generate = app.openapi

    def describe() -> dict[str, object]:
        described = generate()
        schemas = described["components"]["schemas"]
        for kind in (SegmentSearch, ExamplesSearch, NextPage, NewQuery):
            schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[kind.__name__] = schema
        return described

    app.openapi = describe  # type: ignore[method-assign]
