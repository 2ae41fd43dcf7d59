"""What people type to say which model they mean, parsed once: a name in a registry, a repository of the hub, a path, an address.

`Name` is how an installed model is called; a `Reference` says where one would come from. Every reference but a path has a name under which it is
installed, and its text parses back to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Kind", "Reference"]

Kind = Literal["registry", "hub", "url", "path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`kind` decides which of the fields mean something."""

    kind: Kind
    host: str = ""
    """registry, hub: the host with its port as it was typed; empty: the configured one."""
    path: str = ""
    """registry: namespace/name (library/llama2); hub: owner/repo; path: the file; url: the address without its fragment."""
    tag: str = ""
    """registry: the tag (latest); hub: the precision or file asked for, empty: to be chosen."""
    sha256: str = ""
    """url: the digest it must have, in hex; empty: none was given."""
