"""What the downloader needs of the one outbound client, and how patient it is with what answers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hausgeist.identity import Origin, Principal

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientTimeout

__all__ = ["Outbound", "Patience"]


class Outbound(Protocol):
    """`governance.Egress`, as far as it is used here."""

    def request(
        self,
        method: str,
        url: str,
        *,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        timeout: float | ClientTimeout | None = None,
        who: Principal | None = None,
        origin: Origin | None = None,
        recorded: set[str] | None = None,
        read_buffer: int | None = None,
    ) -> AbstractAsyncContextManager[ClientResponse]:
        """A response whose body is still to be read. Raises `EgressRefused`, `Unavailable`. Hosts in `recorded` need no row in the audit table
        any more, and those that get one are added."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it is worth trying. Each connection counts its own failures, and forgets them when it got further."""

    tries: int = 8
    """Failures in a row that end the download."""
    first: float = 0.5
    """Seconds before the second try; doubled with each failure."""
    longest: float = 30.0
    longest_asked: float = 120.0
    """How long an upstream may make one wait (Retry-After)."""
    stall: float = 30.0
    """A connection that brings nothing for so many seconds, or next to nothing, is given up."""

    def delay(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after that many failures in a row, spread so that many clients do not come back at once."""
        own = min(self.longest, self.first * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)  # noqa: S311
        return max(own, min(asked or 0.0, self.longest_asked))
