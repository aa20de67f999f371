"""Damaged images of every format: each is refused or cleaned, or ends only the process that decodes it, within its limits."""

import random

from newswire.concurrency.worker_process import WorkerKilledError, WorkerProcess
from newswire_ingest.media.image_worker import MEMORY_BYTES
from tests.ingest.media.images import animation, tagged

ROUNDS = 40
PROCESSOR_SECONDS = 3.0
SEED = 20260101


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return content with bytes changed, removed, repeated or moved."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(damaged) - 8)
        match chance.randrange(5):
            case 0:
                damaged[at] = chance.randrange(256)
            case 1:
                damaged[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 2:
                del damaged[at : at + chance.randint(1, 64)]
            case 3:
                damaged[at:at] = damaged[at : at + chance.randint(1, 64)]
            case _:
                del damaged[-chance.randint(1, len(damaged) // 2) :]
        if len(damaged) < 32:
            break
    return bytes(damaged)


def decoded(worker: WorkerProcess, content: bytes) -> tuple[bytes, bytes]:
    try:
        head, _, clean = worker.call(b"{}\n" + content).partition(b"\n")
    except WorkerKilledError:
        return b'"problem"', b""
    return head, clean


def test_a_damaged_image_is_refused_or_cleaned() -> None:
    worker = WorkerProcess("newswire_ingest.media.decoding:answer", PROCESSOR_SECONDS, MEMORY_BYTES)
    try:
        _damage_all(worker)
    finally:
        worker.close()


def _damage_all(worker: WorkerProcess) -> None:
    chance = random.Random(SEED)
    sound = [tagged(format_) for format_ in ("JPEG", "PNG", "WEBP", "AVIF", "GIF")]
    sound += [animation(format_) for format_ in ("GIF", "WEBP", "PNG")]
    refused = 0
    for content in sound:
        for _ in range(ROUNDS):
            head, clean = decoded(worker, mutated(content, chance))
            assert (b'"problem"' in head) is not bool(clean)
            refused += b'"problem"' in head
            if clean:
                assert b'"problem"' not in decoded(worker, clean)[0], "what is stored can be decoded again"
    assert refused > len(sound) * ROUNDS // 4
