"""Offline is a tested property: in a network namespace without a route, under strace, nothing of Hausgeist contacts anything but loopback.

strace sees the system calls of every process, so native code is included. A control of the test proves that it would see one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.support import ROOT, needs, needs_linux, needs_to_run

pytestmark = pytest.mark.timeout(300)

_CALLS = "connect,sendto,sendmsg,sendmmsg,socket"
_ADDRESS = re.compile(r"sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(\"|inet_pton\(AF_INET6, \")(?P<address>[0-9a-fA-F.:]+)")
_RESOLVERS = ("io.systemd.Resolve", "/nscd/", "/dnsmasq", "avahi-daemon")
_INET_SOCKET = re.compile(r"\bsocket\((AF_INET6?), ")

CONTROL = """
import ctypes, socket, subprocess, sys
for host, port, kind in (("192.0.2.1", 80, socket.SOCK_STREAM), ("2001:db8::1", 443, socket.SOCK_STREAM)):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as one:
        try:
            one.connect((host, port))
        except OSError:
            pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    try:
        one.sendto(b"x", ("198.51.100.1", 53))
    except OSError:
        pass
# Native code, in a process of a process.
code = "import ctypes; c = ctypes.CDLL(None); c.connect(c.socket(2, 1, 0), bytes([2, 0, 1, 187, 203, 0, 113, 9, *bytes(8)]), 16)"
subprocess.run([sys.executable, "-c", code], check=True)
"""


@dataclass(frozen=True)
class Seen:
    """What strace wrote."""

    text: str

    @property
    def outside(self) -> list[str]:
        """Lines that name an address which is not this machine's, or ask whoever resolves names."""
        found = []
        for line in self.text.splitlines():
            for match in _ADDRESS.finditer(line):
                address = ip_address(match["address"])
                # A resolver on loopback forwards what it is asked.
                if not address.is_loopback or match["port"] == "53":
                    found.append(line)
            # Where no such service runs, glibc asks for users in the same way, and for hosts a name server next, which is seen above.
            if any(name in line for name in _RESOLVERS) and "ENOENT" not in line:
                found.append(line)
        return found


def traced(
    tmp_path: Path, *command: str, inner: bool = False, seconds: float = 240, **environment: str
) -> tuple[subprocess.CompletedProcess[str], Seen]:
    """Run a command in a namespace that has loopback and nothing else, under strace; with `inner`, the command is handed strace's own
    command line as its last arguments, to put it before what shall be seen."""
    needs_linux()
    needs("strace", "unshare", "ip")
    needs_to_run(["unshare", "--map-root-user", "--net", "ip", "link", "set", "lo", "up"], "network namespaces are not allowed here")
    needs_to_run(["strace", "-o", os.devnull, "true"], "processes may not be traced here")
    trace = tmp_path / "trace"
    # -A: several programs write to one file, one line each; -s 0 keeps what they say to each other out of it.
    tracer = ["strace", "-f", "-qq", "-A", "-s", "0", "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", str(trace)]
    whole = [*command, *tracer] if inner else [*tracer, *command]
    ended = subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *whole],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    return ended, Seen(trace.read_text() if trace.exists() else "")


def test_it_would_be_seen(tmp_path: Path) -> None:
    ended, seen = traced(tmp_path, sys.executable, "-c", CONTROL)
    assert ended.returncode == 0, ended.stderr
    text = "\n".join(seen.outside)
    for address in ("192.0.2.1", "2001:db8::1", "198.51.100.1", "203.0.113.9"):
        assert address in text, f"{address} was contacted, and the trace does not show it:\n{seen.text[-3000:]}"


def test_names_would_be_seen(tmp_path: Path) -> None:
    code = "import socket\ntry:\n    socket.getaddrinfo('models.example', 443)\nexcept OSError:\n    pass"
    if not re.search(r"^nameserver", _read("/etc/resolv.conf"), re.MULTILINE):
        code = code.replace("pass", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.53', 53))")
    ended, seen = traced(tmp_path, sys.executable, "-c", code)
    assert ended.returncode == 0, ended.stderr
    assert seen.outside


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Seen]:
    """Everything that can be asked, in one round."""
    folder = tmp_path_factory.mktemp("offline")
    ended, seen = traced(folder, sys.executable, str(Path(__file__).with_name("offline_round.py")), str(folder), inner=True)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1]), seen


def test_all_is_answered_without_a_network(round_: tuple[dict[str, Any], Seen]) -> None:
    told, _ = round_
    assert told["interfaces"] == ["lo"]
    assert told["routes"] == 0
    assert told["openai.image"] in {"stop", "length"}
    assert told["rerank"] == 2
    assert all(told[name] for name in told if name.startswith(("openai.", "anthropic.", "ollama.")))
    assert told["library"] == [201, 200, 200, 200, 200, 200, 200, 200, 200]
    assert told["exit"] == 0, told["log"]
    assert {name: told["terminal"][name][0] for name in ("run", "list", "key")} == {"run": 0, "list": 0, "key": 0}, told["terminal"]


def test_nothing_but_loopback_is_contacted(round_: tuple[dict[str, Any], Seen]) -> None:
    _, seen = round_
    assert "127.0.0.1" in seen.text, "the trace does not even show loopback"
    assert seen.outside == []


def test_workers_open_no_sockets_but_unix_ones(round_: tuple[dict[str, Any], Seen]) -> None:
    """Not even for loopback: whoever talks to a worker does so on its unix socket."""
    told, seen = round_
    lines = seen.text.splitlines()
    refused = [number for number, line in enumerate(lines) if _INET_SOCKET.search(line) and "EPERM" in line]
    assert [lines[number] for number in refused if number < told["terminal"]["traced before"]] == [], "an engine tried to open a network socket"
    assert len(refused) == 1, "the doctor tries once whether that is refused, and so shows that it would be seen here"


def test_each_refused_attempt_is_a_row(round_: tuple[dict[str, Any], Seen]) -> None:
    told, _ = round_
    outside = told["outside"]
    rows = told["audit"]
    assert rows
    assert {row["outcome"] for row in rows} == {"refused"}
    for name, target in (("image by address", "192.0.2.7"), ("image by name", "models.example"), ("image for anthropic", "models.example")):
        status, text, request = outside[name]
        assert status == 403, (name, status, text)
        assert "offline" in text
        (row,) = [row for row in rows if row["request"] == request]
        assert target in row["target"]
        assert "png" not in str(row), "paths do not belong into the audit table"
    targets = " ".join(row["target"] + row["detail"] for row in rows if not row["request"])
    assert "192.0.2.7" in targets, "the server asked the first upstream for its models"
    assert "models.example" in targets


def test_what_is_not_there_or_would_leave_says_so(round_: tuple[dict[str, Any], Seen]) -> None:
    outside = round_[0]["outside"]
    assert {name: outside[name][0] for name in ("pull", "push", "pull by the way", "upstream by address", "upstream by name")} == {
        "pull": 403,
        "push": 403,
        "pull by the way": 404,
        "upstream by address": 404,
        "upstream by name": 404,
    }
