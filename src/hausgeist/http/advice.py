"""What somebody who has just started a server should do next, where the settings leave something to do."""

from __future__ import annotations

from hausgeist.settings import Settings

__all__ = ["advice"]


def advice(settings: Settings, *, keys: int, users: int) -> list[str]:
    """Sentences to print after the addresses. `keys`: API keys there are; `users`: people besides the local owner."""
    said = []
    if (settings.keys_demanded or settings.behind_proxy or not settings.loopback) and not keys and not users:
        said.append(
            "Nobody can use this server yet: it demands keys, and there is none. Make one: hausgeist key create --project default --role owner"
        )
    if settings.tls_on and settings.tls_certificate is None:
        said.append(
            "Other machines trust this server once they have its certificate: hausgeist cert export > hausgeist-ca.crt, and install that there."
        )
    if not settings.loopback and not settings.tls_on and not settings.behind_proxy:
        said.append("TLS is off: keys, prompts and answers cross the network in the clear. Leave out tls = false to turn it on.")
    return said
