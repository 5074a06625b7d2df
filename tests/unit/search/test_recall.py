"""When an index is good enough."""

import pytest

from search.recall import RecallReport


def make_report(recall: float, missed: int, queries: int = 1000) -> RecallReport:
    return RecallReport(recall, missed, queries, 10, 100, 1.0, 2.0, 400_000)


@pytest.mark.parametrize(
    ("report", "passed"),
    [
        (make_report(0.98, 0), True),
        (make_report(0.979, 0), False),
        (make_report(1.0, 1), False),
        (make_report(1.0, 1, queries=1001), True),
        (make_report(1.0, 1, queries=500), False),
    ],
)
def test_report_asks_for_recall_and_for_no_missed_queries(
    report: RecallReport, passed: bool
) -> None:
    assert report.passed is passed
    remedy = "`soundalike db set ef_search 200`"
    assert (remedy in report.verdict) is not passed


def test_verdict_asks_for_another_graph_once_the_search_is_as_broad_as_can_be() -> None:
    report = RecallReport(0.9, 0, 1000, 10, 1000, 1.0, 2.0, 400_000, 7, 0)
    assert "Raise hnsw_ef_construction" in report.verdict
    assert "hnsw_m (24)" in report.verdict
    assert "`soundalike models reindex 7`" in report.verdict
    assert "set ef_search" not in report.verdict


@pytest.mark.parametrize(
    ("recall", "deleted", "reindex"),
    [(1.0, 0, False), (1.0, 99, False), (1.0, 100, True), (0.97, 1, True), (0.97, 0, False)],
)
def test_report_says_when_to_build_anew(recall: float, deleted: int, reindex: bool) -> None:
    report = RecallReport(
        recall=recall, missed=0, queries=1000, k=10, ef_search=400, p50_ms=1, p95_ms=2,
        rows=900, version=7, deleted=deleted,
    )  # fmt: skip
    assert report.needs_reindex is reindex
    assert ("models reindex 7" in report.verdict) is reindex
