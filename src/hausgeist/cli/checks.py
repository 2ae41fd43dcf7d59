"""What `hausgeist doctor` looks at. Each check returns what it found and what to do about it; none of them changes anything.

A table of functions over the settings; printing is `doctor`'s.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hausgeist.cli.console import size
from hausgeist.cli.running import find
from hausgeist.errors import HausgeistError
from hausgeist.settings import Settings

if TYPE_CHECKING:
    from hausgeist.hardware import Device

__all__ = ["CHECKS", "Finding", "Status", "examine"]

Status = Literal["ok", "warn", "fail"]

_LEAST_MEMORY = 2 << 30
_LEAST_DISK = 2 << 30
_UNIX_PATH_LIMIT = 104
"""Of macOS; Linux allows a few more."""
_SOCKET_NAME = 32


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` is the next step, empty where none is needed."""

    check: str
    status: Status
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks, one after the other. A check that breaks is itself a finding."""
    for name, check in CHECKS.items():
        try:
            for status, found, advice in check(settings):
                yield Finding(name, status, found, advice)
        except HausgeistError as error:
            yield Finding(name, "fail", error.message)
        except Exception as error:
            yield Finding(name, "fail", f"the check itself failed: {type(error).__name__}: {error}", "please report this")


_Found = Iterator[tuple[Status, str, str]]


def _python(settings: Settings) -> _Found:
    from hausgeist import __version__

    found = f"hausgeist {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}"
    yield "ok", found, ""
    if sys.platform != "linux":
        yield (
            "warn",
            "without Linux, workers cannot be cut off from the network",
            "the engine opens no connections by itself; offline is kept by the server",
        )


def _engine(settings: Settings) -> _Found:
    from hausgeist import hardware
    from hausgeist.engines.llamacpp.providers import provider

    chosen = provider(settings)
    cpu, devices = hardware.cpu(), hardware.devices()
    yield "ok", f"{chosen.name} {chosen.version} ({', '.join(chosen.backends)})", ""
    accelerated = {"cuda", "vulkan", "rocm", "metal"} & set(chosen.backends)
    idle = [device for device in devices if not device.barred and not set(device.runs) & set(chosen.backends)]
    if idle:
        names = ", ".join(device.name for device in idle)
        build = "--cuda" if any(device.kind == "cuda" for device in idle) else "--vulkan"
        found = "but the engine is CPU only" if not accelerated else "which this build of the engine does not use"
        yield "warn", f"GPU present ({names}), {found}", f"run 'hausgeist engine build {build}'"
    wide = sorted(feature for feature in cpu.features if feature.startswith(("avx512", "amx")))
    if chosen.name == "wheel" and sys.platform == "linux" and wide and not accelerated:
        found = f"the processor has {'AVX-512' if wide[-1].startswith('avx512') else 'AVX-512 and AMX'}, but the wheel stops at AVX2"
        yield "warn", found, "run 'hausgeist engine build': prompts are read up to twice as fast"


def _described(device: Device) -> str:
    memory = f"{size(device.free)} of {size(device.total)} free" if device.total else "its driver does not tell its memory"
    shared = ", shared with the machine" if device.unified else ""
    rest = "".join(f", {part}" for part in (device.link, device.driver and f"driver {device.driver}") if part)
    return f"GPU {device.index}: {device.name}, {memory}{shared}{rest}"


def _processor(settings: Settings) -> _Found:
    from hausgeist import hardware
    from hausgeist.hardware import measure

    cpu = hardware.cpu()
    limit = f", limited to {cpu.quota:g} by the container" if cpu.quota is not None else ""
    yield "ok", f"{cpu.model}: {cpu.cores} cores{limit}", ""
    for device in hardware.devices():
        yield "warn" if device.barred else "ok", _described(device), device.barred
    if (known := measure.remembered(settings.home)) is not None:
        quiet = ", while others were at work" if known.disturbed else ""
        yield "ok", f"measured: reads memory at {known.memory.best:.3g} GB/s, multiplies at {known.matrix.best:.3g} GFLOPS{quiet}", ""
    if platform.machine() in {"x86_64", "AMD64"} and cpu.features and "avx2" not in cpu.features:
        yield "warn", "the processor has no AVX2; the wheel may not run on it", "run 'hausgeist engine build'"


def _memory(settings: Settings) -> _Found:
    from hausgeist import hardware

    memory = hardware.memory()
    found = f"{size(memory.available)} of {size(memory.total)} free"
    usable = memory.available - settings.memory_reserve if settings.memory is None else settings.memory
    if settings.memory is not None:
        found += f"; models may use {size(settings.memory)}"
    if usable < _LEAST_MEMORY:
        yield "warn", f"{found}: little for models", "close other programs, or use a small model (1B at 4 bits takes about 1 GiB)"
    else:
        yield "ok", found, ""


def _disk(settings: Settings) -> _Found:
    folder = settings.home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    found = f"{size(usage.free)} of {size(usage.total)} free at {settings.home}"
    if usage.free < _LEAST_DISK:
        yield "warn", found, "free some space, or move the home folder: copy it and set HAUSGEIST_HOME"
    else:
        yield "ok", found, ""


def _home(settings: Settings) -> _Found:
    home = settings.home
    if not home.exists():
        yield "ok", f"{home} is not there yet; the first start makes it", ""
        return
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield "fail", f"{home} cannot be written by this user", f"run as its owner, or 'chown -R {os.environ.get('USER', 'USER')} {home}'"
        return
    if sys.platform == "win32":
        yield "ok", f"{home} can be written", ""
        return
    about = home.stat()
    if about.st_uid != os.getuid():
        yield "warn", f"{home} belongs to another user", "use one user for the server and the terminal"
    elif about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.filemode(about.st_mode)
        yield "warn", f"{home} can be entered by other users of this machine ({mode})", f"run 'chmod 700 {home}'"
    else:
        yield "ok", f"{home}, yours alone", ""


def _sockets(settings: Settings) -> _Found:
    if sys.platform == "win32":
        yield "ok", "workers listen on loopback, with a secret", ""
        return
    length = len(os.fsencode(settings.home / "run")) + _SOCKET_NAME
    if length > _UNIX_PATH_LIMIT:
        yield (
            "ok",
            f"the path of the home folder is too long for unix sockets ({length} of {_UNIX_PATH_LIMIT} bytes), so they lie in the temporary folder",
            "",
        )
    else:
        yield "ok", f"unix sockets fit under {settings.home / 'run'}", ""


def _sandbox(settings: Settings) -> _Found:
    if sys.platform != "linux":
        return
    probe = (
        "import socket\nfrom hausgeist.sandbox.process import deny_network\n"
        "denied = deny_network()\n"
        "try:\n    socket.socket(socket.AF_INET).close()\n"
        "except OSError:\n    print('denied')\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    if done.stdout.strip() == "denied":
        yield "ok", "workers have no network (seccomp)", ""
    else:
        yield (
            "warn",
            "this system does not let workers give up the network (no seccomp)",
            "allow seccomp in the container or kernel; without it the engine still opens none itself",
        )


def _database(settings: Settings) -> _Found:
    from hausgeist.store.database import FILE_NAME
    from hausgeist.store.schema import is_current

    path = settings.home / FILE_NAME
    if not path.exists():
        yield "ok", "none yet; the first start makes it", ""
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
            current = is_current(connection)
    except sqlite3.Error as error:
        yield "fail", f"{path} cannot be read: {error}", "restore a backup: 'hausgeist restore FILE'"
        return
    if rows != ["ok"]:
        yield "fail", f"{path} is damaged: {rows[0]}", "stop the server and restore a backup: 'hausgeist restore FILE'"
    else:
        yield "ok", f"whole ({size(path.stat().st_size)})" + ("" if current else "; the next start brings it to this version's schema"), ""


def _server(settings: Settings) -> _Found:
    from hausgeist.cli.client import local_client

    running = find(settings.home)
    if running is None:
        yield "ok", "not running", ""
        return
    with local_client(running) as client:
        client.ask("GET", "/api/version")
    yield "ok", f"answers at {running.address} (process {running.pid}, version {running.version})", ""


def _port(settings: Settings) -> _Found:
    if find(settings.home) is not None:  # it holds them itself
        return
    for port in filter(None, (settings.port, settings.ollama_port)):
        try:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            with socket.socket(family) as tried:
                if sys.platform != "win32":
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((settings.host, port))
        except PermissionError:
            yield "fail", f"this user may not listen on port {port}", "choose one above 1023 with --port"
        except OSError as error:
            yield (
                "fail",
                f"cannot listen on {settings.host}:{port}: {error.strerror}{_holder(port)}",
                "stop that program, or choose another port with --port",
            )
        else:
            yield "ok", f"{settings.host}:{port} is free", ""


def _holder(port: int) -> str:
    """Who listens there, if the system tells."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" (used by {psutil.Process(connection.pid).name()}, process {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _exposure(settings: Settings) -> _Found:
    from hausgeist.http.rules import BindingRules

    keys = "keys are demanded" if BindingRules.of(settings).keys_demanded else "no key is needed"
    if settings.behind_proxy:
        yield "ok", f"reached through a reverse proxy that ends TLS; {keys}", ""
    elif settings.loopback:
        yield "ok", f"only this machine can connect; {keys}", ""
    elif settings.tls_on:
        yield "ok", f"{settings.host} can be reached from outside, with TLS; {keys}", ""
    else:
        found = f"{settings.host} can be reached from outside without TLS: keys and answers cross the network in the clear"
        yield "warn", found, "remove tls = false, or put a proxy in front and set behind_proxy"


def _egress(settings: Settings) -> _Found:
    if settings.offline:
        yield "ok", "offline: every outbound connection is refused", ""
        return
    allowed = [*settings.allow, *(upstream.url for upstream in settings.upstreams.values())]
    yield "ok", f"allowed: {', '.join(allowed)}" if allowed else "only sources of models may be contacted, when you ask for a model", ""


def _documents(settings: Settings) -> _Found:
    from hausgeist.cli.documents.checks import check

    yield from check()


CHECKS: dict[str, Callable[[Settings], _Found]] = {
    "python": _python,
    "processor": _processor,
    "engine": _engine,
    "memory": _memory,
    "disk": _disk,
    "home": _home,
    "database": _database,
    "sockets": _sockets,
    "sandbox": _sandbox,
    "documents": _documents,
    "server": _server,
    "port": _port,
    "access": _exposure,
    "egress": _egress,
}
"""In the order in which they are shown."""
