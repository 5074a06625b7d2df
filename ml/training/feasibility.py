"""Whether a training can be begun at all, asked before anything is computed."""

from collections.abc import Iterable
from itertools import combinations

from ml.collection import Collection
from ml.errors import TrainingError
from ml.training.hardware import Hardware
from ml.training.minibatches import MinibatchSettings
from ml.training.settings import TrainingSettings
from ml.triplets import TERMS, Term


def require_triplets(training: Collection, settings: TrainingSettings) -> None:
    """Refuse a training in which a term that has a weight can never have a triplet.

    Parameters
    ----------
    training : Collection
        Clips of the training tracks.
    settings : TrainingSettings
        Of the run.

    Raises
    ------
    TrainingError
        Names the first such term, why, and how to go on.
    """
    for term in TERMS:
        if settings.triplets.weights[term] == 0:
            continue
        lacking = find_obstacle(term, training, settings.minibatch)
        if lacking:
            raise TrainingError(
                f"The term `{term}` of the objective can never have a triplet: {lacking}, or set "
                f"its weight `triplets.{term}` to 0 (run configuration: `without: [{term}]`)."
            )


def require_shares(training: Collection, settings: TrainingSettings, hardware: Hardware) -> None:
    """Refuse a minibatch whose crops cannot be dealt out evenly to the devices.

    Raises
    ------
    TrainingError
        Says which numbers would do.
    """
    tracks = min(settings.minibatch.tracks, len(training.tracks))
    crops = tracks * settings.minibatch.crops
    if crops % hardware.devices:
        raise TrainingError(
            f"{crops} crops ({tracks} tracks x {settings.minibatch.crops}) cannot be shared by "
            f"{hardware.devices} devices: change `tracks_per_minibatch`, `crops_per_track` or "
            "`devices`."
        )


def find_obstacle(term: Term, training: Collection, minibatch: MinibatchSettings) -> str:
    """Say what tracks or minibatches lack for one term, and what to do; nothing if they will do.

    Parameters
    ----------
    term : str
        Of the objective.
    training : Collection
        Clips of the training tracks.
    minibatch : MinibatchSettings
        Composition of the minibatches.

    Returns
    -------
    str
        Half a sentence, or empty.
    """
    tracks = training.tracks
    if len(tracks) < 2:
        return f"there are {len(tracks)} training tracks; add tracks"
    if minibatch.tracks < 2:
        return "minibatches hold a single track; set `tracks_per_minibatch` to 2 or more"
    if term == "track" and minibatch.crops < 2:
        return "minibatches hold one crop of each track; set `crops_per_track` to 2"
    if term in ("genre", "mood"):
        labels = tracks[f"{term}s"].to_list()
        if not any(len(values) for values in labels):
            return f"no training track has a {term}; label some"
        if not has_strangers(labels):
            return f"no two training tracks differ wholly in {term}; label more of them"
    if term == "genre" and minibatch.tracks <= min(minibatch.genre_group, len(tracks) - 1):
        return (
            f"minibatches hold {minibatch.tracks} tracks, which are drawn as one group of a genre; "
            f"set `tracks_per_minibatch` to {minibatch.genre_group + 1} or more"
        )
    return ""


def has_strangers(labels: Iterable[Iterable[str]]) -> bool:
    """Tell whether two labelled tracks share no label.

    Parameters
    ----------
    labels : iterable of iterable of str
        Of each track, possibly none.

    Examples
    --------
    >>> has_strangers([["a"], ["a", "b"], []]), has_strangers([["a"], ["b"]])
    (False, True)
    """
    # A catalogue has few combinations of labels, however many tracks.
    kinds = {frozenset(values) for values in labels} - {frozenset()}
    return any(one.isdisjoint(other) for one, other in combinations(kinds, 2))
