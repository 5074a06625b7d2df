"""Errors that a user can mend, shown as one sentence instead of a traceback."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import dagster as dg

from ml.errors import SoundalikeError

P = ParamSpec("P")
R = TypeVar("R")


def explain_failures(compute: Callable[P, R]) -> Callable[P, R]:
    """Turn the project's own errors into Dagster failures whose description says what to do.

    Such an error comes back however often the step is tried, so it is not retried.
    """

    @functools.wraps(compute)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return compute(*args, **kwargs)
        except SoundalikeError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    return explained


def explain_event(event: dg.DagsterEvent) -> str:
    """Say why a step has failed: its own sentence, or the error's message."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    if failure.error is None:
        return "no reason given"
    if failure.error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return "it was interrupted"
    return (failure.error.cause or failure.error).message.strip()
