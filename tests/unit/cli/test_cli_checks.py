"""What the doctor finds on machines that are not this one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from hausgeist import hardware
from hausgeist.cli import checks
from hausgeist.cli.checks import CHECKS, Finding, examine
from hausgeist.engines.llamacpp import providers
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.hardware import Cpu, Device, Memory
from hausgeist.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", port=0)


def look(name: str, settings: Settings) -> list[Finding]:
    return [Finding(name, *found) for found in CHECKS[name](settings)]


def machine(
    monkeypatch: pytest.MonkeyPatch,
    *,
    features: tuple[str, ...] = ("avx2",),
    devices: tuple[Device, ...] = (),
    engine: str = "wheel",
    backends: tuple[str, ...] = ("cpu",),
) -> None:
    monkeypatch.setattr(hardware, "cpu", lambda: Cpu("a processor", 8, 16, features))
    monkeypatch.setattr(hardware, "devices", lambda: list(devices))
    monkeypatch.setattr(providers, "provider", lambda settings: Provider(engine, None, "1", backends))  # type: ignore[arg-type]


GPU = Device(0, "H200", "cuda", 141 << 30, 140 << 30, "570")


def test_a_gpu_that_is_not_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, devices=(GPU,))
    (warning,) = [finding for finding in look("engine", settings) if finding.status == "warn"]
    assert "H200" in warning.found
    assert "hausgeist engine build --cuda" in warning.advice
    machine(monkeypatch, devices=(GPU,), engine="built", backends=("cpu", "cuda"))
    assert {finding.status for finding in look("engine", settings)} == {"ok"}


def test_instructions_that_the_wheel_does_not_use(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    machine(monkeypatch, features=("avx2", "avx512f"))
    (warning,) = [finding for finding in look("engine", settings) if finding.status == "warn"]
    assert "AVX-512" in warning.found
    assert "hausgeist engine build" in warning.advice
    machine(monkeypatch, features=("avx2", "avx512f"), engine="built")
    assert {finding.status for finding in look("engine", settings)} == {"ok"}


def test_little_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory", lambda: Memory(4 << 30, 1 << 30))
    assert [finding.status for finding in look("memory", settings)] == ["warn"]
    monkeypatch.setattr(hardware, "memory", lambda: Memory(64 << 30, 60 << 30))
    assert [finding.status for finding in look("memory", settings)] == ["ok"]


def test_a_home_that_others_can_enter(settings: Settings) -> None:
    assert [finding.status for finding in look("home", settings)] == ["ok"]
    settings.home.mkdir(mode=0o755)
    settings.home.chmod(0o755)
    (finding,) = look("home", settings)
    assert (finding.status, finding.advice) == ("warn", f"run 'chmod 700 {settings.home}'")
    settings.home.chmod(0o700)
    assert [finding.status for finding in look("home", settings)] == ["ok"]


def test_a_port_in_use_and_by_whom(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (finding,) = look("port", load_settings(home=settings.home, port=port))
    assert finding.status == "fail"
    assert "python" in finding.found or "pytest" in finding.found
    (finding,) = look("port", load_settings(home=settings.home, port=port))
    assert finding.status == "ok"


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({}, "ok"),
        ({"host": "0.0.0.0"}, "ok"),
        ({"host": "0.0.0.0", "tls": False}, "warn"),
        ({"host": "0.0.0.0", "keys_required": False}, "ok"),
        ({"behind_proxy": True}, "ok"),
    ],
)
def test_exposure(settings: Settings, flags: dict[str, Any], status: str) -> None:
    (finding,) = look("access", load_settings(home=settings.home, **flags))
    assert finding.status == status
    assert status == "warn" or ("no key is needed" in finding.found) == (not flags)


def test_a_check_that_breaks_does_not_end_the_report(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: Settings) -> Any:
        raise RuntimeError("oh")

    monkeypatch.setitem(checks.CHECKS, "memory", broken)
    found = list(examine(settings))
    assert {finding.check for finding in found} >= {"memory", "disk", "egress"}
    (finding,) = [finding for finding in found if finding.check == "memory"]
    assert finding.status == "fail"
    assert "oh" in finding.found
