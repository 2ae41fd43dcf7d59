"""A file server that costs next to nothing: `python -m benchmarks.ranges FILE` serves a file, `... zeros SIZE` that many zeros. Prints its port.

Bodies go by sendfile, ranges are honoured, one thread for each connection.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading

__all__: list[str] = []

_RANGE = re.compile(rb"(?i)range: bytes=(\d+)-(\d*)")
_ZEROS = 64 << 20


def _serve(connection: socket.socket, descriptor: int, size: int, *, zeros: bool) -> None:
    read = b""
    with connection, contextlib.suppress(OSError):
        while True:
            while b"\r\n\r\n" not in read:
                more = connection.recv(1 << 16)
                if not more:
                    return
                read += more
            head, _, read = read.partition(b"\r\n\r\n")
            match = _RANGE.search(head)
            start, end = 0, size
            status = b"200 OK"
            if match:
                start, end = int(match[1]), min(int(match[2] or size) + 1, size)
                status = b"206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (start, end - 1, size)
            connection.sendall(b'HTTP/1.1 %b\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % (status, end - start))
            while start < end:
                start += os.sendfile(connection.fileno(), descriptor, 0 if zeros else start, min(end - start, _ZEROS))


def main() -> None:
    zeros = sys.argv[1] == "zeros"
    if zeros:
        size, descriptor = int(sys.argv[2]), os.memfd_create("zeros")
        os.ftruncate(descriptor, _ZEROS)
    else:
        descriptor = os.open(sys.argv[1], os.O_RDONLY)
        size = os.fstat(descriptor).st_size
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, descriptor, size), kwargs={"zeros": zeros}, daemon=True).start()


if __name__ == "__main__":
    main()
