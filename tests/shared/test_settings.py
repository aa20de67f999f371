"""Settings from files, as secrets are mounted."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from newswire.settings import MAX_FILE_BYTES, Settings, SettingsError


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


def test_an_empty_value_is_none_where_it_would_mean_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME:-}` of Docker Compose is an empty value."""
    for name in (
        "SECRET_KEY",
        "SECRET_KEY_PREVIOUS",
        "READ_RATE",
        "HUB",
        "STREAM_RETENTION",
        "DATA_DIR",
        "DELIVERY_REDIS_URL",
    ):
        monkeypatch.setenv(f"NEWSWIRE_{name}", "")
    monkeypatch.setenv("NEWSWIRE_ARCHIVE_URL", "\n")
    monkeypatch.setenv("NEWSWIRE_SECRET_KEY_FILE", "")
    monkeypatch.setenv("NEWSWIRE_CORS_ORIGINS", "")
    settings = Settings()
    assert (settings.secret_key, settings.secret_key_previous, settings.data_dir) == (None, None, Path(".newswire"))
    assert (settings.hub, settings.archive_url, settings.cors_origins) == (True, None, [])

    (tmp_path / "key").write_text("k" * 32)
    monkeypatch.setenv("NEWSWIRE_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert Settings().secret_key is not None

    monkeypatch.setenv("NEWSWIRE_REDIS_URL", "")
    with pytest.raises(ValidationError, match="redis_url"):  # this machine's is not meant
        Settings()


def test_a_file_without_a_value_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_SECRET_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SettingsError, match=r"NEWSWIRE_SECRET_KEY_FILE.*is empty"):
        Settings()
    (tmp_path / "key").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SettingsError, match="more than 1,048,576 bytes"):
        Settings()


def test_trusted_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_TRUSTED_PROXIES", "10.1.2.3/8, fd00::1, 127.0.0.1/32")
    assert Settings().trusted_proxies == ["10.0.0.0/8", "fd00::1", "127.0.0.1"]
    monkeypatch.setenv("NEWSWIRE_TRUSTED_PROXIES", "127.0.0.1,*")
    assert Settings().trusted_proxies == ["*"]
    monkeypatch.setenv("NEWSWIRE_TRUSTED_PROXIES", "127.0.0.1,gateway")
    with pytest.raises(ValidationError, match="'gateway' is no address"):
        Settings()


def test_a_former_signing_secret_is_as_long_as_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_SECRET_KEY_PREVIOUS", "guessed")
    with pytest.raises(ValidationError, match="secret_key_previous"):
        Settings()
