"""How the process of a service collects garbage."""

import gc

THRESHOLD = 20_000
"""Objects after which the youngest are searched for cycles. Requests and events make few cycles, and Python's own threshold of 700
costs a tenth of the processor time of handling them, and of importing a service."""


def collect_rarely() -> None:
    """Use the threshold of a service; called before its modules are imported."""
    gc.set_threshold(THRESHOLD)


def keep_objects() -> None:
    """Exclude what exists now from further collections: objects created during the start (code, schemas, clients) live until the
    end. It saves about a sixth of the processor time of consuming a backlog."""
    gc.collect()
    gc.freeze()
