"""The encoders behind one protocol, and their files.

An encoder maps a waveform to a point on the unit sphere in 128 dimensions, its front end included.
Saved, it is two files: ``encoder.safetensors`` holds the tensors, ``encoder.json`` everything else,
the SHA-256 of the first, and one of its own content (which files written before lack). Nothing is
ever unpickled.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn import functional

from ml.audio import SAMPLE_RATE
from ml.baseline import BaselineEncoder, BaselineSettings
from ml.convnet import EMBEDDING_DIM, ConvNet, ConvNetSettings
from ml.errors import EncoderError
from ml.storage import replace_file

WEIGHTS_FILE, DESCRIPTION_FILE = "encoder.safetensors", "encoder.json"
FORMAT = 1


@runtime_checkable
class Encoder(Protocol):
    """What every encoder offers."""

    @property
    def architecture(self) -> str:
        """Kind of the encoder: `convnet`, `baseline` or `random`."""

    @property
    def settings(self) -> Any:  # noqa: ANN401 (each kind has its own dataclass)
        """Hyperparameters, a frozen dataclass."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Everything that was learned, by name."""

    def encode(self, waveform: Tensor) -> Tensor:
        """Embed ``[B, samples]`` float32 at 16 kHz into ``[B, 128]`` float32 of norm 1."""


@dataclass(frozen=True)
class RandomSettings:
    """Seed of a random encoder's draws."""

    seed: int = 0


class RandomEncoder:
    """Draw an embedding from a uniform distribution per clip (paper, section 3.1).

    Parameters
    ----------
    seed : int
        Of the draws.
    """

    architecture = "random"
    tensors: dict[str, Tensor] = {}  # noqa: RUF012

    def __init__(self, seed: int = 0) -> None:
        self.settings = RandomSettings(seed)
        self._generator = torch.Generator().manual_seed(seed)

    def encode(self, waveform: Tensor) -> Tensor:
        """Ignore the waveform ``[B, samples]``; draw ``[B, 128]``."""
        draw = torch.rand(len(waveform), EMBEDDING_DIM, generator=self._generator)
        return functional.normalize(2 * draw - 1, dim=1)


class ConvNetEncoder:
    """A trained ConvNet, in inference mode.

    Parameters
    ----------
    network : ConvNet
        Put into evaluation mode; stays on its device.
    """

    architecture = "convnet"

    def __init__(self, network: ConvNet) -> None:
        self.network = network.eval()

    @property
    def settings(self) -> ConvNetSettings:
        """Architecture of the network."""
        return self.network.settings

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Weights and batch statistics, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}

    @torch.inference_mode()
    def encode(self, waveform: Tensor) -> Tensor:
        """Embed ``[B, samples]`` into ``[B, 128]``, computed on the network's device."""
        device = next(self.network.parameters()).device
        # A GPU's convolutions would round to TF32's ten bits: other vectors than a CPU's.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            embedding: Tensor = self.network(waveform.to(device))
        return embedding.cpu()


def choose_device() -> str:
    """Name where a catalogue is embedded: on a GPU, if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder's two files, the description last.

    Parameters
    ----------
    encoder : Encoder
        Any of this module.
    folder : Path
        Made if absent.
    """
    weights = save_tensors({name: t.contiguous() for name, t in encoder.tensors.items()})
    description = {
        "format": FORMAT,
        "architecture": encoder.architecture,
        "hyperparameters": asdict(encoder.settings),
        "sample_rate": SAMPLE_RATE,
        "embedding_dim": EMBEDDING_DIM,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    description["description_sha256"] = digest_description(description)
    with replace_file(folder / WEIGHTS_FILE) as file:
        file.write(weights)
    with replace_file(folder / DESCRIPTION_FILE) as file:
        file.write(json.dumps(description, indent=2).encode())


def digest_description(description: Mapping[str, Any]) -> str:
    """SHA-256 of a description, whatever its layout: of all that it says but that digest itself."""
    said = {name: value for name, value in description.items() if name != "description_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def load_encoder(folder: Path, device: str = "cpu") -> Encoder:
    """Read an encoder back.

    Parameters
    ----------
    folder : Path
        As `save_encoder` wrote it.
    device : str
        Where a ConvNet computes.

    Returns
    -------
    Encoder

    Raises
    ------
    EncoderError
        A file is missing, damaged, or of another program or version.
    """
    description = _read_description(folder)
    tensors = _read_tensors(folder, description)
    try:
        return _restore(description, tensors, device)
    except (KeyError, IndexError, RuntimeError, ValueError, TypeError) as error:
        raise EncoderError(
            f"{folder} does not fit its own description: export it again."
        ) from error


def _restore(description: dict[str, Any], tensors: dict[str, Tensor], device: str) -> Encoder:
    architecture, given = description["architecture"], description["hyperparameters"]
    if (description["sample_rate"], description["embedding_dim"]) != (SAMPLE_RATE, EMBEDDING_DIM):
        raise ValueError("made for another sample rate or dimension")
    if architecture == "baseline":
        return BaselineEncoder(TypeAdapter(BaselineSettings).validate_python(given), tensors)
    if architecture == "random":
        return RandomEncoder(TypeAdapter(RandomSettings).validate_python(given).seed)
    if architecture != "convnet":
        raise KeyError(architecture)
    network = ConvNet(TypeAdapter(ConvNetSettings).validate_python(given))
    network.load_state_dict(tensors)
    return ConvNetEncoder(network.to(device))


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION_FILE
    try:
        description = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise EncoderError(
            f"No encoder in {folder} (no {DESCRIPTION_FILE}): name a folder that "
            "`soundalike export` wrote."
        ) from error
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} is damaged: export the encoder again.") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise EncoderError(f"{path} was not written by this version: export the encoder again.")
    digest = digest_description(description)
    if description.get("description_sha256", digest) != digest:
        raise EncoderError(
            f"{path} does not match its own SHA-256, it was changed: export the encoder again."
        )
    return description


def _read_tensors(folder: Path, description: dict[str, Any]) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} is missing or unreadable: export the encoder again.") from error
    if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
        raise EncoderError(
            f"{path} does not match its SHA-256, it is damaged or foreign: export it again."
        )
    try:
        tensors: dict[str, Tensor] = load_tensors(content)
    except SafetensorError as error:
        raise EncoderError(
            f"{path} is not a safetensors file: export the encoder again."
        ) from error
    return tensors
