"""Switch on what watches the catalogue: off by default, so that a team decides by itself."""

from cli.readiness import ask_dagster
from ml.errors import SoundalikeError

SENSOR, SCHEDULE = "catalogue_changes", "weekly_refresh"
_SELECTOR = 'repositoryName: "__repository__", repositoryLocationName: "soundalike"'
_ERROR = "__typename ... on PythonError { message } ... on UnauthorizedError { message }"

START = f"""mutation {{
  startSensor(sensorSelector: {{ {_SELECTOR}, sensorName: "{SENSOR}" }}) {{ {_ERROR} }}
  startSchedule(scheduleSelector: {{ {_SELECTOR}, scheduleName: "{SCHEDULE}" }}) {{ {_ERROR} }}
}}"""


def watch_catalogue(port: int) -> None:
    """Switch the sensor and the weekly schedule on, by the Dagster page at a port.

    Raises
    ------
    SoundalikeError
        Dagster refuses.
    """
    for name, result in ask_dagster(port, START).items():
        if result["__typename"] not in ("Sensor", "ScheduleStateResult"):
            why = result.get("message", result["__typename"])
            raise SoundalikeError(f"Dagster refuses {name} ({why}): switch it on in the UI.")
