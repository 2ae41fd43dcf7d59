"""The data on hardware: what each entry must say, figures against what follows from others, known values, groups and connections."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest

from hausgeist.errors import InvalidRequest, NotFound, StoreError
from hausgeist.planner.devices.device import Device, Precision
from hausgeist.planner.devices.known import decode, load, packaged
from hausgeist.planner.devices.naming import key

KNOWN = load()
DEVICES = list(KNOWN)
IDS = [one.name for one in DEVICES]
each = pytest.mark.parametrize("device", DEVICES, ids=IDS)

DATA_RATES = {
    "DDR3": (1.0, 2.2), "DDR4": (2.1, 3.6), "DDR5": (4.4, 8.0), "MRDIMM": (8.0, 12.8), "LPDDR4X": (3.7, 4.3), "LPDDR5": (5.5, 6.4),
    "LPDDR5X": (7.5, 9.6), "GDDR5": (6.0, 9.1), "GDDR5X": (8.9, 12.1), "GDDR6": (10.0, 20.2), "GDDR6X": (18.9, 24.0), "GDDR7": (18.0, 32.0),
    "HBM2": (1.4, 2.5), "HBM2e": (2.4, 3.65), "HBM3": (4.8, 6.5), "HBM3e": (5.6, 9.6),
}  # fmt: skip
"""Gbit/s of a data line, from the slowest part to the fastest that is sold."""
DATE = re.compile(r"20\d\d(?:-\d\d(?:-\d\d)?)?")
TENSOR = ("Volta", "Turing", "Ampere", "Ada Lovelace", "Hopper", "Blackwell")


def test_as_many_as_promised() -> None:
    assert len(DEVICES) >= 90
    per_vendor = {vendor: sum(one.vendor == vendor for one in DEVICES) for vendor in ("NVIDIA", "AMD", "Intel", "Apple")}
    assert per_vendor["NVIDIA"] >= 60
    assert per_vendor["AMD"] >= 25
    assert per_vendor["Intel"] >= 6
    assert per_vendor["Apple"] >= 16
    assert sum(one.kind == "cpu" for one in DEVICES) >= 20
    assert len({one.name for one in DEVICES}) == len(DEVICES)


def test_no_name_means_two_devices() -> None:
    owner: dict[str, str] = {}
    for one in DEVICES:
        for name in (one.name, *one.aliases):
            assert owner.setdefault(key(name), one.name) == one.name, name
    links: dict[str, str] = {}
    for link in KNOWN.links:
        for name in (link.name, *link.aliases):
            assert links.setdefault(name.lower(), link.name) == link.name, name


@each
def test_an_entry_says_what_it_must(device: Device) -> None:
    assert DATE.fullmatch(device.released)
    assert device.sources
    assert device.isa
    assert device.bandwidth_gb_s > 0
    assert 0 < device.idle_watts < device.tdp_watts
    assert set(device.compute) <= set(get_args(Precision))
    assert min(device.compute.values()) > 0
    fields = {"boost_mhz", "compute", "idle_watts", "released", "tdp_watts", "usable_gib"}
    assert set(device.estimates) <= fields
    for sold, usable in device.options:
        assert 0.6 * sold <= usable <= sold
    assert [sold for sold, _ in device.options] == sorted(sold for sold, _ in device.options)
    if device.kind == "gpu":
        assert len(device.options) == 1
        assert device.usable_gib >= 0.93 * device.memory_gib


@each
def test_every_figure_has_a_source(device: Device) -> None:
    for name in device.sources:
        source = KNOWN.source(name)
        assert source.title
        assert not source.url or source.url.startswith("https://")
        assert DATE.fullmatch(source.date) or source.date == "as given"
    for price in device.prices:
        assert KNOWN.source(price.source).title
        assert DATE.fullmatch(price.date)
        assert 20 <= price.amount <= 60_000
        if price.memory_gib is not None:
            assert device.has_memory(price.memory_gib)
        if price.kind == "launch":
            assert device.released[: len(price.date)] <= price.date < "2026"


@each
def test_bandwidth_follows_from_the_bus(device: Device) -> None:
    assert device.bandwidth_gb_s == pytest.approx(device.bus_bits * device.memory_gbps / 8, rel=0.005)
    slowest, fastest = DATA_RATES[device.memory_type]
    assert slowest <= device.memory_gbps <= fastest


@pytest.mark.parametrize("device", [one for one in DEVICES if one.vendor == "NVIDIA" and "compute" not in one.estimates], ids=lambda one: one.name)
def test_peaks_of_nvidia_follow_from_lanes_and_clock(device: Device) -> None:
    assert device.compute["fp32"] == pytest.approx(device.units * 2 * device.boost_mhz / 1e6, rel=0.02)
    assert device.isa.startswith("compute capability ")
    if device.architecture in TENSOR:
        assert device.compute["fp16"] >= 1.99 * device.compute["fp32"]
        assert device.compute.get("int8", device.compute["fp16"]) >= device.compute["fp32"]
    if device.architecture in TENSOR[2:]:
        assert device.compute["bf16"] == device.compute["fp16"]
        assert device.compute["int8"] >= 2 * device.compute["fp16"] * 0.99
    assert ("fp8" in device.compute) == (device.architecture in TENSOR[3:])
    assert ("fp4" in device.compute) == (device.architecture == "Blackwell")


@each
def test_narrower_is_not_slower(device: Device) -> None:
    """Save for fp16 on Pascal, which crawls and is therefore not computed in."""
    order: list[Precision] = ["fp32", "fp16", "fp8", "fp4"]
    peaks = [device.peak(precision) for precision in order]
    assert peaks == sorted(peaks)
    # Volta's tensor cores know fp16 only.
    assert device.peak("int8") >= device.peak("fp16") or device.vendor in ("AMD", "Apple") or device.architecture == "Volta"
    assert (device.compute.get("fp16", device.compute["fp32"]) < device.compute["fp32"]) == (
        device.architecture == "Pascal" and "P100" not in device.name
    )


KNOWN_VALUES: list[tuple[str, dict[str, float]]] = [
    # Ada whitepaper, table 2: dense peaks of the RTX 4090.
    ("4090", {"fp32": 82.6, "fp16": 165.2, "fp16_accumulate16": 330.3, "fp8": 330.3, "int8": 660.6}),
    # GA102 whitepaper, table 2 and 3.
    ("3090", {"fp32": 35.6, "fp16": 71.2, "fp16_accumulate16": 142.3, "int8": 284.7}),
    ("a6000", {"fp32": 38.7, "fp16": 154.8, "int8": 309.7}),
    # RTX Blackwell whitepaper, appendix A.
    ("5090", {"fp32": 104.8, "fp16": 209.5, "fp8": 419, "int8": 838, "fp4": 1676}),
    ("rtx pro 6000", {"fp32": 126, "fp16": 503.8, "fp8": 1007.6, "fp4": 2015.2}),
    # Turing whitepaper: Quadro RTX 6000; 2080 Ti as in the reference design.
    ("quadro rtx 6000", {"fp32": 16.3, "fp16": 130.5, "int8": 261}),
    ("2080 ti", {"fp32": 13.4, "fp16": 53.8, "fp16_accumulate16": 107.6, "int8": 215.2}),
    # Datasheets.
    ("t4", {"fp32": 8.1, "fp16": 65, "int8": 130}),
    ("p40", {"fp32": 11.8, "int8": 47}),
    ("v100 sxm2 32gb", {"fp32": 15.7, "fp16": 125}),
    ("a100 sxm 80gb", {"fp32": 19.5, "fp16": 312, "bf16": 312, "int8": 624}),
    ("h100 sxm", {"fp32": 66.9, "fp16": 989.4, "fp8": 1978.9, "int8": 1978.9}),
    ("h100 pcie", {"fp32": 51.2, "fp16": 756, "fp8": 1513}),
    ("l40s", {"fp32": 91.6, "fp16": 362, "fp8": 733}),
    ("l4", {"fp32": 30.3, "fp16": 121, "fp8": 242.5}),
    ("7900 xtx", {"fp32": 61.4, "fp16": 122.8}),
    ("9070 xt", {"fp32": 48.7, "fp16": 195, "int8": 389}),
    ("mi300x", {"fp32": 163.4, "fp16": 1307.4, "fp8": 2614.9}),
    # Wikipedia's list of AMD graphics processing units.
    ("mi50 32gb", {"fp32": 13.25, "fp16": 26.5}),
    ("mi100", {"fp32": 23.07, "fp16": 184.6}),
    ("mi210", {"fp32": 22.63, "fp16": 181}),
    ("mi250x", {"fp32": 47.87, "fp16": 383}),
    ("9060 xt 16gb", {"fp32": 25.64, "int8": 205}),
    ("strix halo", {"fp16": 59.4, "int8": 59.4}),
    ("b580", {"int8": 233}),
    ("m1 max", {"fp32": 10.4}),
]


@pytest.mark.parametrize(("name", "peaks"), KNOWN_VALUES, ids=[name for name, _ in KNOWN_VALUES])
def test_known_peaks(name: str, peaks: dict[Precision, float]) -> None:
    device = KNOWN.find(name)
    for precision, expected in peaks.items():
        assert device.compute[precision] == pytest.approx(expected, rel=0.015), precision


@pytest.mark.parametrize(
    ("name", "gib", "usable_mib", "bandwidth", "watts"),
    [
        ("RTX 4090", 24, 24564, 1008, 450),
        ("RTX 5090", 32, 32607, 1792, 575),
        ("RTX 3060", 12, 12288, 360, 170),
        ("Tesla P40", 24, 23040, 347, 250),
        ("Quadro RTX 8000", 48, 49152, 672, 260),
        ("RTX A6000", 48, 49140, 768, 300),
        ("T4", 16, 15360, 320, 70),
        ("L4", 24, 23034, 300, 72),
        ("A100 80GB SXM", 80, 81920, 2039, 400),
        ("H100 SXM", 80, 81559, 3352, 700),
        ("H200", 141, 143771, 4800, 700),
        ("MI50 32GB", 32, 32768, 1024, 300),
        ("MI300X", 192, 196608, 5325, 750),
        ("7900 XTX", 24, 24576, 960, 355),
        ("Arc A770", 16, 16384, 560, 225),
        ("M2 Ultra 192", 192, 147456, 819.2, 295),
        ("M1 16gb", 16, 10922.67, 68.3, 39),
        ("DGX Spark", 128, 121856, 273, 240),
        ("EPYC Genoa", 192, 196608, 460.8, 360),
    ],
)
def test_known_memory_and_watts(name: str, gib: float, usable_mib: float, bandwidth: float, watts: float) -> None:
    device = KNOWN.find(name)
    assert device.memory_gib == gib
    assert device.usable_bytes / 2**20 == pytest.approx(usable_mib, rel=0.001)
    assert device.bandwidth_gb_s == pytest.approx(bandwidth, rel=0.002)
    assert device.tdp_watts == watts


def test_peaks_fall_back_to_what_there_is() -> None:
    p40, p100, v100, m1 = (KNOWN.find(name) for name in ("p40", "p100", "v100", "m1"))
    assert p40.peak("fp16") == p40.compute["fp32"]
    assert p100.peak("int8") == p100.compute["fp16"]
    assert v100.peak("bf16") == v100.compute["fp32"]
    assert m1.peak("fp4") == m1.compute["fp16"]


def test_prices_are_of_the_memory_asked_for() -> None:
    studio = KNOWN.find("m4 max 128")
    launch = studio.price("launch")
    assert launch is not None
    assert (launch.amount, launch.currency) == (3499, "USD")
    assert KNOWN.find("m4 max 64").price("launch") is None
    used = KNOWN.find("3090").price("used")
    assert used is not None
    assert used.estimate
    new = KNOWN.find("4090").price("new")
    assert new is not None
    assert (new.amount, new.currency, new.date) == (2755, "USD", "2026")
    assert KNOWN.find("4090").price("used") == max(
        (price for price in KNOWN.find("4090").prices if price.kind == "used"), key=lambda price: price.date
    )


@pytest.mark.parametrize(
    ("name", "released", "usd"),
    [
        ("GTX 1080 Ti", "2017-03", 699),
        ("TITAN Xp", "2017-04", 1199),
        ("RTX 2070 SUPER", "2019-07", 499),
        ("RTX 3060 12GB", "2021-02", 329),
        ("RTX 3080 12GB", "2022-01", 799),
        ("RTX 3090 Ti", "2022-03", 1999),
        ("RTX 4060 Ti 16GB", "2023-07", 499),
        ("RTX 4080", "2022-11", 1199),
        ("RTX 4090", "2022-10", 1599),
        ("RTX 5060 Ti 16GB", "2025-04", 429),
        ("RTX 5090", "2025-01", 1999),
        ("Quadro RTX 8000", "2018-08", 10_000),
        ("RX 6900 XT", "2020-12", 999),
        ("RX 7900 XTX", "2022-12", 999),
        ("M3 Ultra 96gb", "2025-03", 3999),
    ],
)
def test_known_launches(name: str, released: str, usd: float) -> None:
    device = KNOWN.find(name)
    launch = device.price("launch")
    assert device.released == released
    assert launch is not None
    assert (launch.amount, launch.currency, launch.estimate) == (usd, "USD", False)


@pytest.mark.parametrize(
    ("name", "idle"),
    [
        # Apple's tables, at the wall.
        ("M1 Max", 11), ("M1 Ultra (48-core GPU)", 13), ("M2 Max (30-core GPU)", 9), ("M2 Ultra (76-core GPU)", 10),
        ("M4 (10-core GPU)", 4), ("M4 Pro (20-core GPU)", 5), ("DGX Spark", 25), ("RTX 3090", 24), ("RX 7900 XTX", 20),
        ("Instinct MI25", 5), ("MI355X", 238), ("Arc B570", 31),
    ],
)  # fmt: skip
def test_known_watts_at_rest(name: str, idle: float) -> None:
    device = KNOWN.find(name)
    assert device.idle_watts == idle
    assert "idle_watts" not in device.estimates


def test_most_devices_have_a_price() -> None:
    cards = [one for one in DEVICES if one.kind != "cpu" and one.segment in ("consumer", "workstation")]
    assert sum(bool(one.prices) for one in cards) >= 0.75 * len(cards)


def test_a_card_may_rest_higher_with_a_model_in_memory() -> None:
    assert KNOWN.find("p40").resting_watts == 50
    assert KNOWN.find("3090").resting_watts == KNOWN.find("3090").idle_watts


def test_groups() -> None:
    pair = KNOWN.group("3090", 2)
    assert (pair.total, pair.link.name, pair.network.name) == (2, "PCIe 4.0 x16", "Ethernet 10")
    assert pair.usable_bytes == 2 * KNOWN.find("3090").usable_bytes
    assert pair.tdp_watts == 700
    assert pair.title == "2 x NVIDIA RTX 3090"
    assert KNOWN.group("3090", 2, link="nvlink ampere").link.gb_s == 56.25
    assert KNOWN.group("3090", 2, link="pcie 3 x8").link.gb_s == pytest.approx(7.88)
    assert KNOWN.group("h100 sxm", 8).link.name == "NVLink 4"
    assert KNOWN.group("2070 super", 2, link="nvlink turing x1").link.gb_s == 25
    assert KNOWN.group("h200 nvl", 4, link="nvlink h200 nvl").link.gb_s == 450
    sparks = KNOWN.group("dgx spark", nodes=2)
    assert (sparks.total, sparks.network.name) == (2, "Ethernet 200")
    assert sparks.slowest_link is sparks.network
    assert KNOWN.group("4090").slowest_link is None
    assert KNOWN.group("4090", 2).slowest_link is KNOWN.link("PCIe 4.0 x16")
    assert sparks.title == "2 nodes with NVIDIA DGX Spark"
    wide = KNOWN.group(KNOWN.find("4090"), 4, nodes=2, network="25gbe")
    assert wide.slowest_link is KNOWN.link("25gbe")
    assert wide.bandwidth_gb_s == 8 * 1008


@pytest.mark.parametrize(
    ("device", "options", "says"),
    [
        ("4090", {"count": 0}, "0 is no number of devices"),
        ("4090", {"count": -1}, "no number of devices"),
        ("4090", {"count": 10**9}, "no number of devices"),
        ("4090", {"nodes": 0}, "no number of nodes"),
        ("4090", {"count": 2, "link": "nvlink 4"}, "cannot be connected by NVLink 4, but by PCIe 4.0 x16"),
        ("3090", {"count": 3, "link": "nvlink ampere"}, "joins 2 devices, not 3"),
        ("a100 80gb pcie", {"count": 4, "link": "nvlink a100 pcie"}, "joins 2 devices, not 4"),
        ("m3 ultra", {"count": 2}, "ask for 2 nodes instead"),
        ("4090", {"count": 2, "link": "10gbe"}, "connects machines"),
        ("4090", {"nodes": 2, "network": "pcie 4 x16"}, "does not connect machines"),
    ],
)
def test_groups_that_cannot_be(device: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        KNOWN.group(device, **options)  # type: ignore[arg-type]
    assert says in str(raised.value)
    assert raised.value.param in ("gpus", "nodes", "link", "network")


@pytest.mark.parametrize(
    ("name", "gb_s"),
    [
        ("PCIe 3.0 x16", 15.76), ("pcie4 x8", 15.752), ("PCI Express 5.0 x16", 63.008), ("pcie gen4", 31.504), ("nvlink 3", 300), ("nvlink2", 150),
        ("10gbe", 1.25), ("1 gbit", 0.125), ("ethernet 100", 12.5), ("infiniband ndr", 50), ("thunderbolt 4", 4),
    ],
)  # fmt: skip
def test_known_links(name: str, gb_s: float) -> None:
    assert KNOWN.link(name).gb_s == pytest.approx(gb_s)


def test_links_are_known_by_what_is_near() -> None:
    with pytest.raises(NotFound, match=r"NVLink"):
        KNOWN.link("nvlink 9")
    for link in KNOWN.links:
        assert link.source in KNOWN.sources
        assert link.gb_s > 0 or link.kind == "package"
        for name in (link.name, *link.aliases):
            assert KNOWN.link(name) is link


def test_wider_slots_and_later_generations_are_faster() -> None:
    for lanes in (1, 4, 16):
        rates = [KNOWN.link(f"PCIe {generation}.0 x{lanes}").gb_s for generation in range(1, 7)]
        assert rates == sorted(rates)
        assert rates[5] / rates[2] == pytest.approx(7.7, rel=0.01)


def test_a_source_leads_to_the_page() -> None:
    page = next(name for name in KNOWN.find("4090").sources if name.startswith("techpowerup/"))
    assert KNOWN.source(page).url == "https://www.techpowerup.com/gpu-specs/geforce-rtx-4090.c3889"
    with pytest.raises(NotFound):
        KNOWN.source("nobody")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('link = "PCIe 3.0 x16"', 'link = "string"', "GTX 1070: link string unknown"),
        ("bus_bits = 256", 'bus_bit = 256', "GTX 1070: bus_bit unknown"),
        ("bus_bits = 256\n", "", "GTX 1070"),
        ('kind = "gpu"', 'kind = "toaster"', "kind toaster unknown"),
        ("compute = { fp32 = 6.463", "compute = { fp64 = 6.463", "GTX 1070"),
        ('source = "nvidia-launch"', 'source = "hearsay"', "source hearsay unknown"),
        ("memory_gib = 8\n", "memory_gib = [8, 16]\n", "GTX 1070"),
        ("[sources]", "[sources", "damaged"),
        ("[sources]", "devices = 5\n[sources]", "damaged"),
    ],
)  # fmt: skip
def test_damaged_data_are_named(old: str, new: str, says: str) -> None:
    text = packaged()
    assert old in text
    with pytest.raises(StoreError) as raised:
        decode(text.replace(old, new, 1))
    assert says in str(raised.value)


def test_an_amount_of_memory_can_be_chosen() -> None:
    genoa = KNOWN.find("genoa")
    assert genoa.with_memory(400).usable_bytes == 400 * 2**30
    assert KNOWN.find("m1 max").with_memory(64).usable_gib == 48
    with pytest.raises(NotFound, match="32, 64"):
        KNOWN.find("m1 max").with_memory(128)
    assert replace(genoa, memory_gib=1).name == genoa.name
