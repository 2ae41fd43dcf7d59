"""Names that people give, and the ids that things get. Parsed once, trusted afterwards."""

from __future__ import annotations

import secrets
import string
import unicodedata

from hausgeist.errors import InvalidRequest
from hausgeist.identity import ROLES, Role

__all__ = ["ALPHABET", "fold", "new_id", "parse_name", "parse_role", "weaker"]

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LONGEST = 64
_PREFIXES = ("user_", "proj_", "key_")


def new_id(prefix: str) -> str:
    """`prefix` and 95 random bits in base 62."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(16))


def fold(name: str) -> str:
    """What two names have in common that count as the same: case, width and composition are ignored. Always valid Unicode."""
    name = name.encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def parse_name(name: str, what: str) -> str:
    """The name in normal form. `what` is being named: user, project, key. Raises `InvalidRequest`."""
    # NFC is quadratic in hostile runs of combining marks, so length is looked at before and after.
    if len(name) <= 4 * _LONGEST:
        name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= _LONGEST:
        raise InvalidRequest(f"The name of a {what} has 1 to {_LONGEST} characters.", param="name")
    # Not printable: control characters, line breaks, lone surrogates, and the marks that turn the direction of writing.
    if not name.isprintable():
        raise InvalidRequest(f"The name of a {what} may hold only characters that can be seen, and spaces.", param="name")
    if not any(character.isalnum() for character in name):
        raise InvalidRequest(f"The name of a {what} needs a letter or a digit.", param="name")
    if fold(name).startswith(_PREFIXES):
        raise InvalidRequest(f"A name may not begin like an id: {', '.join(_PREFIXES)}.", param="name")
    return name


def parse_role(role: str) -> Role:
    for known in ROLES:
        if role == known:
            return known
    raise InvalidRequest(f"A role is one of {', '.join(ROLES)}.", param="role")


def weaker(*roles: Role) -> Role:
    """The one that may do least."""
    return max(roles, key=ROLES.index)
