"""kill -9 of server, engine workers and clients at random moments, with loads, writes and streams in flight.

After each death of the server: nothing that a client was told is lost, nothing half-done is seen, no process stays, and it starts again.
`make soak` kills 50 times (`SOAK_KILLS`); `make test` a few times, so that this keeps working.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.support import ROOT, ServerProcess, free_port, needs_linux, until
from tests.soak.amounts import amount, report
from tests.soak.client import IDLE, PAUSED
from tests.soak.ledger import Expected, read
from tests.soak.verify import Verifier

GONE = 2.0
IN_FLIGHT = 4
CLIENTS = 3
ACTORS = {"keys": 2, "models": 1, "loads": 2, "streams": 2}
VICTIMS = {"server": 10, "worker": 4, "client": 4, "neighbour": 1, "server and client": 2, "all": 1}


class Crowd:
    """The clients and the neighbour, respawned when they die; what they do, and how to make them pause."""

    def __init__(self, folder: Path, server: ServerProcess, specimen: Path, seed: int) -> None:
        self.folder = folder
        self._server = server
        self._specimen = specimen
        self._seed = seed
        self._generation: Counter[str] = Counter()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._width = sum(ACTORS.values())
        path = folder / "states"
        path.write_bytes(bytes([IDLE]) * (1 + CLIENTS * self._width + 1))
        with path.open("r+b") as file:
            self.states = mmap.mmap(file.fileno(), 0)

    def spawn(self, name: str) -> None:
        self._generation[name] += 1
        slot = 1 + CLIENTS * self._width if name == "neighbour" else 1 + int(name[1:]) * self._width
        for number in range(slot, slot + (1 if name == "neighbour" else self._width)):
            self.states[number] = IDLE
        config: dict[str, Any] = {
            "name": f"{name}.{self._generation[name]}",
            "group": name,
            "slot": slot,
            "seed": self._seed,
            "url": self._server.url,
            "home": str(self._server.home),
            "folder": str(self.folder),
            "states": str(self.folder / "states"),
            "specimen": str(self._specimen),
            **ACTORS,
        }
        path = self.folder / f"{config['name']}.json"
        path.write_text(json.dumps(config))
        program = "neighbour" if name == "neighbour" else "client"
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"tests.soak.{program}", str(path)],
                stdout=out,
                stderr=out,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def in_flight(self) -> dict[str, int]:
        counts = Counter(self.states[1:])
        return {name: counts[ord(name[0])] for name in ("loads", "writes", "streams")}

    def busy(self) -> bool:
        return min(self.in_flight().values()) >= IN_FLIGHT

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(10)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nobody asks anything: all have their answer, or know that they will get none."""
        self.states[0] = PAUSED
        try:
            until(lambda: set(self.states[1:]) == {IDLE}, 100, f"the end of what is in flight ({bytes(self.states[:])!r})", pause=0.05)
            yield
        finally:
            self.states[0] = IDLE

    def dead(self) -> list[str]:
        """Those that ended by themselves, which none should."""
        return [
            f"{name} ended with {process.returncode}: {(self.folder / f'{name}.out').read_text()[-1500:]}"
            for name, process in self.processes.items()
            if process.poll() is not None
        ]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(10)


