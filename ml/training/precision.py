"""The precision that a network trains in: float32, or a half where that is faster.

A GPU trains in bfloat16, or in float16 with scaled gradients where it would only emulate that.

On a CPU bfloat16 is anything from ten times slower to several times faster, and no flag of the
processor says which, so a few steps are measured. The choice depends on the machine; it is noted
with the run, and a training that goes on keeps the one it began with.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bf16", "fp16"]
GAIN = 1.1
"""How many times faster bfloat16 has to be, since it is coarser."""
ROUNDS = 3
HOPELESS = 2.0
"""So many times slower at its first step, bfloat16 is not measured further."""


def prefer_gpu_precision() -> Precision:
    """Choose the half precision that the current GPU computes in by itself."""
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def measure_precision(
    forward: Callable[[], Tensor], clock: Callable[[], float] = time.perf_counter
) -> Precision:
    """Time forward and backward passes in both precisions, in turns.

    Parameters
    ----------
    forward : callable
        Computes something from parameters on the CPU; their gradients are left behind.
    clock : callable
        Gives the time in seconds.

    Returns
    -------
    {"float32", "bf16"}
    """
    _time_step(forward, clock, "float32")  # the first pass allocates
    seconds: dict[Precision, list[float]] = {"float32": [], "bf16": []}
    for _ in range(ROUNDS):
        for precision, times in seconds.items():
            times.append(_time_step(forward, clock, precision))
        if seconds["bf16"][0] > HOPELESS * seconds["float32"][0]:
            break
    chosen = prefer_precision(min(seconds["float32"]), min(seconds["bf16"]))
    logger.info(
        "A pass takes %.0f ms in float32 and %.0f ms in bfloat16: training in %s",
        1e3 * min(seconds["float32"]),
        1e3 * min(seconds["bf16"]),
        chosen,
    )
    return chosen


def prefer_precision(float32_seconds: float, bf16_seconds: float) -> Precision:
    """Choose bfloat16 only if it is clearly faster.

    Examples
    --------
    >>> prefer_precision(1.0, 0.95), prefer_precision(1.0, 0.5)
    ('float32', 'bf16')
    """
    return "bf16" if float32_seconds > GAIN * bf16_seconds else "float32"


def _time_step(
    forward: Callable[[], Tensor], clock: Callable[[], float], precision: Precision
) -> float:
    started = clock()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        result = forward()
    torch.autograd.backward(result.float().sum())
    return clock() - started
