"""What holds for every test."""

import os

from hypothesis import settings

# The tests' processes share the cores: threads of each would spin while they wait for a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing is timed in a test: how long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
