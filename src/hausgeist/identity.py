"""Who is asking. Values only: `workspace` knows how to find them, `governance` what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFAULT_PROJECT", "LOCAL_OWNER", "ROLES", "Origin", "Principal", "Role"]

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
