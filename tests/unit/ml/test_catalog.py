"""Every row of a manifest is used or rejected with a reason; no manifest raises anything else."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.catalog import (
    REMEDIES,
    REQUIRED_COLUMNS,
    Catalog,
    find_rejections,
    read_catalog,
    split_labels,
)
from ml.errors import CatalogError
from ml.roots import LocalRoot

HEADER = ",".join(REQUIRED_COLUMNS)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PATHS = (
    st.sampled_from(["a.wav", "b.wav", "", "absent.wav", "..", "../x.wav", "/etc/passwd"]) | TEXT
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with two files to name."""
    music = tmp_path / "music"
    music.mkdir()
    for name in ("a.wav", "b.wav"):
        (music / name).write_bytes(b"audio")
    return music


def row(track_id: str = "1", path: str = "a.wav", **more: str) -> dict[str, str]:
    return dict.fromkeys(REQUIRED_COLUMNS, "") | {"track_id": track_id, "path": path} | more


def read(folder: Path, *rows: dict[str, str]) -> Catalog:
    pd.DataFrame(rows).to_csv(folder / "tracks.csv", index=False)
    return read_catalog(str(folder / "tracks.csv"))


def read_text(folder: Path, content: str | bytes) -> Catalog:
    manifest = folder / "tracks.csv"
    manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_catalog(str(manifest))


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(CatalogError) as caught:
        read_text(folder, content)
    assert "\n" not in str(caught.value)
    assert "tracks.csv" in str(caught.value)
    return str(caught.value)


def reason_of(folder: Path, rejected: dict[str, str]) -> str:
    """Read the row beside good ones; give its reason."""
    catalog = read(folder, row("good"), rejected, row("other", "b.wav"))
    assert catalog.tracks["track_id"].tolist() == ["good", "other"]
    assert catalog.rejected["row"].tolist() == [3]
    assert catalog.rejected["remedy"].tolist() == [REMEDIES[catalog.rejected["reason"][0]]]
    return str(catalog.rejected["reason"][0])


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        (row(""), "missing_id"),
        (row(" "), "missing_id"),
        (row("good"), "duplicate_id"),
        (row(path=""), "missing_path"),
        (row(path="  "), "missing_path"),
        (row(path="absent.wav"), "missing_file"),
        (row(path="."), "not_a_file"),
        (row(path="a.wav/b"), "missing_file"),
        (row(path="x" * 300 + ".wav"), "missing_file"),
        (row(path="../outside.wav"), "outside_root"),
        (row(path="/etc/passwd"), "absolute_path"),
        (row(path="sub/../../outside.wav"), "outside_root"),
        (row("", ""), "missing_id"),
        (row("good", ""), "duplicate_id"),
        (row("good", "absent.wav"), "duplicate_id"),
        (row(path="../absent.wav"), "outside_root"),
    ],
)
def test_row_is_rejected_for_the_first_reason_that_applies(
    folder: Path, rejected: dict[str, str], reason: str
) -> None:
    (folder.parent / "outside.wav").write_bytes(b"audio")
    assert reason_of(folder, rejected) == reason


def test_link_that_leaves_the_folder_is_rejected(folder: Path) -> None:
    (folder.parent / "outside.wav").write_bytes(b"audio")
    (folder / "link.wav").symlink_to(folder.parent / "outside.wav")
    assert reason_of(folder, row(path="link.wav")) == "link_outside_root"


def test_link_within_the_folder_is_used(folder: Path) -> None:
    (folder / "link.wav").symlink_to("a.wav")
    assert read(folder, row(path="link.wav")).rejected.empty


@pytest.mark.parametrize("trap", ["loop", "x" * 300, "x" * 5000, "a\0b"])
def test_path_that_cannot_be_resolved_does_not_let_others_through(folder: Path, trap: str) -> None:
    (folder / "loop").symlink_to("loop")
    outside = folder.parent / "outside.wav"
    outside.write_bytes(b"audio")
    rows = pd.DataFrame([row("1"), row("2", trap), row("3", "../outside.wav"), row("4", "absent")])
    reasons = find_rejections(rows, LocalRoot(folder.resolve()))
    assert reasons.index.sort_values().tolist() == [1, 2, 3]
    assert reasons[2] == "outside_root"
    assert reasons[3] == "missing_file"


def test_first_of_duplicates_is_used(folder: Path) -> None:
    catalog = read(folder, row("x", title="one"), row("x", "b.wav", title="two"), row("x"))
    assert catalog.tracks["title"].tolist() == ["one"]
    assert catalog.rejected["reason"].tolist() == ["duplicate_id", "duplicate_id"]
    assert catalog.rejected["row"].tolist() == [3, 4]


