"""The console script's commands."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app, main

HEADER = "track_id,path,title,artist,album,genre,mood\n"
COMMANDS = {
    *("demo", "pipeline", "samples", "dev", "evaluate", "export", "similar", "sql", "takedown"),
    *("doctor", "serve", "search"),
}
GROUPS = {
    "token": {"new"},
    "study": {"new", "report", "triplets"},
    "db": {"up", "down", "migrate", "status", "roles", "login"},
    "models": {"list", "activate", "rollback", "retire", "check", "reindex"},
}


def test_groups_name_their_commands() -> None:
    for group, commands in GROUPS.items():
        answer = CliRunner().invoke(app, [group, "--help"])
        assert answer.exit_code == 0
        assert all(command in answer.output for command in commands)
        for command in commands:
            answer = CliRunner().invoke(app, [group, command, "--help"])
            assert answer.exit_code == 0
            assert "Usage" in answer.output


def test_help_names_every_command() -> None:
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    assert {
        command.callback.__name__ for command in app.registered_commands if command.callback
    } == (COMMANDS)
    assert all(command in answer.output for command in COMMANDS)


def test_commands_explain_themselves() -> None:
    for command in COMMANDS:
        answer = CliRunner().invoke(app, [command, "--help"])
        assert answer.exit_code == 0
        assert "Usage" in answer.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "No manifest at {}: set CATALOG to your tracks.csv"),
        ("", "Cannot read {} as CSV or Parquet"),
        ("track_id,path,title\n", "{} lacks the columns artist, album, genre, mood: "),
        (HEADER, "{} has no rows: add a row for each track."),
        (HEADER + "a,a.wav,A,,,,\n", "No row of {} can be used: 1 missing_file, such as 'a.wav'"),
    ],
)
def test_error_that_a_user_can_mend_is_one_line(
    text: str | None,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = tmp_path / "[" / "b]" / "tracks.csv"
    manifest.parent.mkdir(parents=True)
    if text is not None:
        manifest.write_text(text)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(
        sys, "argv", ["soundalike", "evaluate", str(manifest), "--encoder", "random"]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: " + sentence.format(manifest))
