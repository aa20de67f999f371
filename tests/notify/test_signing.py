"""Signatures, verified by the reference library."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from newswire.events import PUBLISHED, CloudEvent
from newswire_notify.webhooks.rendering import envelope, render
from newswire_notify.webhooks.signing import new_secret, signature


@pytest.mark.parametrize(
    ("secret", "message_id", "timestamp", "body", "expected"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ],
)
def test_known_vectors(secret: str, message_id: str, timestamp: int, body: bytes, expected: str) -> None:
    assert signature(secret, message_id, timestamp, body) == expected


@pytest.mark.parametrize("webhook", [Webhook, SvixWebhook])
def test_new_secrets_work_with_the_reference_library(webhook: Any) -> None:
    secret = new_secret()
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    now = int(datetime.now(UTC).timestamp())
    body = '{"title":"Näht"}'.encode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, "msg_1", now, body),
    }
    webhook(secret).verify(body, headers)
    theirs = webhook(secret).sign("msg_1", datetime.fromtimestamp(now, UTC), body.decode())
    assert theirs == headers["webhook-signature"]
    both = headers | {"webhook-signature": f"v1,{'A' * 43}= {theirs}"}
    webhook(secret).verify(body, both)
    with pytest.raises(WebhookVerificationError):
        webhook(new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        webhook(secret).verify(body + b" ", headers)


def test_rendered_events_keep_unknown_members() -> None:
    said = CloudEvent(id="a1.1", source="s", type=PUBLISHED, subject="a1", data={"title": "T"}, later="kept")
    remembered = envelope(said, with_data=False)
    assert b"title" not in remembered
    body = json.loads(render(remembered, b'{"title":"T","newer":[1]}', "full", "matched"))
    assert body == json.loads(said.to_json()) | {"reason": "matched", "data": {"title": "T", "newer": [1]}}


@pytest.mark.parametrize("members", [{}, {"reason": "of the publisher"}, {"note": 'a "data" and a "reason"'}])
def test_a_body_has_one_reason_and_one_data(members: dict[str, Any]) -> None:
    said = CloudEvent(id="a1.1", source="s", type=PUBLISHED, subject="a1", data={"title": "T"}, **members)
    body = render(envelope(said, with_data=False), b'{"title":"T"}', "full", "matched")
    pairs = json.loads(body, object_pairs_hook=list)
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names))
    assert json.loads(body) == json.loads(said.to_json()) | {"reason": "matched", "data": {"title": "T"}}
