"""What the readers of other tools' exports share: values that may be anything, and trees of messages that become a draft."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hausgeist.conversations.drafts import Node
from hausgeist.errors import InvalidRequest

__all__ = ["Leaf", "Unknown", "grow", "moment", "text_of"]

_MILLISECONDS: Final = 10**11
"""As seconds that is a time three thousand years from now."""


class Unknown(InvalidRequest):
    """This is no chat of a kind that is known here."""


@dataclass(slots=True)
class Leaf:
    """A message of a foreign tree. `bodies`: the items that become of it, in their order; none where nobody needs it, and then what followed it
    follows what it followed."""

    parent: str | None
    created: float
    bodies: Sequence[Mapping[str, Any]] = field(default_factory=list)


def grow(leaves: Mapping[str, Leaf], current: str | None) -> tuple[list[Node], int | None]:
    """The nodes of a draft, each after the one that it follows, and the index of the head: the end of the message `current`, or the newest one.

    Bears whatever a file may hold: parents that are missing, and such as follow themselves, begin the chat.
    """
    children: dict[str | None, list[str]] = {}
    for name, leaf in leaves.items():
        parent = leaf.parent if leaf.parent in leaves else None
        children.setdefault(parent, []).append(name)
    nodes: list[Node] = []
    ends: dict[str, int | None] = {}
    for root in (*children.get(None, ()), *leaves):  # the latter for circles, which hang on nothing
        if root not in ends:
            _grow_from(root, leaves, children, nodes, ends)
    if current in ends:
        return nodes, ends[current] if ends[current] is not None else _newest(nodes)
    return nodes, _newest(nodes)


def _grow_from(
    root: str, leaves: Mapping[str, Leaf], children: Mapping[str | None, Sequence[str]], nodes: list[Node], ends: dict[str, int | None]
) -> None:
    waiting: list[tuple[str, int | None]] = [(root, None)]
    while waiting:
        name, parent = waiting.pop()
        if name in ends:
            continue
        for body in leaves[name].bodies:
            nodes.append(Node(body, leaves[name].created, parent))
            parent = len(nodes) - 1
        ends[name] = parent
        # The oldest is taken first, so that the newest comes last: of branches that is the one that is shown.
        following = sorted(children.get(name, ()), key=lambda child: leaves[child].created, reverse=True)
        waiting += [(child, parent) for child in following]


def _newest(nodes: Sequence[Node]) -> int | None:
    return max(range(len(nodes)), key=lambda number: (nodes[number].created, number), default=None)


def moment(value: Any, default: float) -> float:
    """A Unix time, given in seconds or finer."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return default
    seconds = float(min(value, 10**20))
    while seconds > _MILLISECONDS:
        seconds /= 1000
    return seconds


def text_of(value: Any) -> str:
    """A text, or nothing."""
    return value if isinstance(value, str) else ""
