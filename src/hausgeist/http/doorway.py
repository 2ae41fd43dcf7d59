"""What a port of HTTPS says to a client that speaks plain HTTP: a sentence, where there would be a closed connection or unreadable bytes.

It is noticed in the handshake, before there is a connection to protect; connections that are made right cost nothing more.
"""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ["Doorway"]

_TEXT = b"This port speaks HTTPS. Ask for https:// where you asked for http://.\n"
_ANSWER = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
    len(_TEXT),
    _TEXT,
)


class _Handshake(ssl.SSLObject):
    """One connection, and what comes in and goes out of it before it is read."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    _begun = _plain = False

    def do_handshake(self) -> None:
        if not self._begun and self.incoming.pending:
            self._begun, first = True, self.incoming.read()
            self._plain = first[:1].isalpha() and first[:1].isupper()  # of a method; a handshake begins with 0x16
            if self._plain:
                self.outgoing.write(_ANSWER)
            else:
                self.incoming.write(first)
        if self._plain:
            # Closing now could cost the client the answer while the rest of its request is on its way: it leaves, or the handshake's time ends.
            self.incoming.read()
            raise ssl.SSLWantReadError("plain HTTP on a port of HTTPS")
        super().do_handshake()


class Doorway(ssl.SSLContext):
    """For sockets that listen."""

    sslobject_class = _Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(made, _Handshake)
        made.incoming, made.outgoing = incoming, outgoing
        return made
