"""Files and tables on disk: whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ml.errors import SoundalikeError
from ml.removal import remove_rows
from ml.storage import replace_file, sweep_temporaries
from ml.workspace import Workspace


def write(path: Path, content: bytes) -> None:
    with replace_file(path) as file:
        file.write(content)


def test_file_is_made_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    for content in (b"old", b"new"):
        write(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "file", b"old")
    with replace_file(tmp_path / "file") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "file").read_bytes() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_write_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "file", b"old")
    with pytest.raises(error), replace_file(tmp_path / "file") as file:  # noqa: PT012
        file.write(b"half")
        raise error
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_who_may_read_a_file_is_for_the_umask_to_say(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_full_disk_is_said_in_one_line_and_the_old_file_stays(tmp_path: Path) -> None:
    write(tmp_path / "file", b"old")
    with (
        pytest.raises(SoundalikeError, match=r"No space is left on .*: make room") as said,
        Path("/dev/full").open("wb") as full,
        replace_file(tmp_path / "file") as file,
    ):
        file.write(b"new" if os.dup2(full.fileno(), file.fileno()) else b"")
    assert "\n" not in str(said.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


WRITER = """
import os, signal, sys
from pathlib import Path
from ml.storage import replace_file
with replace_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_writer_leaves_the_old_file_and_what_can_be_swept(tmp_path: Path) -> None:
    write(tmp_path / "file", b"old")
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "file")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    sweep_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_sweep_spares_a_file_that_is_being_written(tmp_path: Path) -> None:
    with replace_file(tmp_path / "file") as file:
        file.write(b"content")
        sweep_temporaries(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"content"


def test_sweep_of_an_absent_folder_does_nothing(tmp_path: Path) -> None:
    sweep_temporaries(tmp_path / "absent")
    assert not list(tmp_path.iterdir())


def test_table_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    table = pd.DataFrame({"track_id": ["007", "NA"], "genres": [["a", "b"], []]})
    workspace = Workspace(tmp_path)
    workspace.save_table("tracks", table)
    loaded = workspace.load_table("tracks")
    assert loaded["track_id"].tolist() == ["007", "NA"]
    assert [list(genres) for genres in loaded["genres"]] == [["a", "b"], []]


def test_step_that_had_read_a_track_does_not_bring_it_back_after_its_takedown(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    workspace.save_table("tracks", pd.DataFrame({"track_id": ["a", "b"]}))
    read = workspace.load_table("tracks")
    assert workspace.keep_denylist(lambda: {"b"}) == workspace.denied_tracks() == {"b"}
    assert remove_rows(workspace, "b") == {"table tracks": 1}
    workspace.save_table("tracks", read)
    assert workspace.load_table("tracks")["track_id"].tolist() == ["a"]
    workspace.save_table("rejected", read)  # which says why
    assert workspace.load_table("rejected")["track_id"].tolist() == ["a", "b"]
    workspace.keep_denylist(set)
    workspace.save_table("tracks", read)
    assert workspace.load_table("tracks")["track_id"].tolist() == ["a", "b"]


def test_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert not workspace.has_record("candidate")
    workspace.save_record("candidate", {"version": "3", "map": 0.5, "name": "Größe"})
    assert workspace.has_record("candidate")
    assert workspace.load_record("candidate") == {"version": "3", "map": 0.5, "name": "Größe"}


def test_what_was_not_made_names_the_step_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SoundalikeError, match="materialise `tracks` first"):
        Workspace(tmp_path).load_table("tracks")
    with pytest.raises(SoundalikeError, match="materialise `candidate` first"):
        Workspace(tmp_path).load_record("candidate")


def test_models_of_other_content_have_other_folders(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folders = {workspace.model_folder(k, f) for k in ("convnet", "baseline") for f in ("1", "2")}
    assert len(folders) == 4
    assert all(folder.is_relative_to(tmp_path) for folder in folders)
    assert workspace.store.root == tmp_path / "audio"
