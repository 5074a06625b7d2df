"""The file of tokens: hashed, private, read again when it changes."""

from pathlib import Path

import pytest

from ml.errors import SoundalikeError
from search.tokens import TokenFile, add_token, includes


def test_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    token = add_token(path, "Page of the studio", "rate")
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    identity = TokenFile(path).identify(token)
    assert identity is not None
    assert (identity.name, identity.role) == ("Page of the studio", "rate")
    assert TokenFile(path).identify(token + "x") is None


def test_added_and_removed_lines_hold_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first = add_token(path, "one", "listen")
    tokens = TokenFile(path)
    second = add_token(path, "two", "admin")
    assert tokens.identify(second) is not None
    path.write_text("# nobody\n")
    assert tokens.identify(first) is None
    path.unlink()
    assert tokens.identify(second) is None


@pytest.mark.parametrize("line", ["secret listen me", "sha256:abc listen me", "sha256:" + "0" * 64])
def test_line_that_is_not_understood_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "tokens").write_text(f"\n{line}\n")
    with pytest.raises(SoundalikeError, match="Line 2"):
        TokenFile(tmp_path / "tokens")


def test_missing_file_and_blank_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SoundalikeError, match="soundalike token new"):
        TokenFile(tmp_path / "none")
    with pytest.raises(SoundalikeError, match="name"):
        add_token(tmp_path / "tokens", "a\nb", "listen")


def test_roles_include_those_below() -> None:
    assert includes("admin", "listen")
    assert includes("rate", "rate")
    assert not includes("listen", "rate")
    assert not includes(None, "listen")
