"""The timbre of a clip: its mean spectrum, along the directions by which recordings differ.

Linear discriminant analysis (Fisher 1936; Rao 1948) of the mean log mel spectrum. Its classes are
tracks, with their transformed crops among their members: the directions are long where tracks
differ and short where crops of one track do, and where the effects move a crop. It is fitted in
closed form, in seconds, and knows a recording again better than a network does that has learned
for minutes; the network is left to learn what a mean spectrum cannot say.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

RIDGE = 0.1
"""Added to the variance of every band within tracks, as a share of the mean over bands: few crops
say little of the directions in which they vary least."""


class Timbre(nn.Module):
    """Mean log mel spectrum in discriminant coordinates, scaled to norm 1.

    Zero until it is fitted or loaded; nothing in it is trained.

    Parameters
    ----------
    bands : int
        Of the spectrogram.
    dimensions : int
        Of the coordinates, at most as many.

    Shape
    -----
    Input (B, bands, frames) log mel spectrograms, output (B, dimensions).

    Raises
    ------
    ValueError
        More dimensions are asked for than there are bands.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, bands: int, dimensions: int) -> None:
        super().__init__()
        if not 0 < dimensions <= bands:
            raise ValueError(f"choose from 1 to {bands} dimensions of timbre, not {dimensions}")
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("axes", torch.zeros(bands, dimensions))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Coordinates of a batch."""
        # Half precision would lose what the short directions say.
        with torch.autocast(log_mel.device.type, enabled=False):
            centred = log_mel.float().mean(2) - self.mean
            return functional.normalize(centred @ self.axes, dim=1)


def fit_timbre(spectra: Tensor, tracks: Tensor, dimensions: int) -> dict[str, Tensor]:
    """Find the directions in which tracks differ most beside what differs within them.

    Parameters
    ----------
    spectra : Tensor
        ``[N, bands]``, mean log mel spectra of crops, plain and transformed.
    tracks : Tensor
        ``[N]`` integer, the track of each.
    dimensions : int
        How many directions.

    Returns
    -------
    dict of Tensor
        State of a `Timbre`: the mean, and axes along which the variance within tracks is one,
        shortened by how much of the variance is of tracks.

    Raises
    ------
    ValueError
        No track has two crops, or there is one track only.
    """
    _, place = torch.unique(tracks, return_inverse=True)
    counts = place.bincount()
    if len(counts) < 2 or len(counts) == len(place):
        raise ValueError("timbre needs several tracks, and several crops of them")
    x = spectra.double()
    mean = x.mean(0)
    sums = torch.zeros(len(counts), x.shape[1], dtype=x.dtype).index_add_(0, place, x)
    own = x - (sums / counts[:, None])[place]
    within = own.T @ own / (len(x) - len(counts))
    ridge = RIDGE * within.diagonal().mean().clamp(min=1e-12)
    within = within + ridge * torch.eye(len(within), dtype=x.dtype)
    total = (x - mean).T @ (x - mean) / (len(x) - 1)
    # Where the variance within tracks is the unit, the directions are the principal ones.
    root = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(root, total, upper=False)
    values, directions = torch.linalg.eigh(torch.linalg.solve_triangular(root, half.T, upper=False))
    ratio, longest = values.flip(0)[:dimensions], directions.flip(1)[:, :dimensions]
    # Of few tracks there are fewer directions than were asked for: the rest says nothing.
    between = ((ratio - 1).clamp(min=0) / ratio.clamp(min=1)).sqrt()
    axes = torch.linalg.solve_triangular(root.T, longest, upper=True) * between
    return {"mean": mean.float(), "axes": axes.float().contiguous()}
