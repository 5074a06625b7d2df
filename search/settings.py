"""Settings of the web server, from the environment where they are not given."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.audio import AudioLimits
from ml.isolation import WorkerLimits

MEGABYTE = 1 << 20
STATIC = Path(__file__).parent / "static"


class WebSettings(BaseSettings):
    """What the API accepts, and from whom; each is also an environment variable, as `API_...`.

    Parameters
    ----------
    tokens_file : Path or None
        Who may use the API. Without it everyone on this machine may.
    max_upload_bytes : int
        Of an uploaded file.
    uploads_at_once : int
        Uploads decoded and embedded at the same time; one more is refused (429).
    header_seconds : float
        How long a connection may take to send the head of a request.
    idle_seconds : float
        How long a client may send nothing while it sends a body.
    grace_seconds : float
        After so long, a body must have come at `least_bytes_per_second` on average.
    static_folder : Path
        The page.
    """

    model_config = SettingsConfigDict(env_prefix="API_", env_ignore_empty=True)

    tokens_file: Path | None = None
    max_upload_bytes: int = Field(default=20 * MEGABYTE, ge=1)
    max_json_bytes: int = Field(default=64 * 1024, ge=1)
    uploads_at_once: int = Field(default=2, ge=1)
    header_seconds: float = Field(default=10.0, gt=0)
    idle_seconds: float = Field(default=10.0, gt=0)
    grace_seconds: float = Field(default=20.0, gt=0)
    least_bytes_per_second: int = Field(default=32 * 1024, ge=1)
    upload_seconds: float = Field(default=20.0, gt=0)
    static_folder: Path = STATIC

    @property
    def audio_limits(self) -> AudioLimits:
        """What an uploaded file must satisfy."""
        return AudioLimits(
            min_seconds=2.0,
            max_seconds=15 * 60.0,
            max_channels=8,
            max_sample_rate=192_000,
            max_bytes=self.max_upload_bytes,
        )

    @property
    def worker_limits(self) -> WorkerLimits:
        """What decoding an upload may cost."""
        return WorkerLimits(seconds=self.upload_seconds, megabytes=512)
