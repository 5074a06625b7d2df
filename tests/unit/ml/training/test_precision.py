"""The precision is measured on the very machine, and bfloat16 has to earn its place."""

import pytest
import torch
from torch import Tensor

from ml.training.fitting import PLUGINS
from ml.training.precision import (
    ROUNDS,
    measure_precision,
    prefer_gpu_precision,
    prefer_precision,
)


@pytest.mark.parametrize(
    ("float32", "bf16", "chosen"),
    [(1.0, 0.5, "bf16"), (1.0, 0.95, "float32"), (1.0, 1.0, "float32"), (1.0, 11.0, "float32")],
)
def test_bfloat16_is_taken_only_if_clearly_faster(float32: float, bf16: float, chosen: str) -> None:
    assert prefer_precision(float32, bf16) == chosen


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_gpu_trains_in_the_half_that_it_has(
    monkeypatch: pytest.MonkeyPatch, native: bool, chosen: str
) -> None:
    def supported(including_emulation: bool = True) -> bool:  # an older GPU emulates bfloat16
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert prefer_gpu_precision() == chosen
    assert PLUGINS[prefer_gpu_precision()].startswith(chosen.removeprefix("fp"))


class Work:
    """A pass that takes longer in one of the precisions, by a clock of its own."""

    def __init__(self, *, slow_in_bf16: bool) -> None:
        self.weight = torch.ones(1, requires_grad=True)
        self.dtypes: list[torch.dtype] = []
        self.now = 0.0
        self._slow_in_bf16 = slow_in_bf16

    def __call__(self) -> Tensor:
        """Compute, and let time pass."""
        result = (self.weight[None] @ self.weight[:, None]).sum()
        half = torch.is_autocast_enabled("cpu")
        self.dtypes.append(torch.bfloat16 if half else torch.float32)
        self.now += 3.0 if half == self._slow_in_bf16 else 1.0
        return result


def test_faster_precision_is_found_and_gradients_flow_in_both() -> None:
    work = Work(slow_in_bf16=False)
    assert measure_precision(work, lambda: work.now) == "bf16"
    assert work.weight.grad is not None
    assert work.dtypes.count(torch.bfloat16) == ROUNDS
    assert work.dtypes.count(torch.float32) == ROUNDS + 1


def test_hopeless_bfloat16_is_not_measured_for_long() -> None:
    work = Work(slow_in_bf16=True)
    assert measure_precision(work, lambda: work.now) == "float32"
    assert work.dtypes.count(torch.bfloat16) == 1
