"""Against guessing at the sign-in from one place: failures count per name and address, and per address whatever the name.

An address of IPv6 stands for its network of 64 bits, which is what one customer of a provider has to guess from. Guesses at one name from
many places are `workspace`'s to slow down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network

from hausgeist.errors import Busy
from hausgeist.http.facts import parse_address
from hausgeist.workspace.throttle import Throttle

__all__ = ["SignInThrottle"]

_FREE = 5
_FREE_PER_ADDRESS = 20


class SignInThrottle:
    """A name is what was signed in with: a user's name, "a key" or "a link"."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = Throttle(longest=900.0, forget=3600.0, most=20_000, clock=clock)

    def check(self, name: str, address: str) -> None:
        """Raises `Busy` with the seconds to wait. Called before a password is looked at."""
        address = _network(address)
        wait = max(self._failures.wait((name, address), free=_FREE), self._failures.wait(address, free=_FREE_PER_ADDRESS))
        if wait > 0:
            raise Busy(f"Too many failed attempts to sign in. Try again in {wait:.0f} seconds.", retry_after=wait)

    def failed(self, name: str, address: str) -> None:
        """Count one."""
        address = _network(address)
        self._failures.failed((name, address))
        self._failures.failed(address)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of this name here; those of the address stay, or one good account would pay for guessing others."""
        self._failures.succeeded((name, _network(address)))


def _network(address: str) -> str:
    known = parse_address(address)
    return str(ip_network((known, 64), strict=False)) if isinstance(known, IPv6Address) else address
