"""The console script's commands."""

import sys

import pytest
from typer.testing import CliRunner

from cli.main import app, main

COMMANDS = {"demo", "pipeline", "samples", "dev", "evaluate", "export", "similar", "sql"}


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


def test_error_that_a_user_can_mend_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    missing = f"{tmp_path}/[/b]/tracks.csv"
    monkeypatch.setattr(sys, "argv", ["soundalike", "evaluate", missing, "--encoder", "random"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"Error: No manifest at {missing}: set CATALOG to your tracks.csv")
