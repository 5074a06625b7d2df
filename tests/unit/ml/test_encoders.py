"""Encoders give unit vectors, come back from disk unchanged, and refuse what is damaged."""

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ml.baseline import fit_baseline
from ml.convnet import ConvNetSettings, Variant, seed_weights
from ml.encoders import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    ConvNetEncoder,
    Encoder,
    RandomEncoder,
    digest_description,
    load_encoder,
    save_encoder,
)
from ml.errors import EncoderError

SOUND = torch.randn(3, 16_000, generator=torch.Generator().manual_seed(0)) / 10


@pytest.fixture(scope="module")
def convnet(tiny_encoder: ConvNetSettings) -> ConvNetEncoder:
    """Make a network with batch statistics of its own, as after training."""
    network = seed_weights(tiny_encoder, 0).train()
    for _ in range(3):
        network(SOUND)
    return ConvNetEncoder(network)


@pytest.fixture(scope="module")
def baseline() -> Encoder:
    """Fit a baseline on noise."""
    return fit_baseline([np.random.default_rng(0).standard_normal((60, 16_000), np.float32)])


@pytest.fixture(params=["convnet", "baseline"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Each encoder that was learned."""
    chosen: Encoder = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def folder(encoder: Encoder, tmp_path: Path) -> Path:
    save_encoder(encoder, tmp_path / "encoder")
    return tmp_path / "encoder"


def describe(folder: Path, **changes: Any) -> None:  # noqa: ANN401
    """Change the description, as another program or version would have written it."""
    path = folder / DESCRIPTION_FILE
    changed = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(changed | {"description_sha256": digest_description(changed)}))


def replace_weights(folder: Path, content: bytes) -> None:
    """Put other weights in place, with the digest that belongs to them."""
    (folder / WEIGHTS_FILE).write_bytes(content)
    describe(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def test_every_encoder_gives_unit_vectors(convnet: Encoder, baseline: Encoder) -> None:
    for encoder in (convnet, baseline, RandomEncoder()):
        assert isinstance(encoder, Encoder)
        vectors = encoder.encode(SOUND)
        assert vectors.shape == (3, 128)
        assert vectors.dtype == torch.float32
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)


def test_vector_does_not_depend_on_the_rest_of_the_batch(encoder: Encoder) -> None:
    together = encoder.encode(SOUND)
    alone = torch.cat([encoder.encode(SOUND[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_encoding_leaves_no_gradient_and_no_trace(convnet: ConvNetEncoder) -> None:
    before = {name: tensor.clone() for name, tensor in convnet.tensors.items()}
    assert not convnet.encode(SOUND).requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in convnet.tensors.items())


def test_saved_encoder_gives_the_same_vectors(encoder: Encoder, folder: Path) -> None:
    loaded = load_encoder(folder)
    assert loaded.architecture == encoder.architecture
    assert loaded.settings == encoder.settings
    assert torch.allclose(loaded.encode(SOUND), encoder.encode(SOUND), atol=1e-6)
    assert sorted(path.name for path in folder.iterdir()) == [DESCRIPTION_FILE, WEIGHTS_FILE]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("variant", ["compact", "resnet18"])
def test_gpu_gives_the_vectors_of_a_cpu(variant: Variant, tmp_path: Path) -> None:
    network = seed_weights(ConvNetSettings(variant=variant), 0)
    save_encoder(ConvNetEncoder(network), tmp_path)
    sound = torch.randn(4, 160_000, generator=torch.Generator().manual_seed(1)) / 10
    expected, found = (load_encoder(tmp_path, device).encode(sound) for device in ("cpu", "cuda"))
    assert (found - expected).abs().max() < 1e-5


def test_encoding_rounds_as_on_a_cpu_and_leaves_the_setting(convnet: ConvNetEncoder) -> None:
    seen = []
    hook = convnet.network.register_forward_pre_hook(
        lambda *_: seen.append(torch.backends.cudnn.allow_tf32)
    )
    before = torch.backends.cudnn.allow_tf32
    convnet.encode(SOUND)
    hook.remove()
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before


ENCODE = """
import sys
from pathlib import Path
import numpy as np, torch
from ml.encoders import load_encoder
folder = Path(sys.argv[1])
sound = torch.from_numpy(np.load(folder / "sound.npy"))
np.save(folder / "vectors.npy", load_encoder(folder).encode(sound).numpy())
"""


def test_another_process_gives_the_same_vectors(encoder: Encoder, tmp_path: Path) -> None:
    np.save(tmp_path / "sound.npy", SOUND.numpy())
    save_encoder(encoder, tmp_path)
    subprocess.run([sys.executable, "-c", ENCODE, str(tmp_path)], check=True)
    vectors = np.load(tmp_path / "vectors.npy")
    assert np.abs(vectors - encoder.encode(SOUND).numpy()).max() < 1e-5


def test_random_encoder_comes_back(tmp_path: Path) -> None:
    for seed in (0, 3):
        save_encoder(RandomEncoder(seed), tmp_path)
        assert torch.equal(load_encoder(tmp_path).encode(SOUND), RandomEncoder(seed).encode(SOUND))


def test_random_encoder_is_seeded_and_uniform_before_it_is_scaled() -> None:
    vectors = RandomEncoder(3).encode(torch.zeros(2000, 1))
    assert torch.equal(RandomEncoder(3).encode(torch.zeros(2000, 1)), vectors)
    assert not torch.equal(RandomEncoder(4).encode(torch.zeros(2000, 1)), vectors)
    # 128 uniform numbers have norm sqrt(128 / 3), give or take 4 %: undo it, and test.
    raw = vectors.flatten().numpy() * np.sqrt(128 / 3)
    assert stats.kstest(raw, stats.uniform(-1, 2).cdf).statistic < 0.01
    assert np.abs(vectors.mean(0).numpy()).max() < 0.01


@pytest.mark.parametrize("position", [0, 9, 100, -1])
def test_a_single_wrong_bit_is_refused(folder: Path, position: int) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[position] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(EncoderError, match="does not match its SHA-256"):
        load_encoder(folder)


@pytest.mark.parametrize("kept", [0, 7, 200])
def test_truncated_weights_are_refused(folder: Path, kept: int) -> None:
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:kept])
    with pytest.raises(EncoderError, match="does not match its SHA-256"):
        load_encoder(folder)


@pytest.mark.parametrize("name", [DESCRIPTION_FILE, WEIGHTS_FILE])
def test_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(EncoderError, match="export"):
        load_encoder(folder)
    (folder / name).mkdir()
    with pytest.raises(EncoderError, match="export"):
        load_encoder(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"format": 2}', b'{"a": 1}']
)
def test_foreign_description_is_refused(folder: Path, content: bytes) -> None:
    (folder / DESCRIPTION_FILE).write_bytes(content)
    with pytest.raises(EncoderError, match="export the encoder again"):
        load_encoder(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "transformer"},
        {"architecture": None},
        {"hyperparameters": None},
        {"hyperparameters": {"variant": "unheard-of", "n_mfcc": "many"}},
        {"sample_rate": 44_100},
        {"embedding_dim": 64},
        {"weights_sha256": None},
    ],
)
def test_description_that_does_not_fit_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    describe(folder, **changes)
    with pytest.raises(EncoderError, match="export"):
        load_encoder(folder)


@pytest.mark.parametrize(("name", "value"), [("floor", 0.01), ("f_min", 40.0), ("power", 2)])
def test_settings_changed_by_hand_are_refused(
    convnet: ConvNetEncoder, tmp_path: Path, name: str, value: float
) -> None:
    save_encoder(convnet, tmp_path)
    path = tmp_path / DESCRIPTION_FILE
    description = json.loads(path.read_bytes())
    description["hyperparameters"]["spectrogram"][name] = value  # the weights fit as before
    path.write_text(json.dumps(description))
    with pytest.raises(EncoderError, match="does not match its own SHA-256"):
        load_encoder(tmp_path)


def test_encoder_saved_before_descriptions_had_a_digest_is_loaded(
    encoder: Encoder, folder: Path
) -> None:
    path = folder / DESCRIPTION_FILE
    description = json.loads(path.read_bytes())
    del description["description_sha256"]
    path.write_text(json.dumps(description, indent=4))
    assert torch.allclose(load_encoder(folder).encode(SOUND), encoder.encode(SOUND), atol=1e-6)


def test_weights_of_another_architecture_are_refused(
    convnet: Encoder, baseline: Encoder, tmp_path: Path
) -> None:
    for name, encoder, other in (("a", convnet, "baseline"), ("b", baseline, "convnet")):
        save_encoder(encoder, tmp_path / name)
        describe(tmp_path / name, architecture=other, hyperparameters={})
        with pytest.raises(EncoderError, match="does not fit its own description"):
            load_encoder(tmp_path / name)


def test_weights_of_other_widths_are_refused(convnet: ConvNetEncoder, tmp_path: Path) -> None:
    for widths in ([8, 32], [8], []):
        save_encoder(convnet, tmp_path)
        description = json.loads((tmp_path / DESCRIPTION_FILE).read_bytes())
        describe(tmp_path, hyperparameters=description["hyperparameters"] | {"widths": widths})
        with pytest.raises(EncoderError, match="does not fit its own description"):
            load_encoder(tmp_path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def test_pickle_in_place_of_the_weights_is_refused_and_not_run(
    folder: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    replace_weights(folder, pickle.dumps({"mean": Trap(mark)}))
    with pytest.raises(EncoderError, match="not a safetensors file"):
        load_encoder(folder)
    torch.save({"mean": Trap(mark)}, tmp_path / "trap.pt")
    replace_weights(folder, (tmp_path / "trap.pt").read_bytes())
    with pytest.raises(EncoderError, match="not a safetensors file"):
        load_encoder(folder)
    assert not mark.exists()


def test_weights_may_be_strided(tiny_encoder: ConvNetSettings, tmp_path: Path) -> None:
    network = seed_weights(tiny_encoder, 0)
    strided: list[Tensor] = [p for p in network.parameters() if not p.is_contiguous()]
    assert strided  # the trunk's kernels lie channels last
    save_encoder(ConvNetEncoder(network), tmp_path)
    assert torch.allclose(
        load_encoder(tmp_path).encode(SOUND), ConvNetEncoder(network).encode(SOUND), atol=1e-6
    )
