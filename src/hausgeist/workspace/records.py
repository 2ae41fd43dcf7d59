"""Rows of the workspace: the tables as they are read here (the migrations made them), and the values that callers get."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Float, ForeignKey, MetaData, Table, Text

from hausgeist.identity import Role

__all__ = ["Key", "Member", "Membership", "Project", "User", "api_keys", "links", "metadata", "project_members", "projects", "sessions", "users"]

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password", Text),
    Column("created", Float, nullable=False),
    Column("last_seen", Float),
)
projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),
    Column("created", Float, nullable=False),
)
project_members = Table(
    "project_members",
    metadata,
    Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", Text, nullable=False),
    Column("created", Float, nullable=False),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("role", Text, nullable=False),
    Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created", Float, nullable=False),
    Column("last_used", Float),
    Column("revoked", Float),
)
sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("key_id", Text, ForeignKey("api_keys.id", ondelete="CASCADE")),
    Column("created", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("expires", Float, nullable=False),
)
links = Table(
    "links",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. Times are Unix times."""

    id: str
    name: str
    role: Role
    created: float
    last_seen: float | None
    invited: bool
    """A link is out that has been neither used nor let expire."""
    has_password: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    id: str
    name: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person's part in a project. Owners of the house are owners of every project without being listed."""

    user: str
    name: str
    role: Role
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A person's part in a project, seen from the person."""

    user: str
    project: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key, without its secret. `project` is `None` where the request chooses it."""

    id: str
    name: str
    prefix: str
    project: str | None
    role: Role
    user: str
    created: float
    last_used: float | None
    revoked: float | None
