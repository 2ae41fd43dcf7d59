"""The servers that are compared: Hausgeist, its own engine asked directly, and LiteLLM's proxy. Each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.wire import Address
from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import provider
from hausgeist.library.service import Library
from hausgeist.serving.planning import launch_plan
from hausgeist.settings import load_settings
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database

__all__ = ["BUILD", "Server", "engine_alone", "hausgeist", "litellm", "tcp_engine"]

BUILD = Path(__file__).resolve().parent.parent / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `started`: seconds until it answered."""

    address: Address
    process: psutil.Process
    started: float = 0.0

    def cpu(self) -> float:
        """Seconds of CPU that the process itself has used, to the microsecond; workers of an engine are not its own. A thread that has ended
        counts no more, so between two looks none should end."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


@contextlib.contextmanager
def hausgeist(*files: Path, toml: str = "", prepare: Callable[[Path], None] | None = None, **environment: str) -> Iterator[Server]:
    """A server on a fresh home with these files and settings, and what `prepare` puts there."""
    home = BUILD / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "hausgeist.toml").write_text(toml, encoding="utf-8")
    if prepare is not None:
        prepare(home)
    command = [sys.executable, "-m", "hausgeist", "serve", *map(str, files), "--home", str(home), "--port", "0"]
    with (BUILD / "server.log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            address = _announced(home / "run" / "server.json", process)
            _until_healthy(address, "/health")
            yield Server(address, psutil.Process(process.pid), time.perf_counter() - began)
        finally:
            _end(process)


@contextlib.asynccontextmanager
async def engine_alone(file: Path, *, slots: int, threads: int | None = None) -> AsyncIterator[Address]:
    """The same engine with the same plan, asked without Hausgeist in between."""
    home = BUILD / "alone"
    shutil.rmtree(home, ignore_errors=True)
    settings = load_settings(home=home, slots=slots, models={file.stem: {"threads": threads}} if threads else None)
    database = Database.open(home)
    try:
        library = Library(database, Blobs(home), settings.models)
        await library.start()
        model = await library.offer(file)
        engine = LlamaCpp(home=home, provider=provider(settings))
        worker = await engine.load(launch_plan(model, "generate", settings))
        try:
            yield Address(path=worker._process.address, key=worker._process.key)
        finally:
            await worker.close()
            await engine.close()
    finally:
        database.close()


_TCP = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port, p.n_parallel, p.n_ctx, p.ui = sys.argv[1], ["127.0.0.1"], int(sys.argv[2]), 4, 16384, False
p.n_batch = p.n_ubatch = 512
p.cache_ram_mib, p.fit_params = 0, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(sys.argv[3])
server = xllamacpp.Server(p)
time.sleep(1e6)
"""


@contextlib.contextmanager
def tcp_engine(file: Path, port: int, threads: int) -> Iterator[Address]:
    """llama-server on a port: what LiteLLM can be put in front of."""
    process = subprocess.Popen([sys.executable, "-c", _TCP, str(file), str(port), str(threads)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = Address(port=port)
        _until_healthy(address, "/health")
        yield address
    finally:
        _end(process)


@contextlib.contextmanager
def litellm(models: dict[str, Address], port: int) -> Iterator[Server]:
    """LiteLLM's proxy from PyPI, in an environment of its own, one worker, logging off; `models`: name -> the upstream it stands for."""
    home = BUILD / "litellm"
    python = home / "bin" / "python"
    if not (home / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "litellm[proxy]"], check=True)
    entries = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": f"http://{one.host}:{one.port}/v1", "api_key": "none"}}
        for name, one in models.items()
    ]
    config = BUILD / "litellm.json"
    config.write_text(json.dumps({"model_list": entries, "litellm_settings": {"telemetry": False}}), encoding="utf-8")
    command = [str(home / "bin" / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
    environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DISABLE_ADMIN_UI": "True"}
    environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # as Hausgeist without keys, on loopback
    with (BUILD / "litellm.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            address = Address(port=port)
            _until_healthy(address, "/health/liveliness", patience=120, process=process)
            yield Server(address, psutil.Process(process.pid))
        finally:
            _end(process)


def _announced(file: Path, process: subprocess.Popen[bytes]) -> Address:
    for _ in range(600):
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(file.read_text(encoding="utf-8"))
            if told and told.get("address"):
                host, _, port = told["address"].partition("://")[2].strip("/").rpartition(":")
                return Address(host=host, port=int(port))
        if process.poll() is not None:
            raise RuntimeError((BUILD / "server.log").read_text(encoding="utf-8"))
        time.sleep(0.01)
    raise RuntimeError("the server did not say where it is")


def _until_healthy(address: Address, path: str, patience: float = 60.0, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address.host}:{address.port}{path}", timeout=5) as reply:
            if reply.status == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"port {address.port} does not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def settle(seconds: float = 0.5) -> None:
    """Let what was just started come to rest."""
    await asyncio.sleep(seconds)
