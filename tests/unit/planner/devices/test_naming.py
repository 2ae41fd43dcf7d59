"""Names of devices: as the data have them, as people type them, as drivers report them; what is said where none fits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.planner.devices.device import Device
from hausgeist.planner.devices.known import load
from hausgeist.planner.devices.naming import LONGEST

KNOWN = load()
DEVICES = list(KNOWN)
each = pytest.mark.parametrize("device", DEVICES, ids=[one.name for one in DEVICES])


@each
def test_finds_its_own_names(device: Device) -> None:
    for name in (device.name, *device.aliases, f"{device.vendor} {device.name}", device.name.lower(), device.name.replace(" ", "-")):
        assert KNOWN.find(name).name == device.name, name
    for sold, usable in device.options:
        found = KNOWN.find(f"{device.name} {sold:g}GB")
        assert (found.name, found.memory_gib, found.usable_gib) == (device.name, sold, usable)


@pytest.mark.parametrize(
    ("typed", "meant", "gib"),
    [
        ("RTX 4090", "RTX 4090", 24),
        ("rtx4090", "RTX 4090", 24),
        ("4090 24gb", "RTX 4090", 24),
        ("  NVIDIA GeForce RTX™ 4090 ", "RTX 4090", 24),
        ("4060ti 16g", "RTX 4060 Ti 16GB", 16),
        ("rtx 4060 ti", "RTX 4060 Ti 8GB", 8),
        ("3060", "RTX 3060 12GB", 12),
        ("3060 8 GB", "RTX 3060 8GB", 8),
        ("quadro 8000", "Quadro RTX 8000", 48),
        ("rtx 6000 24gb", "Quadro RTX 6000", 24),
        ("rtx 6000 96 gb", "RTX PRO 6000 Blackwell", 96),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", 48),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Blackwell", 96),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "RTX PRO 6000 Blackwell Max-Q", 96),
        ("a100", "A100 40GB PCIe", 40),
        ("A100 80", "A100 80GB PCIe", 80),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB SXM", 80),
        ("Tesla V100-SXM2-32GB", "Tesla V100 32GB SXM2", 32),
        ("NVIDIA H100 80GB HBM3", "H100 SXM", 80),
        ("Tesla P100-PCIE-16GB", "Tesla P100 16GB", 16),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX", 24),
        ("radeon instinct mi50 32gb", "Instinct MI50 32GB", 32),
        ("Intel(R) Arc(TM) B580 Graphics", "Arc B580", 12),
        ("m3 max", "M3 Max (30-core GPU)", 36),
        ("m3 max 128", "M3 Max (40-core GPU)", 128),
        ("m3max128", "M3 Max (40-core GPU)", 128),
        ("MacBook Pro M4 Max 128GB", "M4 Max (40-core GPU)", 128),
        ("mac studio m2 ultra 192gb", "M2 Ultra (60-core GPU)", 192),
        ("strix halo", "Ryzen AI Max+ 395", 32),
        ("framework desktop 128 gb", "Ryzen AI Max+ 395", 128),
        ("genoa 576gb", "EPYC 9004, 12 channels DDR5-4800", 576),
        ("raspberry pi 5 8gb", "LPDDR4X-4267, 32 bit", 8),
        ("ｒｔｘ ３０９０", "RTX 3090", 24),
        ("EPYC 9554", "EPYC 9004, 12 channels DDR5-4800", 192),
        ("Ryzen 9 9950X 64GB", "DDR5-6000, 2 channels", 64),
        ("i7-14700k", "DDR5-5600, 2 channels", 32),
    ],
)
def test_finds_what_people_type(typed: str, meant: str, gib: float) -> None:
    found = KNOWN.find(typed)
    assert (found.name, found.memory_gib) == (meant, gib)


@pytest.mark.parametrize(
    "reported",
    [
        "NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA RTX 4000 SFF Ada Generation", "NVIDIA A10", "NVIDIA A10G",
        "NVIDIA L4",        "Tesla T4",
        "NVIDIA H100 NVL", "NVIDIA H200", "NVIDIA B200", "NVIDIA GB10", "NVIDIA TITAN RTX", "Quadro RTX 6000", "NVIDIA A100 80GB PCIe",
        "NVIDIA A100-PCIE-40GB", "NVIDIA RTX A2000 12GB", "NVIDIA RTX PRO 6000 Blackwell Server Edition", "AMD Instinct MI300X",
        "AMD Radeon RX 9070 XT",        "Radeon 8060S Graphics", "Intel(R) Arc(TM) A770 Graphics", "Apple M1 Pro", "Apple M4",
    ],
)  # fmt: skip
def test_finds_what_drivers_report(reported: str) -> None:
    assert KNOWN.find(reported).name


@pytest.mark.parametrize(
    ("typed", "error", "says"),
    [
        ("rtx 4095", NotFound, "Did you mean RTX 4090"),
        ("geforce 3900", NotFound, "RTX 3090"),
        ("RTX 3090 Laptop GPU", NotFound, "is not known. Did you mean"),
        ("banana", NotFound, "'banana' is not known."),
        ("3090 48gb", NotFound, "RTX 3090 has 24 GB"),
        ("m3 max 50", NotFound, "(40-core GPU) has 48, 64 or 128 GB"),
        ("genoa 9000gb", NotFound, "has up to"),
        ("rtx 6000", InvalidRequest, "Quadro RTX 6000, RTX 6000 Ada or RTX PRO 6000 Blackwell; say which"),
        ("", InvalidRequest, "empty"),
        (" \t", InvalidRequest, "empty"),
        ("!!", InvalidRequest, "empty"),
        ("x" * (LONGEST + 1), InvalidRequest, "too long"),
    ],
)
def test_says_what_is_near_or_wrong(typed: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as raised:
        KNOWN.find(typed)
    assert says in str(raised.value)


WORDS = (
    "rtx",
    "4090",
    "ti",
    "super",
    "24gb",
    "gb",
    "128",
    "m3",
    "max",
    "pro",
    "6000",
    "ada",
    "a100",
    "80",
    "xt",
    "x16",
    "pcie",
    "2x",
    "ddr5",
    "-",
    "   ",
    "①",
    "GB",
)


@given(
    st.one_of(
        st.text(max_size=120), st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), st.lists(st.sampled_from(WORDS), max_size=6).map("".join)
    )
)
def test_whatever_is_typed_is_found_or_refused(typed: str) -> None:
    for ask in (KNOWN.find, KNOWN.link):
        said = ""
        try:
            said = ask(typed).name
        except (NotFound, InvalidRequest) as error:
            said = str(error)
        assert said.isprintable()
        assert 0 < len(said) < 700


SPELLINGS = (str.upper, str.lower, str.title, lambda name: name.replace(" ", ""), lambda name: name.replace(" ", "_"), lambda name: f"  {name}  ")


@given(st.sampled_from(DEVICES), st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS))
def test_spelling_does_not_matter(device: Device, first: object, second: object) -> None:
    assert callable(first)
    assert callable(second)
    for name in (device.name, *device.aliases):
        assert KNOWN.find(second(first(name))).name == device.name


def test_finding_is_quick() -> None:
    KNOWN.find("4090")
    started = time.thread_time()
    for name in ("4090", "m3 max 128", "no such card at all", "rtx 4095"):
        try:
            KNOWN.find(name)
        except NotFound:
            continue
    assert time.thread_time() - started < 0.5
