"""What clients were told: an append-only file per client, each line on the disk before the next request goes out.

A line is written before a change is asked for ("asked") and after the server has answered ("done", "refused"). A change without an answer is in
doubt: it may have happened or not, but wholly. From all lines follows what must be there after a crash (`Expected`).
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Expected", "Ledger", "Project", "read"]

Alive = Literal["yes", "no", "unknown"]


class Ledger:
    """The writing side, in a client."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, op: str, **data: Any) -> None:
        """One line, on the disk when this returns."""
        os.write(self._file, json.dumps({"at": time.time(), "kind": kind, "op": op, **data}).encode() + b"\n")
        os.fsync(self._file)


def read(folder: Path) -> list[dict[str, Any]]:
    """All lines of all clients. A line that was cut by the client's death was not acknowledged to anybody."""
    found = []
    for path in sorted(folder.glob("*.ledger")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            found.append(json.loads(line))
    return found


@dataclass
class Key:
    """An API key whose secret a client has."""

    id: str
    secret: str
    project: str
    alive: Alive = "yes"


@dataclass
class Project:
    """A project, and the names that it may have."""

    id: str
    names: set[str]
    alive: Alive = "yes"


@dataclass
class Model:
    """A stored model, by name."""

    blob: str
    alive: Alive = "yes"
    leaving: bool = False
    """Its deletion was asked for."""


@dataclass
class Expected:
    """What must be there, what must not, and what may."""

    keys: dict[str, Key] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    project_names: set[str] = field(default_factory=set)
    """Every name that a project was ever asked to have."""
    models: dict[str, Model] = field(default_factory=dict)
    blobs: dict[str, Alive] = field(default_factory=dict)
    users: dict[str, Alive] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    """Id -> "queued" (accepted) or "done" (seen finished)."""
    audited: dict[str, str] = field(default_factory=dict)
    """Request id -> what was done; each has a row in the audit table."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    in_doubt: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    broken: list[tuple[float, str]] = field(default_factory=list)
    """When connections broke, and in what."""

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]]) -> Expected:
        expected = cls()
        open_: dict[str, dict[str, Any]] = {}
        for record in records:
            match record["kind"]:
                case "asked":
                    open_[record["id"]] = record
                case "done":
                    expected._done({**open_.pop(record["id"], {}), **record})
                case "refused":
                    expected.refused[f"{record['op']} {record['status']}"] += 1
                    open_.pop(record["id"], None)
                case "violation":
                    expected.violations.append(f"{record['op']}: {record['what']}")
                case "broken":
                    expected.broken.append((record["at"], record["op"]))
        for record in open_.values():
            expected._doubt(record)
        expected._settle_blobs()
        return expected

    def _done(self, record: dict[str, Any]) -> None:
        op = record["op"]
        self.acknowledged[op] += 1
        if record.get("request"):
            self.audited[record["request"]] = op
        match op:
            case "project.create":
                self.projects[record["project"]] = Project(record["project"], {record["name"]})
                self.project_names.add(record["name"])
            case "project.rename":
                self.projects[record["project"]].names = {record["name"]}
                self.project_names.add(record["name"])
            case "project.delete":
                self._project_gone(record["project"], "no")
            case "key.create":
                self.keys[record["key"]] = Key(record["key"], record["secret"], record["project"])
            case "key.revoke":
                self.keys[record["key"]].alive = "no"
            case "blob.upload":
                self.blobs[record["digest"]] = "yes"
            case "model.create" | "model.copy":
                self.models[record["model"]] = Model(record["digest"])
            case "model.delete":
                self.models[record["model"]].alive = "no"
                self.models[record["model"]].leaving = True
            case "user.create":
                self.users[record["name"]] = "yes"
            case "user.delete":
                self.users[record["name"]] = "no"
            case "job.enqueue":
                self.jobs.setdefault(record["job"], "queued")
            case "job.wait":
                self.jobs[record["job"]] = "done"

    def _doubt(self, record: dict[str, Any]) -> None:
        """Asked, and never answered: it may have happened."""
        op = record["op"]
        self.in_doubt[op] += 1
        match op:
            case "project.create":
                self.project_names.add(record["name"])
            case "project.rename":
                self.projects[record["project"]].names.add(record["name"])
                self.project_names.add(record["name"])
            case "project.delete":
                self._project_gone(record["project"], "unknown")
            case "key.revoke":
                if self.keys[record["key"]].alive == "yes":
                    self.keys[record["key"]].alive = "unknown"
            case "blob.upload":
                self.blobs.setdefault(record["digest"], "unknown")
            case "model.create" | "model.copy":
                self.models.setdefault(record["model"], Model(record["digest"], "unknown"))
            case "model.delete":
                self.models[record["model"]].alive = "unknown"
                self.models[record["model"]].leaving = True
            case "user.create":
                self.users.setdefault(record["name"], "unknown")
            case "user.delete":
                self.users[record["name"]] = "unknown"

    def _project_gone(self, project: str, alive: Alive) -> None:
        self.projects[project].alive = alive
        for key in self.keys.values():
            if key.project == project and key.alive != "no":
                key.alive = alive

    def _settle_blobs(self) -> None:
        """The blob of a model goes with the last model that has it; one that no model ever had stays."""
        holders: dict[str, list[Model]] = {}
        for model in self.models.values():
            holders.setdefault(model.blob, []).append(model)
        for digest, models in holders.items():
            if any(model.alive == "yes" for model in models):
                self.blobs[digest] = "yes"
            elif all(model.alive == "no" for model in models):
                self.blobs[digest] = "no"
            elif any(model.leaving for model in models):
                self.blobs[digest] = "unknown"
