"""Every address, asked all that its description allows and much that it does not: no 5xx, no answer that is not described.

``make fuzz`` asks some thousand times; here it is a handful.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.accounts import Scope, create_key
from newswire.keyspace import Keyspace

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)
THOROUGH = "NEWSWIRE_FUZZ_EXAMPLES"


@pytest.mark.parametrize(
    ("paths", "scope"), [("^/v1/articles", Scope.PUBLISH), ("^/v1/(keys|accounts|topics)", Scope.ADMIN)]
)
async def test_what_is_answered_is_what_is_described(
    served: tuple[asyncio.subprocess.Process, str],
    redis: Redis,
    namespace: str,
    tmp_path: Path,
    paths: str,
    scope: Scope,
) -> None:
    key = await create_key(redis, Keyspace(namespace), "Harbour Gazette", {scope})
    thorough = os.environ.get(THOROUGH)
    arguments = [
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{served[1]}/openapi.json",
        *("--include-path-regex", paths),
        *("--header", f"Authorization: Bearer {key.token}"),
        *("--checks", CHECKS),
        *("--max-examples", thorough or "5"),
        *("--phases", "coverage,fuzzing,stateful" if thorough else "fuzzing,stateful"),
        "--no-color",
    ]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.ingest.fuzz_hooks",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    process = await asyncio.create_subprocess_exec(
        *arguments, env=environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    sys.stdout.write(told.decode())
    assert process.returncode == 0, told.decode()
    assert "Errors:" not in told.decode()