@pytest.mark.parametrize("track_id", ["007", "NA", "null", "nan", "None", "1e5", "1.0", "true"])
def test_id_that_looks_like_another_type_stays_text(folder: Path, track_id: str) -> None:
    assert read(folder, row(track_id)).tracks["track_id"].tolist() == [track_id]


def test_ids_of_digits_alone_keep_their_zeros(folder: Path) -> None:
    catalog = read(folder, row("007"), row("07"), row("7"))
    assert catalog.tracks["track_id"].tolist() == ["007", "07", "7"]


def test_labels_are_split_without_blanks_and_repetitions(folder: Path) -> None:
    catalog = read(folder, row(genre="rock| pop ||rock|", mood=" | "))
    assert catalog.tracks["genres"].tolist() == [["rock", "pop"]]
    assert catalog.tracks["moods"].tolist() == [[]]


@given(st.lists(st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]))))
def test_split_labels_keeps_every_distinct_label_in_order(labels: list[str]) -> None:
    split = split_labels(pd.Series(["|".join(labels)])).iloc[0]
    assert split == list(dict.fromkeys(label.strip() for label in labels if label.strip()))


def test_further_columns_are_kept_and_paths_made_absolute(folder: Path) -> None:
    catalog = read(folder, row(isrc="0012", year="1999"))
    assert catalog.tracks[["isrc", "year"]].to_numpy().tolist() == [["0012", "1999"]]
    assert catalog.tracks["path"].tolist() == [str(folder / "a.wav")]


def test_parquet_is_read_as_csv_is(folder: Path) -> None:
    rows = pd.DataFrame([row("007", genre="rock|pop"), row("8", "b.wav"), row("", "absent")])
    rows.to_parquet(folder / "tracks.parquet")
    rows.to_csv(folder / "tracks.csv", index=False)
    parquet = read_catalog(str(folder / "tracks.parquet"))
    csv = read_catalog(str(folder / "tracks.csv"))
    assert parquet.digest == csv.digest
    assert parquet.rejected.to_numpy().tolist() == csv.rejected.to_numpy().tolist()


def test_parquet_with_typed_and_missing_values_becomes_text(folder: Path) -> None:
    rows = pd.DataFrame([row("1"), row("2", "b.wav"), row("3", "b.wav")], index=[5, 6, 5])
    rows = rows.assign(
        track_id=[1, 2, 3],
        title=pd.Series([None, "t", None], rows.index),
        year=[1999.0, np.nan, 2001.0],
        label=pd.Categorical(["x", None, "x"]),
        path=pd.Series(["a.wav", "b.wav", None], rows.index),
    )
    rows.to_parquet(folder / "tracks.parquet")
    catalog = read_catalog(str(folder / "tracks.parquet"))
    assert catalog.tracks["track_id"].tolist() == ["1", "2"]
    assert catalog.tracks["title"].tolist() == ["", "t"]
    assert catalog.tracks["year"].tolist() == ["1999.0", ""]
    assert catalog.tracks["label"].tolist() == ["x", ""]
    assert catalog.rejected[["row", "reason"]].to_numpy().tolist() == [[4, "missing_path"]]


def test_relative_manifest_is_found_from_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(folder, row())
    monkeypatch.chdir(folder.parent)
    assert read_catalog("music/tracks.csv").tracks["path"].tolist() == [str(folder / "a.wav")]


def test_spreadsheet_export_with_byte_order_mark_and_windows_lines_is_read(folder: Path) -> None:
    content = f"{HEADER}\n1,a.wav,Größe,,,,\n".replace("\n", "\r\n")
    catalog = read_text(folder, content.encode("utf-8-sig"))
    assert catalog.tracks[["track_id", "title"]].to_numpy().tolist() == [["1", "Größe"]]


def test_rows_that_end_early_have_empty_values(folder: Path) -> None:
    catalog = read_text(folder, f"{HEADER}\n1,a.wav\n2\n3,b.wav,t,a,b,g,m\n")
    assert catalog.tracks["genres"].tolist() == [[], ["g"]]
    assert catalog.rejected["reason"].tolist() == ["missing_path"]


def test_digest_ignores_the_order_of_rows_and_sees_every_value(folder: Path) -> None:
    first, second = row("1", title="t"), row("2", "b.wav")
    digest = read(folder, first, second).digest
    assert read(folder, second, first).digest == digest
    assert read(folder, first | {"title": "u"}, second).digest != digest
    assert read(folder, first | {"mood": "sad"}, second).digest != digest
    assert read(folder, first).digest != digest


