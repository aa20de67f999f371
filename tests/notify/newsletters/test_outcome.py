"""What replies of mail servers mean."""

from datetime import UTC, datetime, timedelta

import pytest

from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, is_given_up, outcome_of, retry_delay


@pytest.mark.parametrize(
    ("stage", "code", "text", "outcome"),
    [
        (Stage.CONTENT, 250, "2.0.0 queued", Outcome.ACCEPTED),
        (Stage.CONNECT, 0, "refused", Outcome.UNAVAILABLE),
        (Stage.CONNECT, 554, "go away", Outcome.UNAVAILABLE),
        (Stage.LOGIN, 535, "5.7.8 bad login", Outcome.UNAVAILABLE),
        (Stage.SENDER, 421, "4.7.0 slow down", Outcome.LATER),
        (Stage.RECIPIENT, 421, "closing", Outcome.LATER),
        (Stage.RECIPIENT, 451, "4.3.0 greylisted", Outcome.LATER),
        (Stage.RECIPIENT, 452, "4.2.2 full", Outcome.LATER),
        (Stage.CONTENT, 0, "EOF", Outcome.LATER),
        (Stage.CONTENT, 451, "try later", Outcome.LATER),
        (Stage.RECIPIENT, 550, "5.1.1 no such user", Outcome.BOUNCED),
        (Stage.RECIPIENT, 550, "no such user here", Outcome.BOUNCED),
        (Stage.RECIPIENT, 550, "5.4.4 no such host", Outcome.BOUNCED),
        (Stage.RECIPIENT, 552, "5.2.2 mailbox full", Outcome.SOFT_BOUNCED),
        (Stage.RECIPIENT, 550, "5.2.1 disabled", Outcome.MAILBOX_DISABLED),
        (Stage.RECIPIENT, 550, "5.7.1 blocked by policy", Outcome.SENDER_FAULT),
        (Stage.RECIPIENT, 550, "5.7.515 unauthenticated", Outcome.SENDER_FAULT),
        (Stage.SENDER, 550, "5.1.8 bad sender", Outcome.SENDER_FAULT),
        (Stage.CONTENT, 554, "5.7.1 spam", Outcome.SENDER_FAULT),
        (Stage.CONTENT, 552, "5.3.4 too big", Outcome.SENDER_FAULT),
        (Stage.CONTENT, 550, "rejected", Outcome.SENDER_FAULT),
    ],
)
def test_a_reply_leads_to_an_outcome(stage: Stage, code: int, text: str, outcome: Outcome) -> None:
    assert outcome_of(Reply(stage, code, text)) is outcome


def test_retries_take_longer_each_time_and_end_after_three_days() -> None:
    delays = [retry_delay(attempt) for attempt in range(1, 30)]
    assert delays == sorted(delays)
    assert delays[0] == timedelta(minutes=1)
    assert delays[-1] == timedelta(hours=4)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert not is_given_up(first, first + timedelta(hours=71))
    assert is_given_up(first, first + timedelta(hours=72))
