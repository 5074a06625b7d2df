"""What a study says of ratings whose answer is known."""

import krippendorff
import numpy as np
import pandas as pd
import pytest

from search.study.drawing import level_gains
from search.study.report import report_study
from search.study.triplets import export_triplets


def rate(
    rater: str,
    query: str,
    track: str,
    rating: float,
    systems: tuple[str, ...] = (),
    planted: str | None = None,
) -> dict[str, object]:
    return {
        "query_id": f"{rater} {query}",
        "rater": rater,
        "query_track_id": query,
        "query_start_ms": 0,
        "query_end_ms": 10_000,
        "track_id": track,
        "start_ms": 0,
        "systems": list(systems),
        "planted": planted,
        "rating": rating,
    }


def make_results(seed: int = 0) -> pd.DataFrame:
    """Let production be three points better than random; the last rater rates everything alike."""
    rng = np.random.default_rng(seed)
    rows = []
    for rater in ("ann", "bob", "eve"):
        for query in ("q1", "q2"):
            for number in range(4):
                noise = rng.normal(0, 0.3)
                good, bad = (5.0, 5.0) if rater == "eve" else (7 + noise, 4 + noise)
                rows.append(rate(rater, query, f"{query}p{number}", good, ("production",)))
                rows.append(rate(rater, query, f"{query}r{number}", bad, ("random",)))
            itself, by_chance = (5, 5) if rater == "eve" else (10, 2)
            rows.append(rate(rater, query, query, itself, planted="query"))
            rows.append(rate(rater, query, "x", by_chance, planted="random"))
    return pd.DataFrame(rows)


def test_report_finds_what_was_put_in() -> None:
    results = make_results()
    careful = results[results["rater"] != "eve"]
    report = report_study(careful)
    scores = {row["system"]: row for row in report["systems"]}
    assert scores["production"]["mos"] == pytest.approx(7, abs=0.3)
    assert scores["production"]["n"] == 16
    assert scores["production"]["low"] < scores["production"]["mos"] < scores["production"]["high"]
    (paired,) = report["paired"]
    assert paired["difference"] == pytest.approx(3)
    assert paired["low"] == pytest.approx(3)
    assert report["agreement"]["krippendorff_alpha"] > 0.8


def test_rater_who_did_not_listen_is_flagged() -> None:
    flagged = {row["rater"]: row["careless"] for row in report_study(make_results())["raters"]}
    assert flagged == {"ann": False, "bob": False, "eve": True}


def test_planted_items_count_for_no_system() -> None:
    results = make_results()
    without = results[results["planted"].isna()]
    assert report_study(results)["systems"] == report_study(without)["systems"]


def test_item_of_two_systems_counts_for_both() -> None:
    rows = [
        rate("ann", "q", "t", 6, ("production", "random")),
        rate("ann", "q", "u", 2, ("random",)),
    ]
    found = report_study(pd.DataFrame(rows))
    assert {row["system"]: row["mos"] for row in found["systems"]} == {"production": 6, "random": 4}
    # One rater's one query tells nothing of what others would say.
    assert {row["low"] for row in (*found["systems"], *found["paired"])} == {None}


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = [
            rate(f"r{i}", f"q{j}", f"t{n}", 5 + rater + rng.normal(), ("production",))
            for i, rater in enumerate(rng.normal(0, 1, 12))
            for j in range(3)
            for n in range(4)
        ]
        (score,) = report_study(pd.DataFrame(rows))["systems"]
        hits += score["low"] <= 5 <= score["high"]
    assert hits >= 32  # 38 expected; few clusters make bootstrap intervals a little short


def test_query_of_several_raters_is_one_in_the_interval() -> None:
    """Twenty raters share two queries, one good and one bad: nobody knows what a third would be."""
    rows = [
        rate(f"r{i}", query, "t", rating, ("production",))
        for i in range(20)
        for query, rating in (("good", 9.0), ("bad", 1.0))
    ]
    shared = pd.DataFrame(rows)
    (score,) = report_study(shared)["systems"]
    assert (score["low"], score["mos"], score["high"]) == (1, 5, 9)
    uploaded = shared.assign(query_track_id=None)  # files of their own: forty queries
    (score,) = report_study(uploaded)["systems"]
    assert score["high"] - score["low"] < 5


def test_no_ratings_give_an_empty_report() -> None:
    empty = make_results().iloc[:0]
    report = report_study(empty)
    assert report["systems"] == []
    assert report["agreement"] == {"krippendorff_alpha": None, "units": 0}


def test_agreement_is_the_librarys_over_shared_items() -> None:
    results = make_results()
    table = results.pivot_table("rating", "rater", ["query_track_id", "track_id"])
    expected = krippendorff.alpha(table.to_numpy(), level_of_measurement="interval")
    assert report_study(results)["agreement"]["krippendorff_alpha"] == pytest.approx(expected)


def test_triplets_are_the_clear_judgements() -> None:
    rows = [
        rate("ann", "q", "good", 8, ("production",)),
        rate("ann", "q", "close", 7, ("random",)),
        rate("ann", "q", "bad", 3, planted="random"),
        rate("ann", "q", "q", 10, planted="query"),
    ]
    found = export_triplets(pd.DataFrame(rows))
    pairs = set(zip(found["p_track_id"], found["n_track_id"], strict=True))
    assert pairs == {("good", "bad"), ("close", "bad")}
    assert set(found["a_track_id"]) == {"q"}


def test_levels_only_soften() -> None:
    gains = level_gains([-10.0, -14.0, None, -12.0])
    assert gains == [-4.0, 0.0, 0.0, -2.0]
    assert level_gains([]) == []
