"""Notify is killed again and again while mails go out to a server that delays, defers, breaks off and refuses."""

from pathlib import Path

import pytest

from newswire.keys import Keyspace
from tests.faults.mail_drill import Size, drill

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
async def test_no_mail_is_skipped_and_only_mails_in_doubt_are_repeated(
    redis_url: str, keys: Keyspace, tmp_path: Path
) -> None:
    found = await drill(redis_url, keys, Size(), tmp_path)
    assert found.skipped == []
    assert found.wrongly_sent == []
    assert found.identities == 1
    assert found.repeated <= found.in_doubt
    assert found.states["bounced"] == 4
