"""Compare the pinned dependencies with known advisories (OSV): `python .ci/audit.py requirements.lock`.

Where the advisories come from:
    NEWSWIRE_ADVISORIES   a zip of OSV records (https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip), for machines without
                          a way out; it must be there, and is as good as it is new
    otherwise             https://api.osv.dev, or another server with that API that NEWSWIRE_OSV_URL names
Where that cannot be reached it says so and ends with 0: nothing was audited. NEWSWIRE_AUDIT_REQUIRED=1 makes that an error.
NEWSWIRE_AUDIT_IGNORE names advisories that were judged, separated by commas.

Exit codes: 0 nothing found or nothing audited (the last line says which), 1 advisories that apply, 2 it could not be done.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

OSV = "https://api.osv.dev"
SECONDS = 20
Pins = dict[str, str]


def main() -> int:
    """Audit the locks that are named."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    pins = {name: version for path in sys.argv[1:] for name, version in read_pins(path)}
    file = os.environ.get("NEWSWIRE_ADVISORIES")
    try:
        found = list(in_file(file, pins) if file else from_service(pins))
    except (urllib.error.URLError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if file:
            print(f"dependency audit: {file} cannot be read: {error!r}", file=sys.stderr)
            return 2
        print(f"dependency audit: SKIPPED, nothing was audited: {address()} cannot be asked: {error}. ", end="")
        print("Name a file of advisories by NEWSWIRE_ADVISORIES to audit without it.")
        return 2 if os.environ.get("NEWSWIRE_AUDIT_REQUIRED") else 0
    ignored = set(filter(None, re.split(r"[\s,]+", os.environ.get("NEWSWIRE_AUDIT_IGNORE", ""))))
    left = [each for each in found if not ignored & {each[0], *each[2]}]
    for advisory, name, aliases, summary in sorted(left):
        print(" ".join([name, f"{pins[name]}:", advisory, *aliases, summary]).rstrip())
    print(
        f"dependency audit: {len(pins)} packages, {len(left)} advisories apply, {len(found) - len(left)} ignored"
        f" (from {file or address()})"
    )
    return 1 if left else 0


def read_pins(path: str) -> Iterator[tuple[str, str]]:
    """Return names and versions of a lock."""
    with open(path, encoding="utf-8") as lock:
        for line in lock:
            if pin := re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)", line):
                yield canonicalize_name(pin[1]), pin[2]


def address() -> str:
    """Return where advisories are asked for."""
    return os.environ.get("NEWSWIRE_OSV_URL", OSV).rstrip("/")


def from_service(pins: Pins) -> Iterator[tuple[str, str, list[str], str]]:
    """Ask the service about all pins at once, then for each advisory that it names."""
    queries = [{"package": {"ecosystem": "PyPI", "name": name}, "version": pin} for name, pin in pins.items()]
    answers = ask("/v1/querybatch", {"queries": queries})["results"]
    if len(answers) != len(queries):
        raise ValueError("it answered less than it was asked")
    for name, answer in zip(pins, answers, strict=True):
        for each in answer.get("vulns", ()):
            record = ask(f"/v1/vulns/{each['id']}")
            if not record.get("withdrawn"):
                yield record["id"], name, record.get("aliases", []), record.get("summary", "")
        if answer.get("next_page_token"):
            raise ValueError(f"it has more about {name} than one answer holds")


def ask(path: str, body: object = None) -> Any:
    """Send one request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address() + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def in_file(path: str, pins: Pins) -> Iterator[tuple[str, str, list[str], str]]:
    """Look through a zip of records."""
    with zipfile.ZipFile(path) as records:
        names = [name for name in records.namelist() if name.endswith(".json")]
        if not names:
            raise ValueError("it holds no records")
        for name in names:
            record = json.loads(records.read(name))
            for affected in () if record.get("withdrawn") else record.get("affected", ()):
                package = affected.get("package", {})
                pinned = canonicalize_name(package.get("name", ""))
                if package.get("ecosystem") == "PyPI" and pinned in pins and applies(affected, pins[pinned]):
                    yield record["id"], pinned, record.get("aliases", []), record.get("summary", "")
                    break


def applies(affected: dict[str, Any], pin: str) -> bool:
    """Return whether a version is among those that a record names; one that cannot be compared is."""
    version = Version(pin)
    if any(same(each, version) for each in affected.get("versions", ())):
        return True
    return any(
        within(each.get("events", ()), version) for each in affected.get("ranges", ()) if each["type"] == "ECOSYSTEM"
    )


def same(text: str, version: Version) -> bool:
    """Return whether a text names the version."""
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def within(events: list[dict[str, str]], version: Version) -> bool:
    """Return whether a version lies in a range of OSV, whose events are in order."""
    affected = False
    for event in events:
        for kind, text in event.items():
            try:
                at = Version("0" if text == "0" else text)
            except InvalidVersion:
                return True
            if kind == "introduced" and version >= at:
                affected = True
            elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
                affected = False
    return affected


if __name__ == "__main__":
    sys.exit(main())