def test_missing_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"set CATALOG to your tracks\.csv, or run `make demo`"):
        read_catalog(str(tmp_path / "tracks.csv"))


@pytest.mark.parametrize("missing", REQUIRED_COLUMNS)
def test_missing_column_is_named(folder: Path, missing: str) -> None:
    header = ",".join(name for name in REQUIRED_COLUMNS if name != missing)
    assert f"lacks the column {missing}:" in refusal(folder, f"{header}\n1,a.wav,,,,\n")


def test_missing_columns_are_all_named(folder: Path) -> None:
    message = refusal(folder, "id,file\n1,a.wav\n")
    assert f"lacks the columns {', '.join(REQUIRED_COLUMNS)}:" in message


def test_header_alone_is_refused(folder: Path) -> None:
    assert "has no rows" in refusal(folder, f"{HEADER}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        np.random.default_rng(0).bytes(10_000),
        bytes(1000),
        f"{HEADER}\n1,a.wav,Gr\u00fc\u00dfe,,,,\n".encode("latin-1"),
        f"{HEADER}\n1,a.wav,,,,,\n".encode("utf-16"),
        f'{HEADER}\n1,a.wav,"never closed,,,,\n'.encode(),
        f"{HEADER}\n1,a.wav,,,,,\n2,b.wav,,,,,,,\n".encode(),
        f"{HEADER}\n1,a.wav,,,,,,\n2,b.wav,,,,,,\n".encode(),
        f"{HEADER}\n1,a.wav,,,,,\n".encode().replace(b",", b";"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(folder: Path, content: bytes) -> None:
    refusal(folder, content)


@pytest.mark.parametrize("content", [b"", b"PAR1", np.random.default_rng(0).bytes(5000)])
def test_what_is_no_parquet_is_refused_in_one_line(folder: Path, content: bytes) -> None:
    (folder / "tracks.parquet").write_bytes(content)
    with pytest.raises(CatalogError, match=r"^Cannot read .*tracks\.parquet.*[^\n]$"):
        read_catalog(str(folder / "tracks.parquet"))


def test_directory_and_unknown_protocol_are_refused(folder: Path) -> None:
    for manifest in (str(folder), "nowhere://tracks.csv"):
        with pytest.raises(CatalogError, match="Cannot read"):
            read_catalog(manifest)


def test_manifest_without_a_usable_row_tallies_the_reasons(folder: Path) -> None:
    message = refusal(folder, f"{HEADER}\n1,x.wav,,,,,\n2,y.wav,,,,,\n,a.wav,,,,,\n")
    assert "2 missing_file, such as 'x.wav' (" in message
    assert message.index("2 missing_file") < message.index("1 missing_id")
    assert "1 missing_id, such as 'a.wav' (give the row a track_id)" in message


@settings(max_examples=30)
@given(st.lists(st.tuples(TEXT | st.sampled_from(["x", "y"]), PATHS), max_size=8))
def test_usable_and_rejected_rows_are_all_rows(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "property"
    folder.mkdir(exist_ok=True)
    for name in ("a.wav", "b.wav"):
        (folder / name).touch()
    rows = pd.DataFrame([row("first"), *(row(*values) for values in given_rows)])
    rows.to_parquet(folder / "tracks.parquet")
    catalog = read_catalog(str(folder / "tracks.parquet"))
    used = [values for values in rows.index if values + 2 not in set(catalog.rejected["row"])]
    assert catalog.tracks["track_id"].tolist() == rows["track_id"][used].tolist()
    assert len(catalog.tracks) + len(catalog.rejected) == len(rows)
    assert not catalog.tracks["track_id"].duplicated().any()
    assert catalog.rejected["reason"].isin(list(REMEDIES)).all()
    for path in catalog.tracks["path"]:
        assert os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
        assert Path(path).is_file()


def test_track_that_was_taken_down_is_rejected_whatever_its_row_says(folder: Path) -> None:
    rows = [row("1"), row("2"), row("2", "b.wav", title="again")]
    pd.DataFrame(rows).to_csv(folder / "tracks.csv", index=False)
    catalog = read_catalog(str(folder / "tracks.csv"), {"2", "nobody"})
    assert catalog.tracks["track_id"].tolist() == ["1"]
    assert catalog.rejected["reason"].iloc[0] == "taken_down"
    assert catalog.rejected["track_id"].tolist() == ["2", "2"]
    assert "--undo" in catalog.rejected["remedy"].iloc[0]
