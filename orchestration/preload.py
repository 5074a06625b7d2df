"""What step processes are forked with: importing these takes longer than many a step.

Training is left out: Lightning, which takes seconds more, is needed only where a model is trained.
"""

import gc
from importlib import import_module

from dagster import DagsterInstance

from orchestration.orphans import bind_steps

MODULES = (
    "ml.catalog",
    "ml.clips",
    "ml.development",
    "ml.promotion",
    "orchestration.definitions",
    "search.publication",
)

bind_steps()

gc.disable()  # nothing that imports make is garbage; looking for some takes a fifth of their time
for module in MODULES:
    import_module(module)

# Makes Dagster import its storage, which every step process opens.
DagsterInstance.ephemeral().dispose()

gc.freeze()  # nor will it become any: a step looks only through what it makes itself
gc.enable()
