"""The record of a run names what it ran on."""

import platform

import torch

from ml.provenance import describe_environment


def test_environment_names_versions_machine_and_code() -> None:
    facts = describe_environment()
    assert facts["environment.python"] == platform.python_version()
    assert facts["environment.torch"] == torch.__version__.partition("+")[0] or (
        facts["environment.torch"] == torch.__version__
    )
    assert int(facts["environment.threads"]) == torch.get_num_threads()
    assert all(facts.values())
