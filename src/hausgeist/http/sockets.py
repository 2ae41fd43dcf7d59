"""Listening sockets: opened before anything else starts, so that a port that is taken is found out at once and said plainly."""

from __future__ import annotations

import errno
import socket
import sys

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest

__all__ = ["listen", "raise_file_limit", "urls"]

_BACKLOG = 2048
_OPEN_FILES = 65_536


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of `host`, all on one port. Raises `Conflict` for a port in use, `InvalidRequest` for a host that
    is none of this machine's."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidRequest(f"host = '{host}' is not an address or name of this machine ({getattr(error, 'strerror', None) or error}).") from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sockets.append(_open(family, kind, protocol, (str(address[0]), port, *address[2:])))
            except OSError as error:
                # "localhost" stands for ::1 as well, even where there is no IPv6.
                if sockets and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    continue
                if not sockets and family == socket.AF_INET6 and len(found) > 1 and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    continue
                raise _failure(error, host, port) from error
            port = sockets[0].getsockname()[1]
        if not sockets:
            raise InvalidRequest(f"host = '{host}' is not an address of this machine.")
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def urls(sockets: list[socket.socket], *, tls: bool) -> list[str]:
    """How the sockets are reached from this machine, the plainest first."""
    scheme, shown = "https" if tls else "http", []
    for one in sockets:
        host, port = one.getsockname()[:2]
        name = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104
        shown.append(f"{scheme}://{name}:{port}")
    return list(dict.fromkeys(shown))


def raise_file_limit() -> None:
    """Each connection is an open file, and many systems give a process 1,024 of them unless it asks."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return


def _open(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            # On Windows this would allow to take over a port that is in use.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        one.setblocking(False)
        one.bind(address)
        one.listen(_BACKLOG)
    except BaseException:
        one.close()
        raise
    return one


def _failure(error: OSError, host: str, port: int) -> HausgeistError:
    if error.errno == errno.EADDRINUSE:
        return Conflict(f"Port {port} on {host} is in use by another program (another hausgeist, perhaps). Stop that, or choose a port with --port.")
    if error.errno == errno.EACCES:
        return InvalidRequest(f"Port {port} may not be opened by this user; ports from 1024 on may. Choose one with --port.")
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidRequest(f"host = '{host}' is not an address of this machine. Use one that is, or 0.0.0.0 for all.")
    return InvalidRequest(f"{host}:{port} cannot be listened on: {error.strerror}.")
