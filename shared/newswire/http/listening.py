"""The socket that a process serves on."""

import socket


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address and does not listen yet; for port 0, to a port that is free.

    The process listens once it can answer: until then, balancers go on. Until then it holds the port, so that no other process
    takes it.

    Raises:
        OSError: the address cannot be used, for example because another process listens on it.
        OverflowError: the port is not a number from 0 to 65535.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if port:  # Sockets that may share an address while none of them listens could be given the same port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound
