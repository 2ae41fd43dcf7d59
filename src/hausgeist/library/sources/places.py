"""Where the registry of a name is: the configured one, or the host that the name begins with, over https unless it may be otherwise. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from hausgeist.library.reference import Reference
from hausgeist.library.sources.outbound import is_loopback, origin_of

__all__ = ["Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """`base` is the address of the configured registry, `plain_http` the hosts that are spoken to without protection."""

    base: str
    plain_http: frozenset[str] = frozenset()

    def of(self, reference: Reference) -> tuple[str, str]:
        """Base address and repository of a name."""
        path = reference.path.lower() if reference.path.lower().startswith("library/") else reference.path
        return (self.of_host(reference.host) if reference.host else self._base), quote(path)

    def of_host(self, host: str) -> str:
        """Base address of a host, with its port where that is not the usual one."""
        if origin_of(self._base) in {origin_of(f"http://{host}"), origin_of(f"https://{host}")}:
            return self._base
        return f"{'http' if is_loopback(host) or host in self.plain_http else 'https'}://{host}"

    @property
    def _base(self) -> str:
        return self.base.rstrip("/")
