"""The manifest: one row per track, each checked; what cannot be used is set aside with a reason.

Conventions
-----------
Columns `track_id, path, title, artist, album, genre, mood`; genre and mood hold several values
separated by ``|``, or none. Further columns are kept as they are. Paths are relative to the
manifest's folder, or URLs below it if that is a remote one.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa
from fsspec.core import url_to_fs

from ml.errors import CatalogError
from ml.paths import PATH_REMEDIES
from ml.roots import Root, find_root

REQUIRED_COLUMNS = ("track_id", "path", "title", "artist", "album", "genre", "mood")
SEPARATOR = "|"

REMEDIES = {
    "missing_id": "give the row a track_id",
    "duplicate_id": "keep one row for each track_id (the first one is used)",
    "taken_down": "remove the row, or lift the takedown (`soundalike takedown TRACK_ID --undo`)",
    **PATH_REMEDIES,
}
"""Reason code of a rejected row -> what to do about it."""


@dataclass(frozen=True)
class Catalog:
    """A manifest after its check.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Usable rows: the manifest's columns, with `genres` and `moods` as lists of str and `path`
        absolute, or a URL.
    rejected : pandas.DataFrame
        Columns `row` (line number in the manifest, header = 1), `track_id`, `path`, `reason`,
        `remedy`.
    """

    tracks: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def digest(self) -> str:
        """SHA-256 over the usable rows, metadata and paths, whatever their order."""
        rows = self.tracks.sort_values("track_id").to_csv(index=False)
        return hashlib.sha256(rows.encode()).hexdigest()


def read_catalog(manifest: str, denied: Collection[str] = ()) -> Catalog:
    """Read and check a manifest.

    Parameters
    ----------
    manifest : str
        Path or fsspec URL of a CSV or Parquet file.
    denied : collection of str, optional
        Ids of tracks that were taken down: their rows are rejected.

    Returns
    -------
    Catalog
        Usable and rejected rows; together they are all rows.

    Raises
    ------
    CatalogError
        The manifest is missing, unreadable, lacks required columns, or has no usable row; its
        folder is remote and cannot be listed.
    """
    rows = _read_manifest(manifest)
    _require_columns(rows, manifest)
    root = find_root(manifest)
    reasons = find_rejections(rows, root, denied)
    catalog = Catalog(_usable(rows, reasons, root), _rejected(rows, reasons))
    if catalog.tracks.empty:
        raise CatalogError(
            f"No row of {manifest} can be used: {explain_rejected(catalog.rejected)}. "
            "Mend that, or point CATALOG elsewhere."
        )
    return catalog


def find_rejections(rows: pd.DataFrame, root: Root, denied: Collection[str] = ()) -> pd.Series:
    """Say for each row why it cannot be used.

    Parameters
    ----------
    rows : pandas.DataFrame
        The manifest, all columns str.
    root : Root
        The folder that every path must stay in.
    denied : collection of str, optional
        Ids of tracks that were taken down.

    Returns
    -------
    pandas.Series
        Reason code for the rejected rows, by the rows' index; the first that applies, in the
        order of `REMEDIES`.
    """
    # Judged before the schema: an exception in one of its checks would switch it off for all rows.
    judged = rows[["track_id"]].assign(path=rows["path"].map(root.judge).fillna("").astype(str))
    try:
        _row_schema(frozenset(denied)).validate(judged, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"])
        order = {reason: rank for rank, reason in enumerate(REMEDIES)}
        ranked = cases.assign(rank=cases["check"].map(order)).sort_values(["index", "rank"])
        first = ranked.drop_duplicates("index").set_index("index")["check"]
        return first.astype(str)  # type: ignore[no-any-return]
    return pd.Series(dtype=str)


def explain_rejected(rejected: pd.DataFrame) -> str:
    """Count the rejected rows of each reason, name one of them, and say what to do.

    Parameters
    ----------
    rejected : pandas.DataFrame
        As in `Catalog`.

    Returns
    -------
    str
        Reasons in the order of the rows, with ``;`` between them; empty if there are none.
    """
    return "; ".join(
        f"{len(rows)} {reason}, such as {rows['path'].iloc[0]!r} ({rows['remedy'].iloc[0]})"
        for reason, rows in rejected.groupby("reason", sort=False)
    )


def split_labels(values: pd.Series) -> pd.Series:
    """Split a column of labels separated by ``|`` into lists, without blanks and repetitions."""
    return values.map(_split)


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(label.strip() for label in text.split(SEPARATOR) if label.strip()))


def _read_manifest(manifest: str) -> pd.DataFrame:
    try:
        system, name = url_to_fs(manifest)
        system.invalidate_cache()  # others edit it, of which a remote file system is not told
        with system.open(name, "rb") as file:
            if manifest.endswith((".parquet", ".pq")):
                return _to_text(pd.read_parquet(file))
            return pd.read_csv(file, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise CatalogError(
            f"No manifest at {manifest}: set CATALOG to your tracks.csv, "
            "or run `make demo` to make a sample catalogue."
        ) from error
    except Exception as error:  # a remote file system has errors of its own
        why = " ".join(str(error).split())
        raise CatalogError(
            f"Cannot read {manifest} as CSV or Parquet ({why}): save it again as UTF-8 CSV."
        ) from error


def _to_text(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.reset_index(drop=True).astype(object).where(rows.notna().to_numpy(), "").astype(str)


def _require_columns(rows: pd.DataFrame, manifest: str) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in rows.columns]
    if missing:
        raise CatalogError(
            f"{manifest} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}: "
            f"a manifest has {', '.join(REQUIRED_COLUMNS)}."
        )
    if rows.empty:
        raise CatalogError(f"{manifest} has no rows: add a row for each track.")
    if not isinstance(rows.index, pd.RangeIndex):  # pandas took the first column for an index
        raise CatalogError(
            f"Rows of {manifest} hold more values than its header has columns: "
            "remove the commas at their ends, or quote the values that contain commas."
        )


def _row_schema(denied: frozenset[str]) -> pa.DataFrameSchema:
    """Check ids, and what was found to be wrong with paths."""

    def check(test: Callable[[pd.Series], pd.Series], reason: str) -> pa.Check:
        return pa.Check(test, name=reason, error=reason)

    def check_paths(reason: str) -> pa.Check:
        return check(lambda reasons: reasons != reason, reason)

    return pa.DataFrameSchema(
        {
            "track_id": pa.Column(
                str,
                [
                    check(lambda ids: ids.str.strip() != "", "missing_id"),
                    check(lambda ids: ~ids.duplicated(), "duplicate_id"),
                    check(lambda ids: ~ids.isin(denied), "taken_down"),
                ],
            ),
            "path": pa.Column(str, [check_paths(reason) for reason in PATH_REMEDIES]),
        }
    )


def _usable(rows: pd.DataFrame, reasons: pd.Series, root: Root) -> pd.DataFrame:
    usable = rows.drop(index=reasons.index).reset_index(drop=True)
    return usable.assign(
        path=usable["path"].map(root.locate),
        genres=split_labels(usable["genre"]),
        moods=split_labels(usable["mood"]),
    ).drop(columns=["genre", "mood"])


def _rejected(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    rejected = rows.loc[reasons.index, ["track_id", "path"]]
    rejected.insert(0, "row", rejected.index + 2)  # line 1 is the header
    rejected["reason"] = reasons
    rejected["remedy"] = reasons.map(REMEDIES)
    return rejected.sort_values("row").reset_index(drop=True)
