"""The objective against a naive triple loop and pytorch-metric-learning."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor

from ml.triplets import (
    PRESETS,
    TERMS,
    Labels,
    Mining,
    Term,
    TripletSettings,
    squared_distances,
    triplet_loss,
)

RULES: tuple[Mining, ...] = ("semihard", "hard", "all")


def batch(seed: int = 0, tracks: int = 6) -> tuple[Tensor, Labels]:
    """Two clips of each track in two versions; the last track has neither genre nor mood."""
    generator = torch.Generator().manual_seed(seed)
    track = torch.arange(tracks).repeat_interleave(4)
    genres = torch.rand(tracks, 4, generator=generator) < 0.4
    moods = torch.rand(tracks, 4, generator=generator) < 0.4
    genres[-1] = moods[-1] = False
    rows = torch.randn(len(track), 3, generator=generator, dtype=torch.float64)
    source = torch.arange(2 * tracks).repeat_interleave(2)
    labels = Labels(source, track, genres[track], moods[track])
    return torch.nn.functional.normalize(rows, dim=1), labels


def is_positive(term: Term, labels: Labels, a: int, b: int) -> bool:
    if term == "transformed":
        return a != b and bool(labels.source[a] == labels.source[b])
    if term == "track":
        same_track = bool(labels.track[a] == labels.track[b])
        return same_track and bool(labels.source[a] != labels.source[b])
    values = labels.genres if term == "genre" else labels.moods
    return a != b and bool((values[a] & values[b]).any())


def is_negative(term: Term, labels: Labels, a: int, b: int) -> bool:
    if term in ("transformed", "track"):
        return bool(labels.track[a] != labels.track[b])
    values = labels.genres if term == "genre" else labels.moods
    return bool(values[a].any() and values[b].any() and not (values[a] & values[b]).any())


def loop_over_triples(
    embeddings: Tensor, labels: Labels, term: Term, mining: Mining, margin: float
) -> list[float]:
    """Cost of each picked triplet, by the definition."""
    distance = torch.cdist(embeddings, embeddings).square().tolist()
    costs: list[float] = []
    clips = range(len(labels))
    for a, p in product(clips, clips):
        if not is_positive(term, labels, a, p):
            continue
        negatives = [distance[a][n] for n in clips if is_negative(term, labels, a, n)]
        violating = [d for d in negatives if d < distance[a][p] + margin]
        if mining == "semihard":
            violating = [d for d in violating if d > distance[a][p]]
        chosen = violating if mining == "all" else sorted(violating)[:1]
        costs += [distance[a][p] - d + margin for d in chosen]
    return costs


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("mining", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_each_term_equals_a_naive_triple_loop(term: Term, mining: Mining, seed: int) -> None:
    embeddings, labels = batch(seed)
    expected = loop_over_triples(embeddings, labels, term, mining, margin=0.5)
    result = triplet_loss(embeddings, labels, TripletSettings(mining=mining, margin=0.5))
    actual = result.terms[term]
    assert int(actual.triplets) == len(expected) > 0
    assert float(actual.loss) == pytest.approx(sum(expected) / len(expected), rel=1e-9)


def test_total_is_the_weighted_sum_of_the_terms() -> None:
    embeddings, labels = batch()
    result = triplet_loss(embeddings, labels, PRESETS["paper"])
    weights = (1.0, 0.5, 0.1, 0.1)
    losses = (float(result.terms[term].loss) for term in TERMS)
    expected = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
    assert float(result.total) == pytest.approx(expected)


def nearest_negative_of_each_pair(triplets: tuple[Tensor, ...], distance: Tensor) -> list[Tensor]:
    best: dict[tuple[int, int], int] = {}
    for a, p, n in torch.stack(triplets, dim=1).tolist():
        if (a, p) not in best or distance[a, n] < distance[a, best[a, p]]:
            best[a, p] = n
    return list(torch.tensor([[a, p, n] for (a, p), n in best.items()]).unbind(1))


@pytest.mark.parametrize(
    ("mining", "theirs"), [("semihard", "semihard"), ("hard", "all"), ("all", "all")]
)
def test_track_term_equals_pytorch_metric_learning(mining: Mining, theirs: str) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(60, 16, generator=generator, dtype=torch.float64)
    embeddings = torch.nn.functional.normalize(rows, dim=1).requires_grad_()
    track = torch.randint(12, (60,), generator=generator)
    nothing = torch.zeros(60, 1, dtype=torch.bool)
    labels = Labels(torch.arange(60), track, nothing, nothing)
    squared = LpDistance(power=2)

    miner = TripletMarginMiner(margin=0.3, type_of_triplets=theirs, distance=squared)
    triplets = miner(embeddings, track)
    if mining != "all":
        triplets = nearest_negative_of_each_pair(triplets, squared_distances(embeddings).detach())
    reference = TripletMarginLoss(margin=0.3, distance=squared)
    expected = reference(embeddings, track, tuple(triplets))
    chosen = TripletSettings(transformed=0, track=1, genre=0, mood=0, margin=0.3, mining=mining)
    actual = triplet_loss(embeddings, labels, chosen)

    assert int(actual.terms["track"].triplets) == len(triplets[0])
    torch.testing.assert_close(actual.total, expected)
    (gradient,) = torch.autograd.grad(actual.total, embeddings)
    (reference_gradient,) = torch.autograd.grad(expected, embeddings)
    # Theirs also projects on the sphere, because the distance normalises: compare the tangents.
    radial = (gradient * embeddings).sum(1, keepdim=True) * embeddings
    torch.testing.assert_close(gradient - radial, reference_gradient)


@pytest.mark.parametrize("mining", RULES)
def test_gradient_equals_finite_differences(mining: Mining) -> None:
    embeddings, labels = batch(seed=2, tracks=4)
    chosen = TripletSettings(mining=mining)
    assert torch.autograd.gradcheck(
        lambda rows: triplet_loss(rows, labels, chosen).total, embeddings.requires_grad_()
    )


@given(seed=st.integers(0, 10_000), mining=st.sampled_from(RULES))
@settings(max_examples=30)
def test_order_of_the_clips_does_not_matter(seed: int, mining: Mining) -> None:
    embeddings, labels = batch(seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = Labels(
        labels.source[order], labels.track[order], labels.genres[order], labels.moods[order]
    )
    chosen = TripletSettings(mining=mining)
    before = triplet_loss(embeddings, labels, chosen)
    after = triplet_loss(embeddings[order], shuffled, chosen)
    torch.testing.assert_close(before.total, after.total)
    for term in TERMS:
        assert before.terms[term].triplets == after.terms[term].triplets
        assert before.terms[term].pairs == after.terms[term].pairs


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_semihard_costs_lie_between_zero_and_the_margin(seed: int) -> None:
    embeddings, labels = batch(seed)
    for term in triplet_loss(embeddings, labels).terms.values():
        assert 0 <= term.loss <= 0.2
        assert term.triplets <= term.pairs


def test_clips_without_a_label_do_not_change_genre_and_mood() -> None:
    embeddings, labels = batch()
    labelled = slice(0, len(labels) - 4)
    fewer = Labels(
        labels.source[labelled],
        labels.track[labelled],
        labels.genres[labelled],
        labels.moods[labelled],
    )
    with_all = triplet_loss(embeddings, labels).terms
    without = triplet_loss(embeddings[labelled], fewer).terms
    for term in TERMS[2:]:
        torch.testing.assert_close(with_all[term].loss, without[term].loss)
        assert with_all[term].pairs == without[term].pairs


def test_no_triplet_costs_nothing_and_still_has_a_gradient() -> None:
    embeddings, labels = batch(tracks=1)
    result = triplet_loss(embeddings.requires_grad_(), labels)
    (gradient,) = torch.autograd.grad(result.total, embeddings)
    assert result.total == 0
    assert not gradient.any()
    assert all(term.triplets == 0 and term.pairs == 0 for term in result.terms.values())


def test_nan_is_not_hidden() -> None:
    embeddings, labels = batch()
    embeddings[3] = float("nan")
    assert triplet_loss(embeddings, labels).total.isnan()


def test_a_term_of_weight_zero_is_left_out() -> None:
    embeddings, labels = batch()
    assert set(triplet_loss(embeddings, labels, TripletSettings(mood=0)).terms) == set(TERMS) - {
        "mood"
    }


def test_half_precision_loses_nothing_but_the_input_rounding() -> None:
    embeddings, labels = batch()
    rounded = embeddings.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = triplet_loss(rounded, labels).total
    expected = triplet_loss(rounded.double(), labels).total
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5)


def test_default_preset_weighs_genre_and_mood_more_than_the_paper() -> None:
    assert list(PRESETS["paper"].weights.values()) == [1.0, 0.5, 0.1, 0.1]
    assert list(PRESETS["default"].weights.values()) == [1.0, 0.5, 1.0, 0.3]


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"genre": -1.0}, {"mining": "easy"}])
def test_settings_refuse_what_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|may be"):
        TripletSettings(**wrong)  # type: ignore[arg-type]


def test_triplet_loss_refuses_labels_of_another_batch() -> None:
    embeddings, labels = batch()
    with pytest.raises(ValueError, match="embeddings must be"):
        triplet_loss(embeddings[1:], labels)
