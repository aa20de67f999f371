"""Settings from files, as secrets are mounted."""

from pathlib import Path

import pytest

from newswire.settings import Settings, SettingsError


def test_a_secret_comes_from_the_file_that_a_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("redis://:secret@store:6379/0\n")
    (tmp_path / "proxies").write_text("10.0.0.1, 10.0.0.2\r\n")
    monkeypatch.setenv("NEWSWIRE_REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("NEWSWIRE_TRUSTED_PROXIES_FILE", str(tmp_path / "proxies"))
    settings = Settings()
    assert settings.redis_url.get_secret_value() == "redis://:secret@store:6379/0"
    assert settings.trusted_proxies == ["10.0.0.1", "10.0.0.2"]


def test_an_unusable_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_REDIS_URL_FILE", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match=r"NEWSWIRE_REDIS_URL_FILE.*No such file"):
        Settings()
    (tmp_path / "nothing").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        Settings()
    (tmp_path / "nothing").write_text("redis://store")
    monkeypatch.setenv("NEWSWIRE_REDIS_URL", "redis://other")
    with pytest.raises(SettingsError, match="both set"):
        Settings()


def test_secrets_lose_the_line_break_and_the_mark_that_files_gave_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_bytes(b"\xef\xbb\xbfredis://store:6379/0\r\n\n")
    monkeypatch.setenv("NEWSWIRE_REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("NEWSWIRE_SECRET_KEY", "k" * 32 + "\n")
    settings = Settings()
    assert settings.redis_url.get_secret_value() == "redis://store:6379/0"
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == "k" * 32
