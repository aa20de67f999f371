"""Operations describes the services where their own files are not mounted, as in the compose file."""

from pathlib import Path

import pytest

from newswire.settings import Settings
from newswire_ingest.settings import IngestSettings
from newswire_notify.settings import NotifySettings
from newswire_operations.documents import DOCUMENTS, describe_services
from newswire_operations.settings import OperationsSettings
from newswire_search.settings import SearchSettings

OWN = sorted(
    {name for service in (IngestSettings, SearchSettings, NotifySettings) for name in service.model_fields}
    - set(Settings.model_fields)
)


async def documents() -> dict[str, bytes]:
    found = await describe_services(OperationsSettings())
    assert set(found) == set(DOCUMENTS)
    return {path: bytes(response.body) for path, response in found.items()}


@pytest.mark.parametrize("suffix", ["", "_FILE"])
async def test_settings_of_one_service_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str
) -> None:
    without = await documents()
    assert {"dkim_private_key", "site_theme", "elasticsearch_ca_certs", "bounce_maildir"} <= set(OWN)
    for name in OWN:
        monkeypatch.setenv(f"NEWSWIRE_{name.upper()}{suffix}", str(tmp_path / "only where the service runs"))
    assert await documents() == without


async def test_shared_settings_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_PUBLIC_URL", "https://news.harbour.example")
    assert b"https://news.harbour.example" in (await documents())["/openapi.json"]
