"""Who is asking, and from where. Values only: `workspace` knows how to find them, `governance` what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal

__all__ = ["DEFAULT_PROJECT", "LOCAL_OWNER", "ROLES", "Origin", "Principal", "Role", "is_loopback_name", "is_this_machine"]

Role = Literal["owner", "member", "reader"]
ROLES: tuple[Role, ...] = ("owner", "member", "reader")
"""From strongest to weakest. Owners administer, members use and change, readers only look and ask."""

DEFAULT_PROJECT = "default"
"""Id of the project that exists from the first start on."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller, as decided once at the door.

    `role` is what the caller may do in `project` (for a key: the key's right; for a user: the membership);
    `house_role` is what they may do on the whole server: create projects, users, load and delete models.
    `user` is the person behind a key, the share by which queues are fair; the local owner is "local".
    """

    kind: Literal["local", "user", "key"]
    id: str
    name: str
    user: str
    role: Role
    house_role: Role
    project: str = DEFAULT_PROJECT


LOCAL_OWNER = Principal(kind="local", id="local", name="local owner", user="local", role="owner", house_role="owner")


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a request came: the peer's address, and what the audit table should say about the client."""

    address: str
    agent: str = ""
    request_id: str = ""
    background: bool = False
    """Nobody waits for the answer: it comes after those that somebody waits for."""


def is_loopback_name(host: str) -> bool:
    """Whether `host` is a name of this machine itself, whatever a name server says."""
    return host == "localhost" or host.endswith(".localhost")


def is_this_machine(host: str) -> bool:
    """Whether a name or address (in lower case, without brackets) can only mean the machine it is said on."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return is_loopback_name(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
