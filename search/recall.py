"""What was measured of an index, and the verdict on it.

On clustered data an approximate index fails by whole queries: the mean recall may look well while
some queries find nothing right. So both are measured, and both must be good.
"""

from dataclasses import dataclass

from search.tuning import PARAMETERS

MINIMUM_RECALL = 0.98
REINDEX_SHARE = 0.1  # of deleted rows, from which on the index is worth building anew


@dataclass(frozen=True)
class RecallReport:
    """Recall of a version's index over a sample of its own segments.

    Parameters
    ----------
    recall : float
        Mean share of the `k` true nearest segments that the index found, 0 to 1.
    missed : int
        Queries of which it found none.
    queries : int
        Size of the sample.
    k : int
        Neighbours asked for.
    ef_search : int
        The search's breadth, ``hnsw.ef_search``: what the SQL function `search_breadth` gives for
        `k` tracks, as in every search.
    p50_ms, p95_ms : float
        Time of an indexed query, as the client sees it, milliseconds.
    rows : int
        Segments in the version.
    version : int
        The version.
    deleted : int
        Rows deleted since its index was built.
    loaded_at : str
        When what was measured was loaded, as Postgres writes it.
    """

    recall: float
    missed: int
    queries: int
    k: int
    ef_search: int
    p50_ms: float
    p95_ms: float
    rows: int
    version: int = 0
    deleted: int = 0
    loaded_at: str = ""

    @property
    def passed(self) -> bool:
        """Whether the version may serve."""
        return self.recall >= MINIMUM_RECALL and self.missed * 1000 < self.queries

    @property
    def needs_reindex(self) -> bool:
        """Whether to build the index anew: a tenth is deleted, or deletions may be to blame."""
        worn = self.deleted >= REINDEX_SHARE * (self.rows + self.deleted)
        return self.deleted > 0 and (worn or not self.passed)

    @property
    def verdict(self) -> str:
        """How good the index is; where it falls short, what to do."""
        found = (
            f"recall@{self.k} is {self.recall:.4f} and {self.missed} of {self.queries} queries "
            f"are wholly missed, with ef_search = {self.ef_search}"
        )
        advice = (
            f" {self.deleted:,} rows were deleted since it was built: build it anew "
            f"(`soundalike models reindex {self.version}`)."
            if self.needs_reindex
            else ""
        )
        if self.passed:
            return f"The index is good: {found}.{advice}"
        if advice:
            return f"The index is not good enough any more: {found}.{advice}"
        return (
            f"The index is not good enough: {found}; needed are {MINIMUM_RECALL} and less than "
            f"one in 1000. {self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        broadest = PARAMETERS["ef_search"].largest
        if self.ef_search < broadest:
            wider = min(broadest, 2 * self.ef_search)
            return (
                f"Search more broadly (`soundalike db set ef_search {wider}`) and measure again: "
                "run the step once more."
            )
        care, links = (PARAMETERS[name].usual for name in ("hnsw_ef_construction", "hnsw_m"))
        return (
            f"Raise hnsw_ef_construction ({care} unless set) and hnsw_m ({links}) by "
            "`soundalike db set`, and build the index anew "
            f"(`soundalike models reindex {self.version}`)."
        )
