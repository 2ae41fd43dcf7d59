"""Whether a home holds what its clients were told: nothing acknowledged lost, nothing half-done visible. Looks at the files, then asks the server."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from pathlib import Path

import httpx

from tests.soak.ledger import Expected

__all__ = ["Verifier"]

_SAMPLE = 60
"""Old keys that are tried again each time, besides all new ones."""


class Verifier:
    """Remembers what it has seen: what was in doubt must not change any more once somebody has looked."""

    def __init__(self, home: Path, seed: int) -> None:
        self._home = home
        self._random = random.Random(seed)
        self._known_keys: dict[str, bool] = {}
        self._requests: set[str] = set()
        self._last_row = 0
        self._hashed: dict[str, int] = {}
        self.checked = 0

    def at_rest(self, expected: Expected) -> list[str]:
        """With no server running. Returns what is wrong."""
        wrong: list[str] = []
        with sqlite3.connect(f"file:{self._home / 'hausgeist.db'}?mode=ro", uri=True, timeout=30) as database:
            if (said := database.execute("PRAGMA integrity_check").fetchone()) != ("ok",):
                wrong.append(f"the database is damaged: {said}")
            if rows := database.execute("PRAGMA foreign_key_check").fetchall():
                wrong.append(f"rows that refer to nothing: {rows[:5]}")
            wrong += self._projects(database, expected) + self._users(database, expected) + self._jobs(database, expected)
            wrong += self._models(database, expected) + self._audit(database, expected)
        database.close()
        return wrong + self._blobs(expected)

    def _projects(self, database: sqlite3.Connection, expected: Expected) -> list[str]:
        found = dict(database.execute("SELECT id, name FROM projects WHERE id != 'default'").fetchall())
        wrong = []
        for project in expected.projects.values():
            if project.alive == "yes" and found.get(project.id) not in project.names:
                wrong.append(f"project {project.id} should be called {sorted(project.names)}, is {found.get(project.id)}")
            if project.alive == "no" and project.id in found:
                wrong.append(f"project {project.id} was deleted and is there")
        wrong += [f"a project nobody made: {name}" for name in found.values() if name not in expected.project_names]
        keys = {row[0] for row in database.execute("SELECT id FROM api_keys WHERE revoked IS NULL")}
        wrong += [f"key {key.id} is lost" for key in expected.keys.values() if key.alive == "yes" and key.id not in keys]
        wrong += [f"key {key.id} was revoked and is there" for key in expected.keys.values() if key.alive == "no" and key.id in keys]
        self.checked += len(expected.projects) + len(expected.keys)
        return wrong

    def _users(self, database: sqlite3.Connection, expected: Expected) -> list[str]:
        found = {row[0] for row in database.execute("SELECT name FROM users")}
        self.checked += len(expected.users)
        return [f"user {name}: {alive}" for name, alive in expected.users.items() if alive != "unknown" and (name in found) != (alive == "yes")]

    def _jobs(self, database: sqlite3.Connection, expected: Expected) -> list[str]:
        found = dict(database.execute("SELECT id, status FROM jobs").fetchall())
        wrong = []
        for job, state in expected.jobs.items():
            if found.get(job) not in ({"done"} if state == "done" else {"queued", "running", "done"}):
                wrong.append(f"job {job} was {state} and is {found.get(job)}")
        self.checked += len(expected.jobs)
        return wrong

    def unfinished_jobs(self) -> int:
        with sqlite3.connect(self._home / "hausgeist.db", timeout=30) as database:
            count = database.execute("SELECT count(*) FROM jobs WHERE status NOT IN ('done')").fetchone()[0]
        database.close()
        return int(count)

    def _models(self, database: sqlite3.Connection, expected: Expected) -> list[str]:
        found: dict[str, str] = {}
        wrong = []
        for name, definition in database.execute("SELECT id, definition FROM models"):
            blobs = [ref["blob"] for ref in json.loads(definition)["files"] if ref.get("blob")]
            found[name.removesuffix(":latest")] = blobs[0] if blobs else ""
            wrong += [f"the model {name} has no file {blob}" for blob in blobs if not self._blob(blob).is_file()]
        for name, model in expected.models.items():
            if model.alive == "yes" and found.get(name) != model.blob:
                wrong.append(f"the model {name} should have {model.blob}, has {found.get(name)}")
            if model.alive == "no" and name in found:
                wrong.append(f"the model {name} was deleted and is there")
        self.checked += len(expected.models)
        return wrong

    def _audit(self, database: sqlite3.Connection, expected: Expected) -> list[str]:
        for number, request, outcome in database.execute("SELECT id, request_id, outcome FROM audit WHERE id > ?", (self._last_row,)):
            self._last_row = number
            if request and outcome == "allowed":
                self._requests.add(request)
        self.checked += len(expected.audited)
        return [f"no audit row for {op} ({request})" for request, op in expected.audited.items() if request not in self._requests]

    def _blobs(self, expected: Expected) -> list[str]:
        wrong = []
        there = {path.name.removeprefix("sha256-"): path for path in (self._home / "blobs").glob("sha256-*")}
        for digest, path in there.items():
            # Each is read once more whenever it was written anew.
            stamp = path.stat().st_mtime_ns
            if self._hashed.get(digest) != stamp:
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        wrong.append(f"the blob {digest} holds something else")
                self._hashed[digest] = stamp
        for digest, alive in expected.blobs.items():
            if alive != "unknown" and (digest in there) != (alive == "yes"):
                wrong.append(f"the blob {digest} should be there: {alive}")
        self.checked += len(expected.blobs)
        return wrong

    def _blob(self, digest: str) -> Path:
        return self._home / "blobs" / f"sha256-{digest}"

    def asked(self, client: httpx.Client, expected: Expected) -> list[str]:
        """With the server up again, and nobody else asking."""
        wrong = [f"left behind: {path.name}" for path in (self._home / "blobs").glob(".partial-*")]
        listed = {model["name"].removesuffix(":latest") for model in client.get("/api/tags").json()["models"]}
        for name, model in expected.models.items():
            if model.alive != "unknown" and (name in listed) != (model.alive == "yes"):
                wrong.append(f"the model {name} is listed: {name in listed}")
        projects = {project["id"] for project in client.get("/house/v1/projects").json()["data"]}
        for project in expected.projects.values():
            if project.alive != "unknown" and (project.id in projects) != (project.alive == "yes"):
                wrong.append(f"the project {project.id} is listed: {project.id in projects}")
        return wrong + self._keys(client, expected)

    def _keys(self, client: httpx.Client, expected: Expected) -> list[str]:
        wrong = []
        old = [key for key in expected.keys if key in self._known_keys]
        tried = {*(key for key in expected.keys if key not in self._known_keys), *self._random.sample(old, min(_SAMPLE, len(old)))}
        for name in sorted(tried):
            key = expected.keys[name]
            response = client.get("/house/v1/session", headers={"authorization": f"Bearer {key.secret}"})
            works = response.status_code == 200
            if works and response.json()["project"] != key.project:
                wrong.append(f"key {name} is of another project now")
            if key.alive != "unknown" and works != (key.alive == "yes"):
                wrong.append(f"key {name} should work: {key.alive}; status {response.status_code}")
            if works and self._known_keys.get(name) is False:
                wrong.append(f"key {name} was dead and works again")
            self._known_keys[name] = works
        self.checked += len(tried)
        return wrong