class Run:
    """One server, its crowd, and the kills."""

    def __init__(self, folder: Path, seed: int, pause: float) -> None:
        """`pause`: seconds at most between the moment at which enough is in flight and a kill."""
        self.random = random.Random(seed)
        self.folder = folder
        self._pause = pause
        (folder / "ledgers").mkdir()
        self.specimen = write_specimen(folder / "tiny.gguf")
        self.server = ServerProcess(
            folder / "home",
            self.specimen,
            port=free_port(),
            arguments=["--offline", "--log-level", "warning", "--context", "1024"],
        )
        self.verifier = Verifier(self.server.home, seed)
        self.wrong: list[str] = []
        self.outages: list[tuple[float, float]] = []
        self.figures: dict[str, list[float]] = {"seconds until nothing was left": [], "seconds until it answered again": []}
        self.killed: Counter[str] = Counter()
        self.flying: Counter[str] = Counter()
        self.least: dict[str, int] = {}
        self.crowd: Crowd

    def start(self) -> None:
        self.server.start()
        with self.server.client() as client:
            for group in range(CLIENTS):
                for number in range(ACTORS["loads"]):
                    # Their names say whose they are: `client.loads`.
                    body = {"source": "tiny", "destination": f"load-{number}-c{group}"}
                    assert client.post("/api/copy", json=body).status_code == 200
        self.crowd = Crowd(self.folder / "ledgers", self.server, self.specimen, self.random.randrange(2**32))
        for name in (*(f"c{number}" for number in range(CLIENTS)), "neighbour"):
            self.crowd.spawn(name)

    def kill(self, victim: str) -> None:
        """One kill at a random moment at which enough is in flight, and what follows from it."""
        until(self.crowd.busy, 90, f"enough in flight ({self.crowd.in_flight()})", pause=0.02)
        time.sleep(self.random.uniform(0, self._pause))
        until(self.crowd.busy, 90, f"enough in flight ({self.crowd.in_flight()})", pause=0.001)
        flying = self.crowd.in_flight() | {"engine processes": len(self.server.workers())}
        clients = [f"c{self.random.randrange(CLIENTS)}"] if "client" in victim else [*self.crowd.processes] if victim == "all" else []
        clients += ["neighbour"] if victim == "neighbour" else []
        if victim == "worker":
            if not (workers := self.server.workers()):
                return self.kill(victim)
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(workers), signal.SIGKILL)
        for name in clients:
            self.crowd.kill(name)
        if victim == "all" or "server" in victim:
            self._kill_server(clients)
        for name in clients:
            self.crowd.spawn(name)
        self.killed[victim] += 1
        self.flying.update(flying)
        self.least = {name: min(count, self.least.get(name, count)) for name, count in flying.items()}
        self.wrong += self.crowd.dead()
        return None

    def _kill_server(self, dead: list[str]) -> None:
        began = time.time()
        self.server.kill()
        killed = time.monotonic()
        until(lambda: not self.server.family(), GONE, "the end of all workers")
        self.figures["seconds until nothing was left"].append(time.monotonic() - killed)
        for name in dead:  # who is dead is not in the middle of anything
            self._idle(name)
        with self.crowd.paused():
            expected = Expected.of(read(self.crowd.folder))
            self.wrong += expected.violations + self.verifier.at_rest(expected)
            started = time.monotonic()
            self.server.start(within=20)
            with self.server.client() as client:
                assert client.get("/health").status_code == 200
                self.figures["seconds until it answered again"].append(time.monotonic() - started)
                self.wrong += self.verifier.asked(client, expected)
                _ask(client)  # with the first worker the folder of sockets is tidied
                self.wrong += [f"a socket of a server that is gone: {path.name}" for path in self._sockets()]
        self.outages.append((began - 0.5, time.time() + 1.0))

    def _idle(self, name: str) -> None:
        width = sum(ACTORS.values())
        slots = [1 + CLIENTS * width] if name == "neighbour" else range(1 + int(name[1:]) * width, 1 + (int(name[1:]) + 1) * width)
        for slot in slots:
            self.crowd.states[slot] = IDLE

    def _sockets(self) -> list[Path]:
        return [path for path in (self.server.home / "run").glob("*.sock") if not path.name.startswith(f"{self.server.pid}-")]

    def finish(self) -> Expected:
        """All at rest: no place is taken, no worker too many, every job done, and then everything is looked at once more."""
        with self.crowd.paused():
            with self.server.client() as client:
                until(lambda: " 1.0" not in _active(client), 10, f"free places ({_active(client)})", pause=0.2)
                _ask(client)
            until(lambda: self.verifier.unfinished_jobs() == 0, 60, "the end of all jobs", pause=0.2)
            expected = Expected.of(read(self.crowd.folder))
            self.wrong += self.crowd.dead()
            with self.server.client() as client:
                self.verifier._known_keys.clear()
                self.wrong += self.verifier.asked(client, expected)
            self.server.send(signal.SIGTERM)
            assert self.server.wait(30) == 0
            until(lambda: not self.server.family(), GONE, "the end of all workers")
            self.wrong += self.verifier.at_rest(expected)
        self.wrong += expected.violations
        for at, what in expected.broken:
            if not any(start <= at <= end for start, end in self.outages):
                self.wrong.append(f"a connection broke while the server was up: {what} at {at:.1f}")
        log = self.server.text()
        if "Traceback" in log or ("Error" in log and "builtins." in log):
            self.wrong.append(f"the log has a traceback: {log[log.find('builtins.') - 2000 :][:3000]}")
        return expected

    def close(self) -> None:
        if hasattr(self, "crowd"):
            self.crowd.close()
        self.server.close()


