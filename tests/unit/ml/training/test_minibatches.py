"""A minibatch follows from seed, epoch and step; its tracks are distinct and share genres."""

import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from ml.audio import SAMPLE_RATE, Int16, to_float
from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.effects.chain import EffectSettings
from ml.spectrogram import SpectrogramSettings, mel_spectrogram
from ml.splits import hash_track
from ml.training.cores import limit_threads
from ml.training.minibatches import Draws, Minibatches, MinibatchSettings
from ml.training.rendering import Domain, Minibatch, render

SAMPLES = SAMPLE_RATE
SPECTROGRAM = SpectrogramSettings(n_fft=1024, hop=512, n_mels=32)
SETTINGS = MinibatchSettings(tracks=6, crops=2, genre_group=2)


@dataclass(frozen=True)
class WatchedStore(AudioStore):
    """A store that remembers which tracks were opened."""

    opened: list[str] = field(default_factory=list)

    def read(self, digest: str, start: int = 0, samples: int = SAMPLES) -> Int16:
        """Read, and remember."""
        self.opened.append(digest)
        return super().read(digest, start, samples)


def minibatches(
    collection: Collection,
    seed: int = 0,
    epoch: int = 0,
    settings: MinibatchSettings = SETTINGS,
    samples: int = SAMPLES,
) -> Minibatches:
    return Minibatches(collection, samples, settings, EffectSettings(), SPECTROGRAM, seed, epoch)


