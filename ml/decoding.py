"""Decode tracks into the audio store, in worker processes: a bad file costs its own track."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from ml.audio import INT16_SCALE, SAMPLE_RATE, AudioLimits, Int16, decode_blocks
from ml.audio_store import AudioStore
from ml.errors import AudioError
from ml.isolation import WorkerFailure, WorkerLimits, map_isolated
from ml.sources import fingerprint_file, is_remote, open_locally
from ml.workers import map_in_parallel, on_cluster

Decoder = Callable[[Path, AudioLimits], Iterator[Int16]]
"""Gives a file's samples block by block, or raises an AudioError."""

_CRASHED, _TIMEOUT, _MEMORY = "decoder_crashed", "decoder_timeout", "decoder_memory"
WORKER_REASONS = (_CRASHED, _TIMEOUT, _MEMORY)
"""Reason codes of files on which a worker failed."""

CHANGED = "changed_meanwhile"
"""Reason code of files that were replaced while a run was at work on them."""

_HASH_BYTES = 1 << 20
_BY_OTHERS = (-signal.SIGALRM, -signal.SIGKILL)
"""How workers end for which other processes may be to blame."""

_BATCH_TRACKS = 16  # a few seconds of work, beside which sending them is nothing


class Task(NamedTuple):
    """One track to decode."""

    track_id: str
    digest: str
    path: str
    fingerprint: str
    """Of the file and what decides its samples."""
    worker_fingerprint: str
    """Of the file, what decides its samples, and the worker's limits."""
    source: str = ""
    """Fingerprint of the file alone; not looked at if empty."""
    stored: str = ""
    """Hash of the file whose samples the store has, if they are what the settings would give."""


class Decoded(NamedTuple):
    """What became of one track."""

    samples: int
    """Written to the store; none if the file's bytes are those that the store has already."""
    content: str
    """Hash of the file."""


def decode_tracks(
    tasks: Iterable[Task],
    store: AudioStore,
    limits: AudioLimits,
    worker: WorkerLimits,
    n_jobs: int,
    decoder: Decoder,
) -> Iterator[tuple[Task, Decoded | AudioError]]:
    """Write the samples of tracks beside those that the store has (see `AudioStore.adopt`).

    What takes too long, or is killed as by a system that is out of memory, may do so because of
    what else is going on: it is tried once more, alone, when all others are done. So a busy machine
    costs a good file nothing, and a bad one its limits twice, not in every run.

    Parameters
    ----------
    tasks : iterable of Task
        What to decode.
    store : AudioStore
        Where the samples go; a worker that dies leaves a temporary file there.
    limits, worker : AudioLimits, WorkerLimits
        What a file must satisfy, and what decoding it may cost.
    n_jobs : int
        Processes, as joblib counts them.
    decoder : Decoder
        Picklable.

    Yields
    ------
    tuple of (Task, Decoded or AudioError)
        What it has, or why it has nothing; in any order.
    """
    decode_one = partial(decode_track, store=store, limits=limits, decoder=decoder)
    doubtful: list[Task] = []
    for task, outcome in _map_isolated(decode_one, tasks, worker, n_jobs):
        if not isinstance(outcome, WorkerFailure):
            yield task, outcome
        elif outcome.exit_code in _BY_OTHERS:
            doubtful.append(task)
        else:
            yield task, _explain(outcome, worker)
    for task, outcome in _map_isolated(decode_one, doubtful, worker, 1) if doubtful else ():
        yield task, _explain(outcome, worker) if isinstance(outcome, WorkerFailure) else outcome


Outcome = tuple[Task, Decoded | AudioError | WorkerFailure]
DecodeOne = Callable[[Task], Decoded | AudioError]


def _map_isolated(
    work: DecodeOne, tasks: Iterable[Task], limits: WorkerLimits, n_jobs: int
) -> Iterator[Outcome]:
    """Isolate each track: on this machine, or in joblib's batches wherever they go on a cluster.

    Here the isolated processes are the only ones: a pool of joblib's around them would cost memory
    and give nothing.
    """
    if not on_cluster():
        yield from map_isolated(work, tasks, limits, n_jobs)
        return
    remaining = iter(tasks)
    batches = iter(lambda: list(islice(remaining, _BATCH_TRACKS)), [])
    for outcomes in map_in_parallel(partial(_isolate, work, limits), batches, n_jobs):
        yield from outcomes


def _isolate(work: DecodeOne, limits: WorkerLimits, tasks: list[Task]) -> list[Outcome]:
    return list(map_isolated(work, tasks, limits, n_jobs=1))


