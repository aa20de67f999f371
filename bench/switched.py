"""A service that turns its spans and metrics on and off on request: ``python -m bench.switched CONTROL_PORT SERVICE PORT``.

So the same process does the same work in every way, in turns: processes of their own would differ by more than what is to be
measured. A datagram with a mode of `MODES` to the control port switches it. The reply comes once the spans so far are sent, and
has the processor times so far: in nanoseconds, where those that the system tells of another process are rounded to 10 ms.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from prometheus_client import Counter, Gauge, Histogram

from newswire.http.application import run, serve
from newswire.http.listening import bind
from newswire.observability import tracing
from newswire.observability.json_logging import log_as_json
from newswire.observability.span_export import EntryPointProvider
from newswire.settings import Settings
from newswire_cli.commands.serve import MODULES

NOTHING, NO_METRICS = "nothing", "no metrics"
RATIOS = {"one in 100": 0.01, "one in 10": 0.1, "all": 1.0}
MODES = (NOTHING, *RATIOS, NO_METRICS)
_CHANGES = [(Counter, "inc"), (Histogram, "observe"), *((Gauge, name) for name in ("inc", "dec", "set"))]


class Sending:
    """Adds up the processor time of encoding and sending spans."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._send = OTLPSpanExporter.export
        patch.object(OTLPSpanExporter, "export", lambda exporter, spans: self._timed(exporter, spans)).start()

    def _timed(self, exporter: OTLPSpanExporter, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        began = time.thread_time()
        try:
            return self._send(exporter, spans)
        finally:
            self.seconds += time.thread_time() - began


class Switch:
    """Changes what this process records."""

    def __init__(self) -> None:
        provider = trace.get_tracer_provider()
        assert isinstance(provider, EntryPointProvider), "no receiver of spans is set"
        self._provider = provider
        self._without = ExitStack()

    def to(self, mode: str) -> None:
        """Send all spans so far, and switch to a mode."""
        self._provider.force_flush()
        self._without.close()
        if ratio := RATIOS.get(mode):
            self._provider.requests.inner = ParentBased(TraceIdRatioBased(ratio))
            return
        for target, value in (
            ("newswire.observability.tracing.is_chosen", lambda _: False),
            ("newswire.observability.tracing._tracer", trace.NoOpTracer()),
            ("opentelemetry.trace._TRACER_PROVIDER", None),
        ):
            self._without.enter_context(patch(target, value))
        assert not tracing.is_set_up()
        if mode == NO_METRICS:
            for kind, name in _CHANGES:
                self._without.enter_context(patch.object(kind, name, _ignored))


def _ignored(*_: object, **__: object) -> None: ...


def _obey(control: socket.socket, sending: Sending) -> None:
    switch = Switch()
    while True:
        mode, sender = control.recvfrom(100)
        switch.to(mode.decode())
        control.sendto(json.dumps([time.process_time(), sending.seconds]).encode(), sender)


def switcher(port: int) -> Callable[[str], tuple[float, float]]:
    """Return a function that switches the service with this control port.

    It returns the processor time of the service so far, in seconds, and how much of it went into encoding and sending spans.
    """
    connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connected.connect(("127.0.0.1", port))
    connected.settimeout(60)

    def switch(mode: str) -> tuple[float, float]:
        connected.send(mode.encode())
        spent, sending = json.loads(connected.recv(100))
        return spent, sending

    return switch


async def _start(port: int, sending: Sending) -> None:
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    control.bind(("127.0.0.1", port))
    threading.Thread(target=_obey, args=(control, sending), daemon=True).start()


if __name__ == "__main__":
    log_as_json()
    sent = Sending()
    tracing.set_up(sys.argv[2])
    made = import_module(MODULES[sys.argv[2]]).service
    listener = bind("127.0.0.1", int(sys.argv[3]))
    run(serve([made], Settings(), listener, started=lambda: _start(int(sys.argv[1]), sent)))