def _ask(client: httpx.Client) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
    assert client.post("/v1/chat/completions", json=body).status_code == 200


def _active(client: httpx.Client) -> str:
    return "\n".join(
        line for line in client.get("/metrics").text.splitlines() if line.startswith("hausgeist_active_requests{") and " 0.0" not in line
    )


def storm(folder: Path, victims: list[str], seed: int, *, pause: float) -> tuple[Run, Expected]:
    needs_linux()
    run = Run(folder, seed, pause)
    began = time.monotonic()
    try:
        run.start()
        for number, victim in enumerate(victims):
            run.kill(victim)
            print(f"{number + 1}/{len(victims)} {victim}: {time.monotonic() - began:.0f} s, wrong: {len(run.wrong)}", flush=True)
            assert not run.wrong, "\n".join(run.wrong[:20])
        expected = run.finish()
    finally:
        run.close()
    lines: list[tuple[str, object]] = [
        ("kills", dict(run.killed)),
        ("seed", seed),
        ("minutes", round((time.monotonic() - began) / 60, 1)),
        ("least in flight at a kill", run.least),
        ("on average", {name: round(count / sum(run.killed.values()), 1) for name, count in run.flying.items()}),
        ("acknowledged", dict(expected.acknowledged)),
        ("in doubt", dict(expected.in_doubt)),
        ("refused", dict(expected.refused)),
        ("connections that broke", len(expected.broken)),
        ("facts checked", run.verifier.checked),
        *((name, f"{max(values):.2f} at most, {sum(values) / len(values):.2f} on average") for name, values in run.figures.items() if values),
        ("wrong", len(run.wrong)),
    ]
    report("kill -9 at random moments", lines)
    assert not run.wrong, "\n".join(run.wrong[:20])
    if len(victims) >= 10:  # a storm of a few seconds may end before slow things have happened
        assert expected.acknowledged["key.create"] > len(victims)
        assert expected.acknowledged["model.create"] > 0
        assert expected.acknowledged["model.use"] > 0
    return run, expected


@pytest.mark.timeout(300)
def test_a_few_kills(tmp_path: Path) -> None:
    run, expected = storm(tmp_path, ["server", "worker", "server and client"], seed=7, pause=1.0)
    _sabotage(run.server.home, expected)


def _sabotage(home: Path, expected: Expected) -> None:
    """What must not happen is done by hand, and has to be noticed: else the runs prove nothing."""
    key = next(key.id for key in expected.keys.values() if key.alive == "yes")
    project = next(project.id for project in expected.projects.values() if project.alive == "yes")
    name, model = next((name, model) for name, model in expected.models.items() if model.alive == "yes")
    request = next(iter(expected.audited))
    user = next(name for name, alive in expected.users.items() if alive == "yes")
    for statements, notice in (
        ([f"UPDATE api_keys SET revoked = 1 WHERE id = '{key}'"], f"key {key} is lost"),
        ([f"UPDATE projects SET name = 'half' WHERE id = '{project}'"], "a project nobody made"),
        ([f"DELETE FROM users WHERE name = '{user}'"], f"user {user}"),
        ([f"DELETE FROM jobs WHERE id = '{next(iter(expected.jobs))}'"], "job "),
        (["DROP TRIGGER audit_no_delete", f"DELETE FROM audit WHERE request_id = '{request}'"], "no audit row"),
        ([f"INSERT INTO project_members VALUES ('nowhere', '{user}', 'member', 0)"], "refer to nothing"),
        ([f"DELETE FROM models WHERE id LIKE '{name}%'"], f"the model {name} should have"),
    ):
        with sqlite3.connect(home / "hausgeist.db") as database:
            for statement in statements:
                database.execute(statement)
        database.close()
        assert any(notice in wrong for wrong in Verifier(home, 0).at_rest(expected)), f"not noticed: {statements}"
    blob = home / "blobs" / f"sha256-{model.blob}"
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1])
    assert any("holds something else" in wrong for wrong in Verifier(home, 0).at_rest(expected))
    blob.unlink()
    assert any(f"the blob {model.blob} should be there" in wrong for wrong in Verifier(home, 0).at_rest(expected))


@pytest.mark.soak
def test_many_kills(tmp_path: Path) -> None:
    seed = amount("SEED", time.time())
    chance = random.Random(seed)
    kills = amount("KILLS", 50)
    storm(tmp_path, chance.choices(list(VICTIMS), weights=list(VICTIMS.values()), k=kills), seed, pause=amount("PAUSE", 6))
