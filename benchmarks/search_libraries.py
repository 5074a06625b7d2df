"""Approximate search in memory: what one would use without a database.

Each library runs in a process of its own, so that its memory can be told from the others'.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Ask, Timing, time_search

Vectors = NDArray[np.float32]
M, EF_CONSTRUCTION, K = 16, 128, 10


class HnswlibSearch:
    """The reference implementation of HNSW."""

    def __init__(self, vectors: Vectors, queries: Vectors) -> None:
        import hnswlib

        self.queries = queries
        self.index: Any = hnswlib.Index("l2", vectors.shape[1])
        self.index.init_index(len(vectors), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.add_items(vectors)

    def widen(self, breadth: int) -> None:
        """Search that broadly from now on."""
        self.index.set_ef(breadth)

    def client(self) -> Ask:
        """Ask the index itself; it lets go of Python's lock."""
        return lambda i: self.index.knn_query(self.queries[i], K, num_threads=1)[0][0].tolist()

    def save(self, path: Path) -> None:
        """Write the index."""
        self.index.save_index(str(path))


class FaissSearch:
    """FAISS, flat or as HNSW."""

    def __init__(self, vectors: Vectors, queries: Vectors, flat: bool = False) -> None:
        import faiss

        self.faiss, self.queries, self.flat = faiss, queries, flat
        dimension = vectors.shape[1]
        graph = faiss.IndexHNSWFlat(dimension, M)
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        self.index: Any = faiss.IndexFlatL2(dimension) if flat else graph
        self.index.add(vectors)
        faiss.omp_set_num_threads(1)  # a query at a time

    def widen(self, breadth: int) -> None:
        """Search that broadly from now on."""
        if not self.flat:
            self.index.hnsw.efSearch = breadth

    def client(self) -> Ask:
        """Ask the index itself; it lets go of Python's lock."""
        return lambda i: self.index.search(self.queries[i : i + 1], K)[1][0].tolist()

    def save(self, path: Path) -> None:
        """Write the index."""
        self.faiss.write_index(self.index, str(path))


class VoyagerSearch:
    """Voyager, which keeps the graph of hnswlib and adds types and Java."""

    def __init__(self, vectors: Vectors, queries: Vectors) -> None:
        import voyager

        self.queries, self.breadth = queries, K
        self.index: Any = voyager.Index(
            voyager.Space.Euclidean, vectors.shape[1], M=M, ef_construction=EF_CONSTRUCTION
        )
        self.index.add_items(vectors)

    def widen(self, breadth: int) -> None:
        """Search that broadly from now on."""
        self.breadth = breadth

    def client(self) -> Ask:
        """Ask the index itself; it lets go of Python's lock."""
        return lambda i: self.index.query(self.queries[i], K, query_ef=self.breadth)[0].tolist()

    def save(self, path: Path) -> None:
        """Write the index."""
        self.index.save(str(path))


Library = Callable[[Vectors, Vectors], HnswlibSearch | FaissSearch | VoyagerSearch]
LIBRARIES: dict[str, Library] = {
    "hnswlib": HnswlibSearch,
    "FAISS HNSW": FaissSearch,
    "voyager": VoyagerSearch,
    "FAISS flat": partial(FaissSearch, flat=True),
}


@dataclass(frozen=True)
class LibraryResult:
    """What a library took and gave: seconds, bytes of memory and of the saved index."""

    timing: Timing
    build_s: float
    memory: int
    disk: int


def measure_library(name: str, folder: Path, target: float, seconds: float) -> LibraryResult:
    """Build and time a library in a process of its own.

    Parameters
    ----------
    name : str
        Of `LIBRARIES`.
    folder : Path
        Holds ``vectors.npy``, ``queries.npy`` and ``truth.npy``.
    target, seconds : float
        See `benchmarks.timing.time_search`.

    Returns
    -------
    LibraryResult
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, folder, target, seconds).result()


def _measure(name: str, folder: Path, target: float, seconds: float) -> LibraryResult:
    vectors, queries = np.load(folder / "vectors.npy"), np.load(folder / "queries.npy")
    truth = np.load(folder / "truth.npy")
    before, started = _memory(), time.perf_counter()
    search = LIBRARIES[name](vectors, queries)
    build_s = time.perf_counter() - started
    memory = _memory() - before
    timing = time_search(search, truth, target, seconds)
    saved = folder / "saved"
    search.save(saved)
    return LibraryResult(timing, build_s, memory, saved.stat().st_size)


def _memory() -> int:
    """Bytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
