"""The objective: four weighted triplet terms with online mining (paper, section 2.3).

Three roles are kept apart. The *masks* of a term say which clips of the batch are positives and
which are negatives of each anchor; the *miner* picks triplets among them; the *loss* sums the
hinges of the picked triplets and the *reducer* averages them within their term.

A triplet (a, p, n) costs ``max(0, d(a, p) - d(a, n) + margin)`` where d is the **squared**
Euclidean distance, as in FaceNet (https://arxiv.org/abs/1503.03832), from which the margin of 0.2
comes: it ranks as the paper's Euclidean distance does and its gradient is finite at zero. Only
triplets that violate the margin are picked, so every hinge is positive and the sum over them is
linear in the distances: it is enough to count how often each pair occurs, in memory of B x B.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor

Term = Literal["transformed", "track", "genre", "mood"]
Mining = Literal["semihard", "hard", "all"]
TERMS: tuple[Term, ...] = get_args(Term)


@dataclass(frozen=True)
class TripletSettings:
    """Weights of the terms, margin and mining rule.

    Parameters
    ----------
    transformed, track, genre, mood : float
        Weight of each term; a term of weight 0 is not computed.
    margin : float
        By how much a negative must be farther than a positive, as a squared distance.
    mining : {"semihard", "hard", "all"}
        What is picked for each pair of anchor and positive, among the negatives nearer than the
        positive plus the margin: the nearest that is farther than the positive, the nearest of
        all, or every one.
    """

    transformed: float = 1.0
    track: float = 0.5
    genre: float = 1.0
    mood: float = 0.3
    margin: float = 0.2
    mining: Mining = "semihard"

    def __post_init__(self) -> None:
        if min(self.weights.values()) < 0 or max(self.weights.values()) == 0:
            raise ValueError("no weight may be below zero, and one must be above")
        if self.margin <= 0:
            raise ValueError(f"margin must be above zero, not {self.margin}")
        if self.mining not in get_args(Mining):
            raise ValueError(f"mining must be one of {get_args(Mining)}, not {self.mining!r}")

    @property
    def weights(self) -> dict[Term, float]:
        """Weight of each term by its name."""
        return {
            "transformed": self.transformed,
            "track": self.track,
            "genre": self.genre,
            "mood": self.mood,
        }


PRESETS: Mapping[str, TripletSettings] = MappingProxyType(
    {"paper": TripletSettings(genre=0.1, mood=0.1), "default": TripletSettings()}
)


@dataclass(frozen=True)
class Labels:
    """What is known of each clip of a batch.

    Parameters
    ----------
    source : Tensor
        Shape (B,), integer: a clip and its transformed version share it.
    track : Tensor
        Shape (B,), integer.
    genres, moods : Tensor
        Shapes (B, G) and (B, M), bool, several or none set for each clip.
    """

    source: Tensor
    track: Tensor
    genres: Tensor
    moods: Tensor

    def __post_init__(self) -> None:
        lengths = {len(labels) for labels in (self.source, self.track, self.genres, self.moods)}
        if len(lengths) != 1:
            raise ValueError(f"labels must be of one length, not {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class TermLoss:
    """One term: its mean over its own triplets, and how many there were.

    Parameters
    ----------
    loss : Tensor
        Scalar, unweighted; zero if no triplet was picked.
    triplets : Tensor
        Scalar integer: picked triplets, each of which violates the margin.
    pairs : Tensor
        Scalar integer: pairs of anchor and positive for which a negative exists. None means that
        the batch cannot teach this term anything.
    """

    loss: Tensor
    triplets: Tensor
    pairs: Tensor


@dataclass(frozen=True)
class TripletLoss:
    """Weighted sum of the terms (a scalar) and the terms by name."""

    total: Tensor
    terms: dict[Term, TermLoss]


def squared_distances(embeddings: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of (B, D): (B, B), zero or above."""
    # Half precision cannot tell close neighbours apart.
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
        norms = rows.square().sum(1)
        return (norms[:, None] + norms - 2 * rows @ rows.T).clamp(min=0)


