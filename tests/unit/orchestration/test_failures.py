"""Errors that a user can mend, as Dagster shows them."""

import dagster as dg
import pytest

from ml.errors import AudioError, CatalogError
from orchestration.failures import explain_failures


@explain_failures
def divide(dividend: float, divisor: float) -> float:
    """Divide."""
    if divisor == 1:
        raise CatalogError("Divide by another number.")
    if divisor == 2:
        raise AudioError("two", "Divide by three.")
    return dividend / divisor


@pytest.mark.parametrize(
    ("divisor", "sentence"), [(1, "Divide by another number."), (2, "Divide by three.")]
)
def test_own_error_becomes_a_failure_with_its_sentence(divisor: float, sentence: str) -> None:
    with pytest.raises(dg.Failure) as caught:
        divide(6, divisor)
    assert caught.value.description == sentence
    assert caught.value.allow_retries is False
    assert caught.value.__suppress_context__, "no traceback of the library below"


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        divide(6, 0)


def test_result_and_name_are_kept() -> None:
    assert divide(6, 3) == 2
    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")
