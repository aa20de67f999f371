"""The signature check names each mistake, and the code samples accept what is signed and nothing else."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from newswire_notify.portal.signature_check import (
    CheckResult,
    KnownSecrets,
    SignedRequest,
    Verdict,
    check,
    read_headers,
    read_request,
)
from newswire_notify.portal.signature_pages import samples
from newswire_notify.webhooks.signing import new_secret, signature
from tests.notify.conftest import Receiver
from tests.notify.portal.conftest import Portal, texts

SECRET, FORMER, OTHER = new_secret(), new_secret(), new_secret()
SECRETS = KnownSecrets(SECRET, [FORMER], {"sub_other": OTHER})
NOW = 1_790_000_000
BODY = '{"title":"Fähre & Brücke","version":1}'.encode()


def signed(
    body: bytes = BODY, *, secret: str = SECRET, at: int = NOW, id_: str = "msg_1", as_body: bytes | None = None
) -> Any:
    """Return a request that was signed over a body, and arrived ``as_body``."""
    signatures = ["v1,aaaa", signature(secret, id_, at, body)]
    return SignedRequest("msg_1", at, signatures, body if as_body is None else as_body)


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (signed(), Verdict.VALID),
        (signed(secret=FORMER), Verdict.FORMER_SECRET),
        (signed(at=NOW - 301), Verdict.CLOCK),
        (signed(at=NOW + 301), Verdict.CLOCK),
        (signed(secret=OTHER), Verdict.WRONG_SECRET),
        (signed(secret=new_secret()), Verdict.CHANGED_HEADERS),
        (signed(as_body=json.dumps(json.loads(BODY)).encode()), Verdict.RESERIALISED),
        (signed(as_body=json.dumps(json.loads(BODY), indent=2, sort_keys=True).encode()), Verdict.RESERIALISED),
        (signed(as_body=BODY + b"\r\n"), Verdict.LINE_ENDS),
        (signed(as_body=BODY.replace(b"1", b"2")), Verdict.CHANGED_BODY),
        (signed(as_body=b"\xff not json"), Verdict.CHANGED_BODY),
        (signed(id_="msg_2"), Verdict.CHANGED_HEADERS),
    ],
)
def test_a_check_finds_the_mistake(request_: SignedRequest, verdict: Verdict) -> None:
    assert check(request_, SECRETS, BODY, NOW).verdict is verdict


def test_without_the_sent_body_a_rewritten_one_is_still_found() -> None:
    spaced = json.dumps(json.loads(BODY), ensure_ascii=False).encode()
    assert check(signed(as_body=spaced), SECRETS, None, NOW).verdict is Verdict.RESERIALISED
    assert check(signed(as_body=BODY + b" x"), SECRETS, None, NOW).verdict is Verdict.UNKNOWN
    assert check(signed(secret=OTHER), SECRETS, None, NOW).about == "sub_other"


@pytest.mark.parametrize(
    "pasted",
    [
        "curl -H 'webhook-id: msg_1' -H 'webhook-timestamp: 1790000000' -H 'webhook-signature: v1,abc='",
        '{"webhook-id": "msg_1", "webhook-timestamp": 1790000000, "webhook-signature": "v1,abc="}',
        "{'webhook-id': ['msg_1'], 'webhook-timestamp': ['1790000000'], 'webhook-signature': ['v1,abc=']}",
        "Webhook-Id=msg_1\r\nWEBHOOK-TIMESTAMP: 1790000000\r\nwebhook-signature:v1,abc=\r\n",
        "x-old-webhook-id: msg_0\nwebhook-id:\nmsg_1\nwebhook-timestamp\t1790000000\nwebhook-signature:\u00a0v1,abc=\u200b",
        '{"webhook-id": [\n "msg_1"\n], "webhook-timestamp": [\n "1790000000"\n], "webhook-signature": [\n "v1,abc="\n]}',
        "HTTP_WEBHOOK_ID=msg_1\nHTTP_WEBHOOK_TIMESTAMP=1790000000\nHTTP_WEBHOOK_SIGNATURE=v1,abc=",
        '{"HTTP_WEBHOOK_ID"=>"msg_1", "HTTP_WEBHOOK_TIMESTAMP"=>"1790000000", "HTTP_WEBHOOK_SIGNATURE"=>"v1,abc="}',
        "Array\n(\n [Webhook-Id] => msg_1\n [Webhook-Timestamp] => 1790000000\n [Webhook-Signature] => v1,abc=\n)",
        "'webhook-id' => array (\n 0 => 'msg_1',\n),'webhook-timestamp' => array (\n 0 => '1790000000',\n),"
        "'webhook-signature' => array (\n 0 => 'v1,abc=',\n)",
        "map[Webhook-Id:[msg_1] Webhook-Signature:[v1,abc=] Webhook-Timestamp:[1790000000]]",
        'http.Header{"Webhook-Id":[]string{"msg_1"}, "Webhook-Timestamp":[]string{"1790000000"}, '
        '"Webhook-Signature":[]string{"v1,abc="}}',
        "{accept=*/*, webhook-id=msg_1, webhook-timestamp=1790000000, webhook-signature=v1,abc=}",
        "[(b'webhook-id', b'msg_1'), (b'webhook-timestamp', b'1790000000'), (b'webhook-signature', b'v1,abc=')]",
    ],
)
def test_headers_are_read_from_commands_and_logs(pasted: str) -> None:
    headers = read_headers(pasted)
    assert headers == {"webhook-id": "msg_1", "webhook-timestamp": "1790000000", "webhook-signature": "v1,abc="}


def test_a_header_without_a_value_is_not_taken_from_the_next_one() -> None:
    assert read_headers("webhook-id:\ncontent-type: a\nwebhook-timestamp:\nwebhook-signature:") == {}
    two = "webhook-signature: v1,abc= v1,def="
    assert read_headers(f"vary: webhook-id, webhook-signature\n{two}") == {"webhook-signature": "v1,abc= v1,def="}


def test_headers_of_any_size_are_read_in_little_time() -> None:
    began = time.process_time()
    for pasted in ("webhook-id: " + "a" * 400_000 + ":", "webhook-id" + " 0" * 200_000, "webhook-signature" * 30_000):
        read_headers(pasted)
    assert time.process_time() - began < 30  # a hundred times as long as it takes


def test_headers_are_read_as_people_paste_them() -> None:
    pasted = "< webhook-id: msg_1\n> Webhook-Timestamp: 1790000000\n'webhook-signature': 'v1,abc=',\nno header"
    headers = read_headers(pasted)
    assert headers == {"webhook-id": "msg_1", "webhook-timestamp": "1790000000", "webhook-signature": "v1,abc="}
    assert read_request(headers, b"") == SignedRequest("msg_1", NOW, ["v1,abc="], b"")
    assert read_request({}, b"") == CheckResult(Verdict.MISSING_HEADER, "webhook-id")
    assert read_request(headers | {"webhook-timestamp": "soon"}, b"") == CheckResult(Verdict.MALFORMED_TIME, "soon")
    assert read_request(headers | {"webhook-signature": "abc"}, b"") == CheckResult(Verdict.MALFORMED_SIGNATURE)


async def test_what_a_receiver_got_is_checked_on_the_page_without_showing_a_secret(
    portal: Portal, receiver: Receiver
) -> None:
    mine, other = await portal.subscribe(f"{receiver.url}/a"), await portal.subscribe(f"{receiver.url}/b")
    theirs = await portal.subscribe(f"{receiver.url}/c", account="Valley Radio")
    portal.desk.clock.now = time.time()
    await portal.desk.fan_out([await portal.desk.put("a1", title="Fähre")])
    await portal.desk.deliver()
    [got] = [each for each in receiver.got if each.path == "/a"]
    headers = "\n".join(
        f"{name}: {value}" for name, value in got.headers.items() if name.lower().startswith("webhook-")
    )
    browser = await portal.subscriber()

    async def verdict(subscription: str, body: bytes) -> str:
        await browser.get("/portal/signatures")
        page = await browser.post("/portal/signatures", subscription=subscription, headers=headers, body=body.decode())
        assert not {secret for secret in (mine.secret, other.secret) if secret in page.text}
        assert page.status_code == 200
        return next(each for each in Verdict if texts("en")[f"check_{each}_fix"].replace("'", "&#39;") in page.text)

    assert await verdict(mine.id, got.body) is Verdict.VALID
    assert await verdict(mine.id, json.dumps(got.event, sort_keys=True, indent=1).encode()) is Verdict.RESERIALISED
    assert await verdict(mine.id, got.body.replace(b"dawn", b"noon")) is Verdict.CHANGED_BODY
    assert await verdict(other.id, got.body) is Verdict.WRONG_SECRET
    await browser.get("/portal/signatures")
    assert (
        await browser.post("/portal/signatures", subscription=theirs.id, headers=headers, body="{}")
    ).status_code == 404
    await browser.get("/portal/signatures")
    huge = await browser.post("/portal/signatures", subscription=mine.id, headers=headers, body="x" * 600_000)
    assert huge.status_code == 413


def python_program(folder: Path) -> list[str]:
    (folder / "verify.py").write_text(samples()["Python"])
    (folder / "main.py").write_text(
        "import json, sys\nfrom verify import verify\n"
        "case = json.load(sys.stdin)\nprint(verify(case['secret'], case['headers'], case['body'].encode()))\n"
    )
    return [sys.executable, "main.py"]


def node_program(folder: Path) -> list[str]:
    (folder / "verify.mjs").write_text(samples()["Node"])
    (folder / "main.mjs").write_text(
        'import { readFileSync } from "node:fs";\nimport { verify } from "./verify.mjs";\n'
        'const c = JSON.parse(readFileSync(0, "utf8"));\n'
        "console.log(verify(c.secret, c.headers, Buffer.from(c.body)));\n"
    )
    return ["node", "main.mjs"]


def go_program(folder: Path) -> list[str]:
    (folder / "go.mod").write_text("module receiver\n\ngo 1.20\n")
    (folder / "verify.go").write_text(samples()["Go"].replace("package receiver", "package main"))
    (folder / "main.go").write_text(
        'package main\n\nimport (\n\t"encoding/json"\n\t"fmt"\n\t"net/http"\n\t"os"\n)\n\n'
        "func main() {\n\tvar c struct {\n\t\tSecret, Body string\n\t\tHeaders map[string]string\n\t}\n"
        "\t_ = json.NewDecoder(os.Stdin).Decode(&c)\n\th := http.Header{}\n"
        "\tfor name, value := range c.Headers {\n\t\th.Set(name, value)\n\t}\n"
        "\tfmt.Println(Verify(c.Secret, h, []byte(c.Body)))\n}\n"
    )
    return ["go", "run", "."]


def php_program(folder: Path) -> list[str]:
    (folder / "verify.php").write_text(samples()["PHP"])
    (folder / "main.php").write_text(
        "<?php require 'verify.php'; $c = json_decode(file_get_contents('php://stdin'), true);"
        " echo verify($c['secret'], $c['headers'], $c['body']) ? 'true' : 'false';\n"
    )
    return ["php", "main.php"]


PROGRAMS: dict[str, Callable[[Path], list[str]]] = {
    "python3": python_program,
    "node": node_program,
    "go": go_program,
    "php": php_program,
}
INSTALLED = [name for name in PROGRAMS if shutil.which(name)]


@pytest.mark.parametrize("language", INSTALLED)
def test_the_code_samples_accept_what_is_signed_and_nothing_else(language: str, tmp_path: Path) -> None:
    command = PROGRAMS[language](tmp_path)
    now = int(time.time())

    def verifies(body: bytes = BODY, *, at: int = now, secret: str = SECRET) -> bool:
        signatures = f"v1,{'A' * 43}= {signature(secret, 'msg_1', at, BODY)}"
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signatures}
        case = json.dumps({"secret": SECRET, "headers": headers, "body": body.decode()})
        done = subprocess.run(command, cwd=tmp_path, input=case, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().lower() == "true"

    assert verifies()
    assert not verifies(BODY + b" ")
    assert not verifies(secret=OTHER)
    assert not verifies(at=now - 301)
