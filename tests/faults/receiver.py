"""A receiver that records webhooks, in a container of its own: ``python receiver.py``, port 9000.

``POST`` to any path is recorded and answered with 204; under ``/hook/`` every fiftieth webhook gets 503 the first time.
``GET /`` returns everything received, as a JSON array of {path, headers, body, status, at}, ``at`` in seconds since the epoch.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 9000
REFUSED_ONE_IN = 50


class Receiver(BaseHTTPRequestHandler):
    """Records the requests of all connections in one list."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    kept: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.lock:
            webhook = (self.path, headers.get("webhook-id", ""))
            first = webhook not in self.seen
            self.seen.add(webhook)
            refused = self.path.startswith("/hook/") and first and len(self.seen) % REFUSED_ONE_IN == 0
            status = 503 if refused else 204
            kept = {"path": self.path, "headers": headers, "body": body, "status": status, "at": time.time()}
            self.kept.append(kept)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        with self.lock:
            body = json.dumps(self.kept).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Receiver).serve_forever()
