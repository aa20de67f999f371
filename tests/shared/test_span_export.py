"""Telemetry that cannot be sent, or is set up wrongly, keeps no process from starting or stopping."""

import socket
import subprocess
import sys

_EXITING = """
import atexit, os, sys, time
os.environ.update({"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[1], "OTEL_EXPORTER_OTLP_TIMEOUT": "600"})
began = []
from newswire.observability import span_export, tracing
span_export.EXIT_SECONDS = 0.5
atexit.register(lambda: print(time.monotonic() - began[0]))  # runs last
tracing.set_up("example")
from opentelemetry import trace
from opentelemetry.trace import SpanKind
trace.get_tracer("example").start_span("request", kind=SpanKind.SERVER).end()
began.append(time.monotonic())
"""


def test_a_process_stops_while_the_receiver_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the SDK would wait for ten minutes
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run([sys.executable, "-c", _EXITING, address], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.4


_STARTING = """
import os
from newswire.observability import tracing
for wrong in (
    {"ENDPOINT": "collector:4318"},
    {"ENDPOINT": "http:///v1/traces"},
    {"ENDPOINT": "https://127.0.0.1:9", "CERTIFICATE": "/nothing.pem"},
):
    os.environ.update({f"OTEL_EXPORTER_OTLP_{name}": value for name, value in wrong.items()})
    tracing.set_up("example")
del os.environ["OTEL_EXPORTER_OTLP_CERTIFICATE"]
os.environ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"] = "many"
tracing.set_up("example")
print(tracing.is_set_up())
"""


def test_a_process_starts_with_variables_that_cannot_be_used_and_says_why() -> None:
    program = f"import logging; logging.basicConfig(format='%(message)s: %(reason)s'); {_STARTING}".replace(
        "; \n", "\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
    *corrected, refused = done.stderr.splitlines()
    assert ["no spans are sent" in each for each in corrected] == [True] * 3
    assert ["begins with http://" in each for each in corrected] == [True, True, False]
    assert "CERTIFICATE: the file /nothing.pem cannot be read" in corrected[2]
    assert "the variables OTEL_… cannot be used" in refused
