"""Has the operating system probe idle connections.

Firewalls and address translators do not forget a connection that is probed, and one whose other end is gone is closed after half a
minute, before the next webhook is written to it and waits for a response in vain.
"""

import socket

PROBE_AFTER_SECONDS, PROBE_EVERY_SECONDS, MAX_LOST_PROBES = 15, 5, 3
_OPTIONS = (
    ("TCP_KEEPIDLE", PROBE_AFTER_SECONDS),
    ("TCP_KEEPINTVL", PROBE_EVERY_SECONDS),
    ("TCP_KEEPCNT", MAX_LOST_PROBES),
)


def probe_when_idle(sock: socket.socket) -> None:
    """Have a connected TCP socket probed while nothing is sent; with the system's own times where it lacks one of the options."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
