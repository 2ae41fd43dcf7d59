"""Apple silicon, by what its programs print."""

from __future__ import annotations

import pytest

from hausgeist.hardware import apple
from hausgeist.hardware.capacity import Memory
from hausgeist.hardware.device import Device

GIB = 1 << 30
AGX = '+-o AGXAcceleratorG15X  <class AGXAcceleratorG15X, id 0x100000356>\n    {\n      "model" = "Apple M3 Max"\n      "gpu-core-count" = 40\n    }'


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each program answers, by a word of its command line; may be changed."""
    answers = {"brand_string": "Apple M3 Max", "AGXAccelerator": AGX, "osproductversion": "26.6.2", "wired_limit": "0", "-I": str(48 * GIB + 5)}
    monkeypatch.setattr(apple.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(apple, "memory", lambda root: Memory(64 * GIB, 60 * GIB))

    def ask(*command: str) -> str:
        return next((answer for word, answer in answers.items() if any(word in part for part in command)), "")

    monkeypatch.setattr(apple, "ask", ask)
    return answers


def test_what_metal_says_counts(mac: dict[str, str]) -> None:
    assert apple.devices() == [Device(0, "Apple M3 Max", "metal", 48 * GIB + 5, 48 * GIB + 5, "macOS 26.6.2", unified=True, units=40)]


def test_no_more_is_free_than_the_machine_has(mac: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apple, "memory", lambda root: Memory(64 * GIB, 9 * GIB))
    assert apple.devices()[0].free == 9 * GIB


@pytest.mark.parametrize(("total", "limit", "expected"), [(64, "0", 48), (24, "", 16), (32, "0", 32 * 2 / 3), (64, "57344", 56), (64, "999999", 64)])
def test_without_metal_the_rule_of_macos(mac: dict[str, str], monkeypatch: pytest.MonkeyPatch, total: int, limit: str, expected: float) -> None:
    monkeypatch.setattr(apple, "memory", lambda root: Memory(total * GIB, total * GIB))
    mac.update({"-I": "", "wired_limit": limit})
    assert apple.devices()[0].total == int(expected * GIB)


def test_other_machines_have_none(mac: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    mac["-I"] = "none"
    assert apple.devices() == [], "a virtual machine without a GPU"
    mac.update({"-I": "", "AGXAccelerator": ""})
    assert apple.devices()[0].units == 0
    mac["brand_string"] = "Intel(R) Core(TM) i7-1068NG7 CPU @ 2.30GHz"
    assert apple.devices() == []
    mac["brand_string"] = "Apple M3 Max"
    monkeypatch.setattr(apple.platform, "system", lambda: "Linux")
    assert apple.devices() == []


def test_what_metal_is_asked_is_python() -> None:
    compile(apple._METAL, "metal", "exec")
