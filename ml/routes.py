"""Two routes from sound to mel bands: kernels compiled by numba for a CPU, torch for the rest.

Both do the same arithmetic, and the front end and the effects ask here which one a tensor takes.
The kernels are single-threaded and hold no lock of the interpreter, so loader processes may be
forked around them and threads run side by side; they are compiled once per machine and then read
from numba's cache.
"""

from torch import Tensor


def compiled(tensor: Tensor) -> bool:
    """Say whether compiled kernels take this tensor: they know no gradients."""
    return tensor.device.type == "cpu" and not tensor.requires_grad
