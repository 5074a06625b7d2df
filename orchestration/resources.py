"""What the assets are given: the workspace, the registry and the database of this environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from ml.environment import Environment
from ml.workspace import Workspace

if TYPE_CHECKING:  # both take seconds to import, and only the steps that use them should pay
    from ml.registry import Registry
    from search.database import Database


class Services(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens what `DATA_DIR`, `CATALOG`, `MLFLOW_TRACKING_URI` and `DATABASE_URL` name.

    The environment is read when a step runs, never at import, and no secret is part of the
    resource's configuration, which the UI shows.
    """

    @property
    def environment(self) -> Environment:
        """The environment of this process."""
        return Environment()

    @property
    def workspace(self) -> Workspace:
        """Tables, records, audio and models on disk."""
        return Workspace(self.environment.root)

    def open_registry(self) -> "Registry":
        """Connect to MLflow."""
        from ml.registry import Registry

        return Registry.open(self.environment)

    @contextmanager
    def open_database(self) -> "Iterator[Database]":
        """Connect to Postgres, its schema up to date."""
        from search.database import open_database

        with open_database(self.environment.database_url, self.environment.root) as database:
            database.migrate()
            yield database
