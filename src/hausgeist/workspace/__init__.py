"""Who works together: users, projects, API keys, sessions and one-time links, and the principal that each stands for."""

from hausgeist.workspace.records import Key, Member, Project, User
from hausgeist.workspace.service import Workspace

__all__ = ["Key", "Member", "Project", "User", "Workspace"]
