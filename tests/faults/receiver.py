"""A receiver of webhooks that keeps what it gets, in a container of its own: ``python receiver.py``, port 9000.

``POST`` to any path is kept and answered 204; under ``/flaky`` every twentieth webhook is answered 503 the first time.
``GET /?after=N`` returns all that came from number N on, as a JSON array of {path, headers, body, status}.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PORT = 9000
REFUSED_ONE_IN = 20


class Receiver(BaseHTTPRequestHandler):
    """Keeps requests in one list for all connections."""

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
            refused = self.path.startswith("/flaky") and first and len(self.seen) % REFUSED_ONE_IN == 0
            status = 503 if refused else 204
            self.kept.append({"path": self.path, "headers": headers, "body": body, "status": status})
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        after = int(parse_qs(urlsplit(self.path).query).get("after", ["0"])[0])
        with self.lock:
            body = json.dumps(self.kept[after:]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Receiver).serve_forever()
