"""Uploads kept warm: what the first would wait for is loaded before it comes.

One made-up upload per version is decoded and embedded, as any is: it starts the processes that
decode and loads MLflow and the encoder. A version that becomes active later is warmed as well.
"""

import logging
import tempfile
import threading
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI
from starlette.datastructures import UploadFile

from ml.audio import SAMPLE_RATE
from ml.errors import DatabaseError, SoundalikeError
from search.api.models import Options
from search.api.services import Services
from search.api.stages import Stages
from search.api.uploads import Upload, embed_upload
from search.retrieval import pin_version

logger = logging.getLogger("search.warmth")

LOOK_EVERY_S = 2.0
MADE_UP_SECONDS = 3


@asynccontextmanager
async def keep_warm(app: FastAPI) -> AsyncIterator[None]:
    """Keep an application's uploads warm while it serves: its lifespan."""
    services: Services = app.state.services
    ended = threading.Event()
    threading.Thread(target=_follow, args=(services, ended), daemon=True).start()
    yield
    ended.set()


def _follow(services: Services, ended: threading.Event) -> None:
    """Warm each version that becomes active."""
    warm = None
    while not ended.is_set():
        try:
            version = pin_version(services.database)
            if version != warm:
                warm_up(services, version)
                warm, services.warmth = version, "ok"
                logger.info("warm", extra={"facts": {"version": version}})
        except DatabaseError:
            pass  # `/readyz` tells of the database and of the model by itself
        except SoundalikeError as error:
            _tell(services, f"cannot be embedded: {error}")
        ended.wait(LOOK_EVERY_S)


def _tell(services: Services, state: str) -> None:
    if services.warmth != state:  # said once, not every two seconds
        services.warmth = state
        logger.warning("uploads %s", state)


def warm_up(services: Services, version: int) -> None:
    """Decode and embed a made-up upload by a version.

    Raises
    ------
    DatabaseError
        The database does not answer.
    RegistryError, EncoderError
        The encoder cannot be loaded.
    """
    noise = np.random.default_rng(0).normal(0, 3000, MADE_UP_SECONDS * SAMPLE_RATE)
    with tempfile.TemporaryFile() as file:
        with wave.open(file, "wb") as sound:
            sound.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            sound.writeframes(noise.astype(np.int16).tobytes())
        made_up = Upload(UploadFile(file), 0, 1000 * MADE_UP_SECONDS, Options())
        embed_upload(services, made_up, version, Stages())
