"""What a training reports of each epoch, and what follows from it: to go on, to end, to fail."""

from collections.abc import Callable, Hashable, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from ml.errors import TrainingError
from ml.training.settings import TrainingSettings

MONITOR = "validation/map"
"""What a model is selected by."""

Metrics = dict[str, float]
Report = Callable[[Mapping[str, float], int], None]


def summarise(sums: Mapping[str, float], steps: int, seconds: float) -> Metrics:
    """Take the mean per step of what an epoch added up, the share of active pairs, and the rate.

    Parameters
    ----------
    sums : mapping
        Losses, triplets and pairs by term, and clips.
    steps : int
        In the epoch.
    seconds : float
        That they took.

    Returns
    -------
    dict
        ``active/<term>`` is picked triplets per pair of anchor and positive; where at most one is
        picked (semi-hard and hard mining), the share of pairs that still violate the margin.

    Raises
    ------
    TrainingError
        A term had no pair of anchor and positive with a negative in the whole epoch.
    """
    terms = [name.removeprefix("pairs/") for name in sums if name.startswith("pairs/")]
    if idle := [term for term in terms if not sums[f"pairs/{term}"]]:
        raise TrainingError(
            f"No minibatch of a whole epoch had a triplet for {', '.join(idle)}: raise "
            "`tracks_per_minibatch`, label more tracks, or switch the term off "
            f"(run configuration: `without: [{', '.join(idle)}]`)."
        )
    means = {name: value / steps for name, value in sums.items() if name != "clips"}
    active = {
        f"active/{term}": sums[f"triplets/{term}"] / max(1.0, sums[f"pairs/{term}"])
        for term in terms
    }
    return {**means, **active, "clips_per_second": sums["clips"] / seconds}


def is_over(history: Sequence[Mapping[str, float]], settings: TrainingSettings) -> bool:
    """Tell whether all epochs are done, or no more can be learned: for one of two reasons.

    Too many epochs in a row brought no better model, or the last one found no triplet.

    Parameters
    ----------
    history : sequence of mapping
        Metrics of the epochs so far.
    settings : TrainingSettings
        Of the run.
    """
    maps = [metrics[MONITOR] for metrics in history]
    if not maps:
        return False
    since_best = len(maps) - 1 - maps.index(max(maps))
    waited = since_best >= settings.patience
    return len(maps) >= settings.epochs or waited or is_satisfied(history[-1])


def is_satisfied(metrics: Mapping[str, float]) -> bool:
    """Tell whether an epoch found no triplet in any term: the loss was zero throughout."""
    return not any(value for name, value in metrics.items() if name.startswith("triplets/"))


def require_lesson(history: Sequence[Mapping[str, float]]) -> None:
    """Refuse a training whose first epoch found no triplet: its weights are those it began with.

    Parameters
    ----------
    history : sequence of mapping
        Metrics of the epochs so far.

    Raises
    ------
    TrainingError
        Nothing was learned.
    """
    if len(history) == 1 and is_satisfied(history[0]):
        raise TrainingError(
            "No triplet violated the margin in the first epoch, so nothing was learned: raise the "
            "margin, or lower the learning rate if the model has collapsed."
        )


def tabulate_history(history: pd.DataFrame) -> pd.DataFrame:
    """Order what a run reported for people: epochs from 1, and first what it is judged by.

    Parameters
    ----------
    history : pandas.DataFrame
        A row per epoch from 0; what was measured after the training is left out.

    Returns
    -------
    pandas.DataFrame
    """
    reported = [name for name in map(str, history) if name.count("/") < 2 and "test" not in name]
    first = ("validation/", "loss", "active/", "learning_rate", "clips_per_second")
    rank = {prefix: number for number, prefix in enumerate(first)}

    def place(column: Hashable) -> tuple[int, bool, str]:
        name = str(column)
        places = [number for prefix, number in rank.items() if name.startswith(prefix)]
        return min(places, default=len(rank)), name != MONITOR, name

    table = history[sorted(reported, key=place)]
    return table.set_axis(table.index + 1).rename_axis("epoch").reset_index()


def find_best(history: pd.DataFrame) -> dict[str, float]:
    """Tell which epoch was kept, from 1, and its mean validation mAP."""
    maps = history[MONITOR].to_numpy()
    best = int(maps.argmax())
    return {"best_epoch": best + 1, "validation_map": round(float(maps[best]), 4)}


def plot_history(history: pd.DataFrame) -> Figure:
    """Draw how a run went: the loss terms, and validation mAP, by epoch.

    Parameters
    ----------
    history : pandas.DataFrame
        A row per epoch; columns named as `train_convnet` reports them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = tabulate_history(history)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, prefix, label in (
        (left, "loss/", "loss"),
        (right, "validation/", "mAP of validation tracks"),
    ):
        for name in (column for column in map(str, table) if column.startswith(prefix)):
            axes.plot(table["epoch"], table[name], marker=".", label=name.removeprefix(prefix))
        axes.set(xlabel="epoch", ylabel=label)
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
        axes.spines[["top", "right"]].set_visible(False)
    return figure
