"""What a training ran on, for its record: versions, machine, code."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "torchvision", "lightning", "numpy", "scipy", "librosa")


def describe_environment() -> dict[str, str]:
    """Collect the facts of this process, by name.

    Returns
    -------
    dict of str
        Python's and the libraries' versions, processor, GPU, cores, threads and, where the code
        lies in a git repository, its commit.
    """
    facts = {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": _name_processor(),
        "cpu.capability": torch.backends.cpu.get_cpu_capability(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "git": _find_commit(),
    }
    return {f"environment.{name}": value for name, value in facts.items()}


def _name_processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _find_commit() -> str:
    """Name the commit, marked if files differ from it; say so if there is none."""
    git = shutil.which("git")
    if git is None:
        return "none"
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    found = subprocess.run(  # noqa: S603 (a fixed command)
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "none"
