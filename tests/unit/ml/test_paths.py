"""Every path that a manifest may hold is a readable file below its folder, or has a reason."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml.paths import PATH_REMEDIES, PathJudge

REASONS = {
    "": "missing_path",
    " \t": "missing_path",
    "s3://bucket/a.wav": "other_file_system",
    "HTTPS://example.org/a.wav": "other_file_system",
    "file:///a.wav": "other_file_system",
    "simplecache::s3://bucket/a.wav": "other_file_system",
    "/etc/passwd": "absolute_path",
    "//etc/passwd": "absolute_path",
    "..": "outside_root",
    "../outside.wav": "outside_root",
    "../absent.wav": "outside_root",
    "folder/../../outside.wav": "outside_root",
    "absent/../../music/a.wav": "outside_root",
    "link.wav": "link_outside_root",
    "linked/outside.wav": "link_outside_root",
    "linked/absent.wav": "link_outside_root",
    "linked/../outside.wav": "link_outside_root",
    "relay.wav": "link_outside_root",
    "absent.wav": "missing_file",
    "a.wav/b.wav": "missing_file",
    "dangling.wav": "missing_file",
    "loop.wav": "missing_file",
    "x" * 300: "missing_file",
    "x/" * 3000: "missing_file",
    "a\0b": "missing_file",
    "a.wav\n": "missing_file",
    ".": "not_a_file",
    "folder": "not_a_file",
    "pipe.wav": "not_a_file",
    "socket.wav": "not_a_file",
}
USABLE = ("a.wav", "./a.wav", "folder/../a.wav", "folder/b.wav", "inner.wav", "..a.wav", "a:b.wav")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay traps beside files that may be used."""
    outer = tmp_path_factory.mktemp("outer")
    root = outer / "music"
    (root / "folder").mkdir(parents=True)
    (outer / "elsewhere").mkdir()
    for path in ("outside.wav", "elsewhere/outside.wav", "music/a.wav", "music/folder/b.wav"):
        (outer / path).write_bytes(b"audio")
    for name in ("..a.wav", "a:b.wav"):
        (root / name).write_bytes(b"audio")
    links = {"link.wav": "../outside.wav", "linked": "../elsewhere", "relay.wav": "link.wav"}
    links |= {"loop.wav": "loop.wav", "dangling.wav": "nowhere", "inner.wav": "folder/b.wav"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # since the name of a socket may not be long
        server.bind("socket.wav")
    return root.resolve()


@pytest.fixture(scope="module")
def judge(root: Path) -> PathJudge:
    """One for all paths, so that it meets folders that it has looked up before."""
    return PathJudge(root)


@pytest.mark.parametrize("path", REASONS)
def test_path_that_cannot_be_used_has_its_reason(judge: PathJudge, path: str) -> None:
    assert judge.judge(path) == REASONS[path]


@pytest.mark.parametrize("path", USABLE)
def test_file_below_the_root_is_used(judge: PathJudge, path: str) -> None:
    assert judge.judge(path) is None


def test_files_of_one_folder_are_judged_one_by_one(root: Path) -> None:
    judge = PathJudge(root)
    assert judge.judge("folder/b.wav") is None
    assert judge.judge("folder/absent.wav") == "missing_file"
    assert judge.judge("linked/outside.wav") == "link_outside_root"
    assert judge.judge("folder/../link.wav") == "link_outside_root"


def test_file_without_permission_is_unreadable(unprivileged: Path) -> None:
    (unprivileged / "closed").mkdir()
    for name in ("a.wav", "b.wav", "closed/c.wav"):
        (unprivileged / name).touch()
    (unprivileged / "a.wav").chmod(0)
    (unprivileged / "closed").chmod(0)
    reasons = [*map(PathJudge(unprivileged).judge, ("a.wav", "b.wav", "closed/c.wav"))]
    (unprivileged / "closed").chmod(0o700)
    assert reasons == ["unreadable", None, "unreadable"]


PARTS = st.sampled_from(["..", ".", "/", "//", "a.wav", "folder", "linked", "link.wav", "\0", "é"])


@example("a.wav/a.wav/..")
@given(st.lists(PARTS | st.text(max_size=3)).map("/".join) | st.text())
def test_no_path_raises_and_none_leads_out(root: Path, judge: PathJudge, path: str) -> None:
    reason = judge.judge(path)
    assert reason == PathJudge(root).judge(path)
    if reason is None:
        assert os.path.realpath(root / path).startswith(f"{root}{os.sep}")
        assert (root / path).is_file()
    else:
        assert reason in PATH_REMEDIES
