"""What somebody who has just started a server should do next, where the settings leave something to do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hausgeist.settings import Settings

__all__ = ["advice"]


def advice(settings: Settings, *, keys: int, users: int, uncovered: Sequence[str] = (), command: str = "hausgeist") -> list[str]:
    """Sentences to print after the addresses. `keys`: API keys there are; `users`: people besides the local owner; `uncovered`: what this
    machine is called as well, but not by its certificate; `command`: how this program is started here."""
    said = []
    if (settings.keys_demanded or settings.behind_proxy or not settings.loopback) and not keys and not users:
        said.append(
            f"Nobody can use this server yet: it demands keys, and there is none. Make one: {command} key create --project default --role owner"
        )
    if settings.tls_on and settings.tls_certificate is None:
        said.append(
            f"Other machines trust this server once they have its certificate: {command} cert export > hausgeist-ca.crt, and install that there."
        )
    if uncovered and settings.tls_certificate is None:
        names = " ".join(f"--name {shlex.quote(name)}" for name in uncovered)
        said.append(
            f"The certificate does not cover {' and '.join(uncovered)}, so no client would trust this server there. To be reached there, start it "
            f"with {names}: that makes a new authority where need be. Then export it and install it on the devices again."
        )
    elif uncovered:
        said.append(f"{settings.tls_certificate} does not cover {' and '.join(uncovered)}, so those are not offered as addresses.")
    if not settings.loopback and not settings.tls_on and not settings.behind_proxy:
        said.append("TLS is off: keys, prompts and answers cross the network in the clear. Leave out tls = false to turn it on.")
    return said
