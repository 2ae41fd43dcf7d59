"""The one decision: may this caller do this? Pure, and able to say why in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from hausgeist.governance.actions import ACTIONS, Action
from hausgeist.identity import ROLES, Principal, Role

__all__ = ["Decision", "decide", "outranks"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether, and why: a sentence that can be shown to the caller."""

    allowed: bool
    reason: str


def outranks(role: Role, least: Role) -> bool:
    """Whether `role` gives at least what `least` gives."""
    return ROLES.index(role) <= ROLES.index(least)


def decide(who: Principal, action: str, project: str | None = None) -> Decision:
    """Whether `who` may do `action`, in `project` (an id) where that is not the one they act in. Raises `KeyError` for an unknown action."""
    wanted = ACTIONS[action]
    if wanted.scope == "house":
        return _ranked(who, wanted, who.house_role, "on this server")
    if project is None or project == who.project:
        return _ranked(who, wanted, who.role, f"in the project '{who.project}'")
    if who.house_role == "owner":
        return Decision(True, f"{_called(who)} is owner on this server and may {wanted.meaning} in every project.")
    here = f"{_called(who)} acts in the project '{who.project}' here"
    return Decision(False, f"{here} and cannot {wanted.meaning} in '{project}'. Name that project in the OpenAI-Project header.")


def _ranked(who: Principal, action: Action, role: Role, where: str) -> Decision:
    if outranks(role, action.least):
        return Decision(True, f"{_called(who)} is {role} {where} and may {action.meaning}.")
    return Decision(False, f"{_called(who)} is {role} {where}; to {action.meaning} takes the role {action.least}.")


def _called(who: Principal) -> str:
    if who.kind == "local":
        return "The local owner"
    return f"The key '{who.name}'" if who.kind == "key" else f"'{who.name}'"
