"""Schemathesis for every documented operation: no 5xx, and only responses that the OpenAPI document declares.

This runs a few examples per operation; ``make fuzz`` runs thousands. ``NEWSWIRE_FUZZ_EXAMPLES`` is the number of requests of each
kind per operation, ``NEWSWIRE_FUZZ_SEED`` sets another seed.
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import BARE
from tests.fuzz import hooks
from tests.fuzz.installation import ACCOUNT, Installation, installation

SERVICES = {
    "ingest": r"^/v1/(articles|keys|accounts|topics|audit-log)",
    "search, and what every service answers": r"^/(v1/search|feeds|sitemap|robots|opensearch|healthz|readyz|status|metrics)",
    "notify": r"^/v1/(subscriptions|dead-letters|stream|events)",
}
EXAMPLES = os.environ.get("NEWSWIRE_FUZZ_EXAMPLES")
SEED = os.environ.get("NEWSWIRE_FUZZ_SEED", "1")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("fuzz") / "data") as running:
        yield running


@pytest.mark.parametrize("service", SERVICES)
async def test_responses_conform_to_the_openapi_document(fuzzed: Installation, tmp_path: Path, service: str) -> None:
    here = Path(__file__).parent
    arguments = [
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(here / "schemathesis.toml")),
        *("run", f"{fuzzed.site}/openapi.json"),
        *("--include-path-regex", SERVICES[service]),
        *("--header", f"Authorization: Bearer {fuzzed.token}"),
        *("--checks", "all"),
        *("--max-examples", EXAMPLES or "2"),
        *("--phases", "coverage,fuzzing,stateful" if EXAMPLES else "fuzzing,stateful"),
        *("--seed", SEED),
        *("--generation-database", "none"),
        *("--suppress-health-check", "all"),
        *("--request-timeout", "60"),
        "--continue-on-failure",
        "--no-color",
    ]
    environment = BARE | {
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "PYTHONPATH": str(here.parents[1]),
        hooks.KEY_ID: fuzzed.key_id,
        hooks.ACCOUNT: ACCOUNT,
        hooks.WEBHOOK: fuzzed.webhook,
    }
    process = await asyncio.create_subprocess_exec(
        *arguments, env=environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    sys.stdout.write(output.decode())
    assert process.returncode == 0, output.decode()
    assert "Errors:" not in output.decode()
    assert re.search(r"^ +[1-9]\d* generated", output.decode(), re.MULTILINE)
