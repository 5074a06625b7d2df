"""The gate's answer: every comparison that was made, in numbers and in sentences."""

import math
from dataclasses import dataclass

MEAN = "mean"  # the weighted mean over annotations, in a comparison
HUBNESS, NEVER_RETRIEVED = "hubness", "never retrieved"

LEVEL, INTERVAL, CEILING = "at least required", "not surely below 0", "at most required"
"""Of a score; of a difference; of a figure that is better low."""


@dataclass(frozen=True)
class Comparison:
    """One rule of the gate, worked out.

    Parameters
    ----------
    against : str
        ``"random"``, ``"baseline"`` or ``"production"``.
    annotation : str
        The annotation, ``"mean"``, ``"hubness"`` or ``"never retrieved"``.
    candidate, other : float
        Both figures.
    required : float
        What the candidate must reach, or for a ceiling may not exceed.
    met : bool
        Whether it keeps the rule.
    rule : str
        `LEVEL`, `INTERVAL` or `CEILING`.
    low, high : float
        Bootstrap interval over tracks of the difference ``candidate - other``; NaN if unknown.
    """

    against: str
    annotation: str
    candidate: float
    other: float
    required: float
    met: bool
    rule: str = LEVEL
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        figures = f"{self.candidate:.4f} against {self.other:.4f} of {self.against}"
        subject = self.annotation.capitalize()
        if self.rule == CEILING:
            answer = "low enough" if self.met else "too high"
            return f"{subject} is {figures}: {answer}, at most {self.required:.4f} is allowed."
        if self.rule == INTERVAL:
            answer = "not surely worse" if self.met else "surely worse"
            reach = f"the difference is {self.low:+.4f} to {self.high:+.4f}"
            return f"{subject} mAP is {figures}: {answer}, {reach}."
        subject = "The mean" if self.annotation == MEAN else subject
        answer = "enough" if self.met else "too low"
        return f"{subject} mAP is {figures}: {answer}, {self.required:.4f} was needed."


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    Parameters
    ----------
    passed : bool
        Whether the candidate may go to production.
    reasons : tuple of str
        Sentences: why it was refused, or what it was better than.
    comparisons : tuple of Comparison
        Every rule, as far as it could be worked out.
    """

    passed: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