def term_masks(term: Term, labels: Labels) -> tuple[Tensor, Tensor]:
    """Positives and negatives of each anchor in one term.

    transformed
        Positive: the other version of the same clip. Negative: clips of other tracks.
    track
        Positive: other clips of the same track in either version, without the anchor's own twin,
        which the first term has. Negative: clips of other tracks.
    genre, mood
        Positive: every other clip that shares a value. Negative: every clip that has values and
        shares none. A clip without a value is neither, and no anchor.

    Returns
    -------
    tuple of Tensor
        Two bool masks of shape (B, B): anchors by positives, anchors by negatives.
    """
    twins = labels.source[:, None] == labels.source
    if term in ("transformed", "track"):
        same_track = labels.track[:, None] == labels.track
        itself = torch.eye(len(labels), dtype=torch.bool, device=twins.device)
        positive = twins & ~itself if term == "transformed" else same_track & ~twins
        return positive, ~same_track
    values = (labels.genres if term == "genre" else labels.moods).bool()
    hot = values.float()
    shares = (hot @ hot.T) > 0
    labelled = values.any(1)
    negative = ~shares & labelled & labelled[:, None]
    return shares.fill_diagonal_(fill_value=False), negative


@torch.no_grad()
def mine(
    distance: Tensor, positive: Tensor, negative: Tensor, margin: float, mining: Mining
) -> tuple[Tensor, Tensor]:
    """Pick the triplets of one term.

    The negatives of an anchor are sorted by distance; for each positive a rule picks a range of
    their ranks. Ranges are counted by differences, so no triple is ever written out.

    Parameters
    ----------
    distance : Tensor
        Shape (B, B).
    positive, negative : Tensor
        Shape (B, B), bool; anchors are rows.
    margin : float
        In the unit of `distance`.
    mining : {"semihard", "hard", "all"}
        See `TripletSettings`.

    Returns
    -------
    tuple of Tensor
        Two integer counts of shape (B, B): in how many picked triplets (row) the anchor has
        (column) as positive, and as negative.
    """
    farness, order = distance.masked_fill(~negative, torch.inf).sort(1)
    farther = torch.searchsorted(farness, distance, right=True)
    within = torch.searchsorted(farness, distance + margin)
    first = farther if mining == "semihard" else torch.zeros_like(farther)
    last = within if mining == "all" else torch.minimum(first + 1, within)
    count = ((last - first).clamp(min=0)) * positive
    steps = count.new_zeros(len(distance), len(distance) + 1)
    picked = (count > 0).to(count.dtype)
    steps.scatter_add_(1, first, picked).scatter_add_(1, last, -picked)
    by_rank = steps.cumsum(1)[:, :-1]
    return count, torch.zeros_like(count).scatter_(1, order, by_rank)


def sum_hinges(distance: Tensor, pull: Tensor, push: Tensor, margin: float) -> Tensor:
    """Sum of ``d(a, p) - d(a, n) + margin`` over each anchor's picked triplets: (B,)."""
    return ((pull - push) * distance).sum(1) + margin * pull.sum(1)


def average(sums: Tensor, triplets: Tensor) -> Tensor:
    """Mean over all triplets of a term; zero, still with a gradient, if there are none."""
    return sums.sum() / triplets.clamp(min=1)


def triplet_loss(
    embeddings: Tensor, labels: Labels, settings: TripletSettings | None = None
) -> TripletLoss:
    """Weighted sum of the four terms, each averaged over its own picked triplets.

    Parameters
    ----------
    embeddings : Tensor
        Shape (B, D), floating point, rows of unit norm.
    labels : Labels
        Of the same B clips.
    settings : TripletSettings, optional
        The preset ``default`` if left out.

    Returns
    -------
    TripletLoss
        The total to be minimised, and the terms for the log.

    Raises
    ------
    ValueError
        If embeddings and labels do not belong together.
    """
    settings = settings or TripletSettings()
    if embeddings.ndim != 2 or len(embeddings) != len(labels):
        raise ValueError(
            f"embeddings must be ({len(labels)}, dimensions) for {len(labels)} labels, "
            f"not {tuple(embeddings.shape)}"
        )
    distance = squared_distances(embeddings)
    terms: dict[Term, TermLoss] = {}
    for term in TERMS:
        if settings.weights[term] > 0:
            terms[term] = _term_loss(distance, *term_masks(term, labels), settings)
    weighted = [settings.weights[term] * terms[term].loss for term in terms]
    return TripletLoss(torch.stack(weighted).sum(), terms)


def _term_loss(
    distance: Tensor, positive: Tensor, negative: Tensor, settings: TripletSettings
) -> TermLoss:
    pull, push = mine(distance, positive, negative, settings.margin, settings.mining)
    triplets = pull.sum()
    loss = average(sum_hinges(distance, pull, push, settings.margin), triplets)
    return TermLoss(loss, triplets, (positive & negative.any(1, keepdim=True)).sum())
