"""Folders that look like /sys and /dev of machines with graphics cards, with symbolic links where Linux has them."""

from __future__ import annotations

from pathlib import Path

GIB = 1 << 30


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def card(
    root: Path, number: int, slot: str, driver: str, ids: str, files: dict[str, object] | None = None, *, revision: str = "00", behind: str = ""
) -> Path:
    """/sys/class/drm/card{number}, linked to its PCI device, with render node, connector and device file. The PCI device's folder.

    `behind`: addresses of the ports on the way to it."""
    vendor, model = ids.split(":")
    device = root / "sys/devices/pci0000:00" / behind / slot
    uevent = f"DRIVER={driver}\nPCI_CLASS=30000\nPCI_ID={ids.upper()}\nPCI_SUBSYS_ID=1EAE:7901\nPCI_SLOT_NAME={slot}\nMODALIAS=pci:v00001002"
    tree(device, {"vendor": f"0x{vendor}", "device": f"0x{model}", "revision": f"0x{revision}", "uevent": uevent, **(files or {})})
    render = f"renderD{128 + number}"
    for name in (f"card{number}", render, f"card{number}/card{number}-DP-1"):
        folder = device / "drm" / name
        folder.mkdir(parents=True)
        if "-" not in name:
            (folder / "device").symlink_to(device)
    bus = root / "sys/bus/pci/devices"
    bus.mkdir(parents=True, exist_ok=True)
    (bus / slot).symlink_to(device)
    listed = root / "sys/class/drm"
    listed.mkdir(parents=True, exist_ok=True)
    for name in (f"card{number}", render):
        (listed / name).symlink_to(device / "drm" / name)
    (listed / f"card{number}-DP-1").symlink_to(device / "drm" / f"card{number}" / f"card{number}-DP-1")
    tree(root, {f"dev/dri/{render}": "", f"dev/dri/card{number}": ""})
    return device


def kfd(root: Path, node: int, slot: str, target: int, units: int, each: int = 2) -> None:
    """A node of amdkfd, with the lines of a real one that matter here and some that do not."""
    domain, bus, rest = slot.split(":")
    device, function = rest.split(".")
    place = int(bus, 16) << 8 | int(device, 16) << 3 | int(function, 16)
    lines = [
        *("cpu_cores_count 0", f"simd_count {units * each}", "mem_banks_count 1", "caches_count 138", "max_waves_per_simd 16", "lds_size_in_kb 64"),
        *(f"simd_per_cu {each}", "max_slots_scratch_cu 32", f"gfx_target_version {target}", "vendor_id 4098", f"location_id {place}"),
        *(f"domain {int(domain, 16)}", "drm_render_minor 128", "hive_id 0", "max_engine_clk_fcompute 2460", "local_mem_size 0", "num_xcc 1"),
    ]
    tree(root, {f"sys/class/kfd/kfd/topology/nodes/{node}/properties": "\n".join(lines)})


def processor(root: Path) -> None:
    """The node of amdkfd that every machine has, for its processor."""
    lines = ["cpu_cores_count 32", "simd_count 0", "gfx_target_version 0", "location_id 0", "domain 0", "simd_per_cu 0"]
    tree(root, {"sys/class/kfd/kfd/topology/nodes/0/properties": "\n".join(lines)})