def decode_track(
    task: Task, store: AudioStore, limits: AudioLimits, decoder: Decoder
) -> Decoded | AudioError:
    """Do what `decode_tracks` does for one track, in this process."""
    try:
        with open_locally(task.path, limits.max_bytes) as path:
            before = _identify(path)
            outcome = _decode(path, task, store, limits, decoder)
            planned = is_remote(task.path) or task.source in ("", fingerprint_file(task.path))
            if planned and _identify(path) == before:
                return outcome
            return AudioError(CHANGED, "It changed while it was read: run again.")
    except AudioError as error:  # it could not be copied
        return error


def _decode(
    path: Path, task: Task, store: AudioStore, limits: AudioLimits, decoder: Decoder
) -> Decoded | AudioError:
    try:
        if task.stored and path.is_file() and hash_file(path) == task.stored:
            return Decoded(0, task.stored)
        with _silence_decoders():
            samples = store.write_blocks(task.digest, _read(path, limits, decoder))
        return Decoded(samples, hash_file(path))
    except AudioError as error:
        return error


def _identify(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def decode_excerpt(
    path: Path,
    start_ms: int,
    end_ms: int,
    limits: AudioLimits,
    worker: WorkerLimits,
    decoder: Decoder = decode_blocks,
) -> Int16:
    """Decode a stretch of a file that nobody vouches for, in a worker process as `decode_tracks`.

    Parameters
    ----------
    path : Path
        The file; what follows the stretch is not decoded.
    start_ms, end_ms : int
        The stretch, milliseconds.
    limits, worker : AudioLimits, WorkerLimits
        What the file must satisfy, and what decoding it may cost.
    decoder : Decoder
        Picklable.

    Returns
    -------
    numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz; fewer than asked for where the file ends.

    Raises
    ------
    AudioError
        The file cannot be used, or the stretch lies behind its end or is silent.
    """
    first, last = (ms * SAMPLE_RATE // 1000 for ms in (start_ms, end_ms))
    read = partial(_read_stretch, first=first, last=last, limits=limits, decoder=decoder)
    ((_, outcome),) = map_isolated(read, [path], worker, 1)
    if isinstance(outcome, WorkerFailure):
        raise _explain(outcome, worker)
    if isinstance(outcome, AudioError):
        raise outcome
    return outcome


def _read_stretch(
    path: Path, first: int, last: int, limits: AudioLimits, decoder: Decoder
) -> Int16 | AudioError:
    kept: list[Int16] = [np.empty(0, np.int16)]
    done = 0
    try:
        with _silence_decoders():
            for block in _read(path, limits, decoder):
                kept.append(block[max(0, first - done) : max(0, last - done)])
                done += len(block)
                if done >= last:
                    break
    except AudioError as error:
        return error
    stretch = np.concatenate(kept)
    if not len(stretch):
        end = f"{done / SAMPLE_RATE:.1f} s"
        return AudioError("region_outside", f"The file ends at {end}: choose a region before that.")
    if np.abs(stretch.astype(np.int32)).max() <= limits.silence_peak * INT16_SCALE:
        return AudioError("silent", "The region is silent: choose another one.")
    return stretch


def hash_file(path: Path) -> str:
    """Digest a file's bytes by XXH3, which takes a thirtieth of the time that decoding takes.

    Raises
    ------
    AudioError
        It cannot be read (any more).
    """
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_HASH_BYTES):
                digest.update(block)
    except OSError as error:
        raise AudioError(
            "unreadable", f"Reading stopped ({error.strerror}): check the disk, copy it again."
        ) from error
    return digest.hexdigest()


def _read(path: Path, limits: AudioLimits, decoder: Decoder) -> Iterator[Int16]:
    """Let what a decoder raises cost its track; what the store raises, as on a full disk, does not.

    A worker that is out of memory is the concern of `map_isolated`.
    """
    try:
        yield from decoder(path, limits)
    except (AudioError, MemoryError):
        raise
    except Exception as error:
        why = " ".join(repr(error).split())
        raise AudioError(
            "decoder_failed", f"The decoder failed on it ({why}): export the file again."
        ) from error


@contextmanager
def _silence_decoders() -> Iterator[None]:
    """Keep what C libraries print about a damaged file off the terminal: its reason is recorded."""
    terminal = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _explain(failure: WorkerFailure, limits: WorkerLimits) -> AudioError:
    if failure.cause == "time":
        return AudioError(
            _TIMEOUT,
            f"Not decoded within {limits.seconds:g} s: export the file again.",
        )
    if failure.cause == "memory":
        return AudioError(
            _MEMORY,
            f"Decoding takes over {limits.megabytes} MB: export the file again.",
        )
    return AudioError(
        _CRASHED,
        f"The decoder crashed on it (exit code {failure.exit_code}): export the file again.",
    )
