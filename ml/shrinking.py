"""A catalogue from which much has vanished at once: more likely a mistake than a wish."""

from ml.errors import CatalogError

MAX_VANISHED = 0.2
"""Share of the tracks that may vanish at once, unless a run is told otherwise."""


def require_most(vanished: int, before: int, limit: float) -> None:
    """Stop, before anything is changed, if much of the catalogue has vanished at once.

    Parameters
    ----------
    vanished, before : int
        Tracks that were there at the last run and are not now; all that were there.
    limit : float
        Largest share.

    Raises
    ------
    CatalogError
        More than that has vanished.
    """
    if vanished > limit * before:
        raise CatalogError(
            f"{vanished:,} of {before:,} tracks have vanished from the catalogue "
            f"({vanished / before:.0%}, limit {limit:.0%}), and nothing was changed. Is CATALOG "
            "the right manifest, and is its disk there? If they are meant to go, run again with "
            "`allow_shrinking: true` in the config of `catalog` and in that of `clips`."
        )