def same(one: Minibatch, other: Minibatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def labelled(genres: list[list[str]], store: AudioStore) -> Collection:
    """Tracks of silence without files: enough to draw from."""
    ids = [f"{n:03d}" for n in range(len(genres))]
    clips = pd.DataFrame({"track_id": ids, "digest": map(hash_track, ids), "samples": SAMPLES})
    return Collection(
        store, clips.assign(genres=pd.Series(genres), moods=pd.Series([[]] * len(genres)))
    )


def test_minibatch_has_the_stated_shapes(collection: Collection) -> None:
    batch = minibatches(collection.of("train"))[0]
    assert batch.mel.shape == (24, 32, 1 + SAMPLES // 512)
    assert batch.mel.dtype == torch.float32
    assert batch.source.tolist() == [*range(12), *range(12)]
    assert batch.genres.shape == (24, 2)
    assert batch.moods.shape == (24, 2)
    assert batch.colour.shape == (24, 32)
    assert torch.isfinite(batch.mel).all()
    assert (batch.mel >= 0).all()


def test_minibatch_is_a_function_of_seed_epoch_and_step(collection: Collection) -> None:
    training = collection.of("train")
    batch = minibatches(training)[1]
    later = minibatches(training)
    assert not same(later[0], batch)  # other steps before it make no difference
    assert same(later[1], batch)
    assert not same(minibatches(training, seed=1)[1], batch)
    assert not same(minibatches(training, epoch=1)[1], batch)


def test_loader_processes_make_no_difference(collection: Collection) -> None:
    epoch = minibatches(collection.of("train"), settings=MinibatchSettings(4, 1, 2, steps=4))
    with limit_threads(1):  # as in the loaders: the number of threads decides how sums are rounded
        alone, beside = (
            list(DataLoader(epoch, batch_size=None, num_workers=n, multiprocessing_context=start))
            for n, start in ((0, None), (2, "fork"))
        )
    assert len(alone) == len(beside) == len(epoch)
    assert all(same(one, other) for one, other in zip(alone, beside, strict=True))


def test_labels_and_sound_are_those_of_the_track(collection: Collection) -> None:
    training = collection.of("train")
    tracks = training.tracks
    batch, draw = minibatches(training)[0], minibatches(training).draw(0)
    for place, track in enumerate(batch.track.tolist()):
        row = tracks.iloc[track]
        assert batch.genres[place].tolist() == [name in row.genres for name in ("buzz", "tone")]
        assert batch.moods[place].tolist() == [name in row.moods for name in ("calm", "sad")]
    for place in range(12):
        row = tracks.iloc[int(batch.track[place])]
        whole = to_float(training.store.read(row.digest, 0, row.samples))
        crop = draw.plain[place].numpy()
        starts = np.flatnonzero(whole[: len(whole) - SAMPLES + 1] == crop[0])
        assert any(np.array_equal(whole[start:][:SAMPLES], crop) for start in starts)


def test_second_half_is_the_first_transformed(collection: Collection) -> None:
    epoch = minibatches(collection.of("train"))
    plain, transformed = epoch[0].mel.chunk(2)
    assert torch.equal(plain, mel_spectrogram(epoch.draw(0).plain, SPECTROGRAM))
    assert (plain != transformed).any(2).any(1).float().mean() > 0.8


def test_every_version_of_every_crop_has_a_colour_of_its_own(collection: Collection) -> None:
    colour = minibatches(collection.of("train"))[0].colour
    assert (torch.cdist(colour, colour) + torch.eye(24)).min() > 0.1


@pytest.mark.parametrize("domain", ["waveform", "magnitude"])
def test_transformed_half_is_nearer_its_source_than_other_tracks(
    collection: Collection, domain: Domain
) -> None:
    draw = minibatches(collection.of("train")).draw(0)
    batch = render(draw, SPECTROGRAM, domain)
    plain, transformed = torch.log(batch.mel + 1e-3).mean(2).chunk(2)
    distance = torch.cdist(transformed, plain)
    other = batch.track[:12, None] != batch.track[:12]
    nearer = distance.diagonal()[:, None] < distance.masked_fill(~other, torch.inf)
    assert nearer.float().mean() > 0.8


def test_unknown_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="domain must be one of"):
        MinibatchSettings(domain=cast("Domain", "cepstrum"))


def test_crops_of_a_track_are_drawn_anew(collection: Collection) -> None:
    draw = minibatches(collection.of("train")).draw(0)
    assert (draw.track[0::2] == draw.track[1::2]).all()
    assert (draw.plain[0::2] != draw.plain[1::2]).any(dim=1).all()


def test_tracks_are_distinct_and_all_are_drawn_in_time(collection: Collection) -> None:
    epoch = minibatches(collection.of("train"))
    drawn = [epoch.draw_tracks(np.random.default_rng(seed)) for seed in range(50)]
    assert all(len(set(tracks.tolist())) == len(tracks) == 6 for tracks in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=8)
    assert counts == pytest.approx(np.full(8, 50 * 6 / 8), rel=0.3)


def test_small_collection_gives_all_its_tracks(collection: Collection) -> None:
    epoch = minibatches(collection.of("train"), settings=MinibatchSettings(32, 2))
    assert sorted(epoch.draw_tracks(np.random.default_rng(0))) == list(range(8))


def test_groups_share_a_genre_with_their_first_track(tmp_path: Path) -> None:
    genres = [[f"g{n % 10}"] for n in range(100)]
    epoch = minibatches(
        labelled(genres, AudioStore(tmp_path)), settings=MinibatchSettings(20, 1, genre_group=4)
    )
    for seed in range(20):
        groups = epoch.draw_tracks(np.random.default_rng(seed)).reshape(5, 4) % 10
        assert (groups == groups[:, :1]).all()


def test_tracks_without_genre_are_drawn_as_often_as_others(tmp_path: Path) -> None:
    genres = [[] if n % 2 else ["only"] for n in range(100)]
    epoch = minibatches(
        labelled(genres, AudioStore(tmp_path)), settings=MinibatchSettings(40, 1, genre_group=4)
    )
    lone = [(epoch.draw_tracks(np.random.default_rng(s)) % 2).sum() for s in range(20)]
    assert np.mean(lone) == pytest.approx(20, abs=3)


@pytest.mark.parametrize("seed", range(5))
def test_draw_is_that_of_a_table_of_all_pairs(tmp_path: Path, seed: int) -> None:
    genres = [[f"{g}" for g in range(5) if hash((n, g)) % 4 == 0] for n in range(60)]
    epoch = minibatches(
        labelled(genres, AudioStore(tmp_path)), settings=MinibatchSettings(20, 1, genre_group=4)
    )
    order = np.random.default_rng(seed).permutation(60).tolist()
    expected: list[int] = []
    while len(expected) < 20:
        first, *rest = [track for track in order if track not in expected]
        kin = [track for track in rest if {*genres[first]} & {*genres[track]}]
        expected += [first, *kin[:3]][: 20 - len(expected)]
    assert epoch.draw_tracks(np.random.default_rng(seed)).tolist() == expected


def test_many_tracks_are_drawn_from_in_little_memory(tmp_path: Path) -> None:
    training = labelled([[f"{n % 10}"] for n in range(20_000)], AudioStore(tmp_path))
    tracemalloc.start()
    try:
        minibatches(training).draw_tracks(np.random.default_rng(0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6, "pairs of tracks would be 2 GB"


def test_track_shorter_than_a_crop_is_repeated(tmp_path: Path) -> None:
    store = AudioStore(tmp_path)
    sound = np.arange(1, 1001, dtype=np.int16)
    store.write_audio(hash_track("000"), sound)
    training = labelled([["x"]], store)
    training = Collection(store, training.clips.assign(samples=len(sound)))
    wave = minibatches(training).draw(0).plain[0].numpy()
    assert len(wave) == SAMPLES
    assert np.array_equal(wave[1000:], wave[:-1000])
    assert set(np.rint(wave * 32_767).astype(int)) == set(range(1, 1001))


def test_only_the_tracks_of_the_collection_are_opened(collection: Collection) -> None:
    store = WatchedStore(collection.store.root)
    training = Collection(store, collection.of("train").clips)
    for step in range(4):
        minibatches(training).draw(step)
    assert set(store.opened) == set(training.clips["digest"])


def test_epoch_has_as_many_steps_as_asked(collection: Collection) -> None:
    settings = MinibatchSettings(steps=7)
    assert len(minibatches(collection.of("train"), settings=settings)) == 7


def test_draws_rendered_later_are_the_same_minibatches(collection: Collection) -> None:
    epoch = minibatches(collection.of("train"))
    draws = Draws(epoch)
    assert len(draws) == len(epoch)
    later = render(draws[1].to(torch.device("cpu")), SPECTROGRAM, "magnitude")
    assert same(later, epoch[1])
