"""A team's settings reach each job as far as they concern it."""

from pathlib import Path

import pytest

from orchestration.automation import jobs

TOLD = """
ops:
  candidate_model: {config: {epochs: 12}}
  embeddings: {config: {window_hop_s: 2.5}}
"""
EMBEDDINGS = {"embeddings": {"config": {"window_hop_s": 2.5}}}


def test_settings_are_those_of_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFRESH_CONFIG", raising=False)
    assert jobs.read_settings() == {}
    (tmp_path / "refresh.yaml").write_text(TOLD)
    monkeypatch.setenv("REFRESH_CONFIG", str(tmp_path / "refresh.yaml"))
    settings = jobs.read_settings()
    assert settings["ops"] == {"candidate_model": {"config": {"epochs": 12}}, **EMBEDDINGS}
    monkeypatch.setattr(jobs, "SETTINGS", settings)
    assert jobs.settings_of("clips", *jobs.PUBLISHING) == {"ops": EMBEDDINGS}
    assert jobs.settings_of("clips") is None, "nothing was said of it"


def test_missing_file_of_settings_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRESH_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(Exception, match=r"nowhere\.yaml"):
        jobs.read_settings()
