"""What a team has settled on (`REFRESH_CONFIG`): the defaults of what assets are configured by.

As defaults they hold however a run is started, unless it is launched with others. As the
configuration of a job they would not: Dagster hands that of a partitioned job to runs of a single
partition alone. They are read when the definitions are loaded.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import dagster as dg

from ml.environment import Environment
from ml.errors import SoundalikeError

CONFIGURABLE = ("catalog", "clips", "candidate_model", "embeddings")

C = TypeVar("C", bound=dg.Config)


def read_settings() -> Mapping[str, Any]:
    """Read what `REFRESH_CONFIG` says of each asset; empty without one.

    Raises
    ------
    SoundalikeError
        It says something that no asset is configured by.
    """
    path = Environment().refresh_config
    if not path:
        return {}
    told = dg.config_from_files([path])
    settings: Mapping[str, Any] = told.get("ops", {})
    if unknown := sorted({*told} - {"ops"} | {*settings} - {*CONFIGURABLE}):
        raise SoundalikeError(
            f"{path} sets {', '.join(unknown)}: it may set {', '.join(CONFIGURABLE)} below `ops`."
        )
    return {asset: said["config"] for asset, said in settings.items()}


def preset(asset: str) -> Callable[[type[C]], type[C]]:
    """Make a team's settings of an asset the defaults of its configuration.

    Raises
    ------
    SoundalikeError
        The asset is not configured by that.
    """

    def set_defaults(schema: type[C]) -> type[C]:
        told = read_settings().get(asset, {})
        if unknown := sorted({*told} - {*schema.model_fields}):
            raise SoundalikeError(
                f"REFRESH_CONFIG sets {', '.join(unknown)} of {asset}: it may set "
                f"{', '.join(schema.model_fields)}."
            )
        settled = schema(**told)
        for name in told:
            schema.model_fields[name].default = getattr(settled, name)
        schema.model_rebuild(force=True)
        return schema

    return set_defaults
