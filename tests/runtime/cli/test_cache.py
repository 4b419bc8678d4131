"""Where the user's cache lies."""

from pathlib import Path

import pytest

from denoisert.runtime.cli.cache import default_cache


def test_the_configured_folder_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "denoisert"


@pytest.mark.parametrize("value", [None, "", "relative/folder"])
def test_else_it_lies_in_the_users_home(monkeypatch, tmp_path, value):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "denoisert"


def test_without_a_home_there_is_none(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert default_cache() is None
    assert not Path("denoisert").exists()
