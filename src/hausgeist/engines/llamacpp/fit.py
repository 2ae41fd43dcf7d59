"""How much memory a worker will take, told by the engine itself in a second or two: its fit pass lays everything out and allocates nothing.

The engine prints what it lays out; `Report` reads that. What it does not count is added here: its repacked copies of weights (it leaves them out of
its own total), LoRA adapters, checkpoints of sliding-window caches, the prefix cache, and the process itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from hausgeist.engines.base import FitFailed
from hausgeist.engines.llamacpp.parameters import CHECKPOINTS, parameters
from hausgeist.engines.llamacpp.process import Process
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.errors import LoadFailed
from hausgeist.model import Footprint, LaunchPlan

__all__ = ["Report", "fit"]

_MIB = 2**20
_PATIENCE = 120.0
_RUNTIME = 16 * _MIB
"""What a worker may take beyond its libraries and vocabulary once it serves: threads, samplers, buffers of requests."""
_USUAL = 2 * _MIB
"""What of that it takes with few requests (1 to 3 MiB measured)."""
_SAMPLER = 32
"""Bytes per token of the vocabulary and slot: candidates, logits, penalties."""


async def fit(plan: LaunchPlan, *, provider: Provider, folder: Path, prompt_cache: int = 0) -> Footprint:
    """Memory of a worker for `plan`. Raises `LoadFailed` with the engine's reason when the file is not usable, `FitFailed` when the engine crashed,
    took too long or said something else than is understood here: then the file may be good all the same."""
    report = Report()
    done = asyncio.Event()
    resident = (0, 0)

    def read(line: str) -> None:
        nonlocal resident
        report.read(line)
        if report.complete and not done.is_set():
            resident = _resident(process.pid)
            done.set()

    process = await Process.start(provider, parameters(plan, prompt_cache=prompt_cache, accelerated=provider.accelerated), folder=folder, fit=True)
    process.on_line = read
    try:
        ended, finished = asyncio.create_task(process.ended()), asyncio.create_task(done.wait())
        try:
            await asyncio.wait((ended, finished), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            finished.cancel()
    finally:
        await asyncio.shield(process.close(patience=0))
    if not report.usable:
        why = f"The engine cannot use '{plan.model.id}': {report.failure or ''}{process.last_words() or process.reason()}"
        raise LoadFailed(why) if report.failure is not None or process.gave_up else FitFailed(why)
    return report.footprint(plan, resident=resident, prompt_cache=prompt_cache)


def _resident(pid: int) -> tuple[int, int]:
    """Most memory that the process has had so far: libraries and the vocabulary; and the same with only its share of what other processes use too.

    The first is what has to be promised, as others may end; the second is what can be compared with what is measured.
    """
    try:
        folder = Path("/proc", str(pid))
        most = _kilobytes((folder / "status").read_text(encoding="ascii"), "VmHWM")
        shared = 0
        with contextlib.suppress(OSError, ValueError):
            mapped = (folder / "smaps_rollup").read_text(encoding="ascii")
            shared = max(0, _kilobytes(mapped, "Rss") - _kilobytes(mapped, "Pss"))
        return most * 1024, max(0, most - shared) * 1024
    except (OSError, ValueError):
        pass
    import psutil

    try:
        whole = int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        whole = 64 * _MIB
    return whole, whole


def _kilobytes(text: str, name: str) -> int:
    """One of the sizes that Linux tells of a process. Raises `ValueError` where it does not."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise ValueError(name)
    return int(found.group(1))


_ROW = re.compile(r"memory_breakdown_print: \|\s+- (.+?)\s*\|\s*(?:\d+ = \s*\d+ \+ \()?\s*\d+ =\s*(\d+) \+\s*(\d+) \+\s*(\d+)")
_PLACED = re.compile(r"params_fit_impl:\s+- (\S+) \(.*\)\s*:\s*\d+ layers \(\s*\d+ overflowing\),\s*(\d+) MiB used")
_OUTPUT = re.compile(r"(\S+)\s+output buffer size =\s*([\d.]+) MiB")
_CACHE = re.compile(r"(?:llama_kv_cache|llama_memory_recurrent): size =\s*([\d.]+) MiB")
_PROJECTOR = re.compile(r"\[mtmd\] estimated worst-case memory usage of mmproj is ([\d.]+) MiB")
_PROJECTOR_DEVICE = re.compile(r"\[mtmd\] adding ([\d.]+) MiB to fit_params_target for device (\S+)")
_VOCABULARY = re.compile(r"n_vocab\s*= (\d+)")
_FAILURES = (
    ("failed to measure the memory of the extra model", "the draft model does not work with it: "),
    ("failed to get memory usage of mmproj", "its vision projector (mmproj) is not usable: "),
    ("encountered an error while trying to fit params", ""),
)


@dataclass
class _Layout:
    """Bytes per place ("Host", "CPU_REPACK", "CUDA0"): weights, context, compute."""

    rows: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    output: int = 0


@dataclass
class Report:
    """What the fit pass printed, line by line."""

    complete: bool = False
    """The last line was there; what the process does from here on is loading."""
    failure: str | None = None
    """Set when the pass failed: what to say before the engine's own words."""
    vocabulary: int = 0
    _main: _Layout = field(default_factory=_Layout)
    _draft: _Layout | None = None
    _closed: bool = False
    _drafting: bool = False
    _placed: dict[str, int] = field(default_factory=dict)
    _projector: float = 0.0
    _projector_devices: dict[str, float] = field(default_factory=dict)
    _sliding: bool = False
    _rolling: float = 0.0
    """MiB of caches that cannot be rolled back, so that the engine keeps checkpoints of them."""

    @property
    def usable(self) -> bool:
        return bool(self._main.rows) and self.failure is None

    def read(self, line: str) -> None:
        """Take in one line of the engine's log."""
        for mark, meaning in _FAILURES:
            if self.failure is None and mark in line:
                self.failure = meaning
        if "fitting params to free memory took" in line:
            self.complete = True
        elif "getting device memory data for the extra model" in line:
            self._drafting = True
        elif found := _PLACED.search(line):
            self._placed[found.group(1)] = int(found.group(2)) * _MIB
        elif found := _PROJECTOR.search(line):
            self._projector = float(found.group(1))
        elif found := _PROJECTOR_DEVICE.search(line):
            self._projector_devices[found.group(2)] = self._projector_devices.get(found.group(2), 0.0) + float(found.group(1))
        elif self._drafting:
            self._draft = self._draft or _Layout()
            self._read_layout(line, self._draft)
        elif not self._closed:
            self._read_main(line)

    def _read_main(self, line: str) -> None:
        """The first layout is the one asked for; further ones are the engine's trials of placing fewer layers on a device."""
        self._read_layout(line, self._main)
        if found := _VOCABULARY.search(line):
            self.vocabulary = int(found.group(1))
        if "SWA KV cache" in line:
            self._sliding = "non-SWA" not in line
        elif found := _CACHE.search(line):
            if self._sliding or "recurrent" in line:
                self._rolling += float(found.group(1))
            self._sliding = False
        elif self._main.rows and "params_fit_impl" in line:
            self._closed = True

    @staticmethod
    def _read_layout(line: str, layout: _Layout) -> None:
        if found := _ROW.search(line):
            name = found.group(1).split(" (")[0]
            weights, context, compute = (int(found.group(part)) * _MIB for part in (2, 3, 4))
            layout.rows[name] = (weights, context, compute)
        elif found := _OUTPUT.search(line):
            layout.output += round(float(found.group(2)) * _MIB)

    def footprint(self, plan: LaunchPlan, *, resident: tuple[int, int], prompt_cache: int) -> Footprint:
        """The sum for the plan; `resident`: bytes of a process that has laid out and loaded nothing, and of these its own share."""
        devices: dict[str, int] = {}
        parts = dict.fromkeys(("weights", "cache", "compute"), 0)
        host = 0
        for layout, draft in ((self._main, False), (self._draft or _Layout(), True)):
            for name, (weights, context, compute) in layout.rows.items():
                size = weights + context + compute
                # The figures are cut to whole MiB, so each of them is up to one too small.
                size += sum(_MIB for figure in (weights, context, compute) if figure)
                if _on_host(name):
                    host += size
                else:
                    devices[name] = devices.get(name, 0) + size
                if draft:
                    parts["draft"] = parts.get("draft", 0) + size
                else:
                    parts["repack" if "REPACK" in name else "weights"] = parts.get("repack" if "REPACK" in name else "weights", 0) + weights
                    parts["cache"] += context
                    parts["compute"] += compute
            host += layout.output
            parts["output"] = parts.get("output", 0) + layout.output
        host, devices = self._place(host, devices)
        samplers = self.vocabulary * _SAMPLER * plan.slots
        extras = {
            "projector": round(self._projector * _MIB),
            "adapters": sum(_size(adapter.path) for adapter in plan.adapters),
            "checkpoints": round(self._rolling * _MIB) * CHECKPOINTS,
            "prompt_cache": prompt_cache,
            "runtime": resident[0] + _RUNTIME + samplers,
        }
        for name, mebibytes in self._projector_devices.items():
            if not _on_host(name):
                devices[name] = devices.get(name, 0) + round(mebibytes * _MIB)
                host -= round(mebibytes * _MIB)
        host += sum(extras.values())
        parts |= {name: size for name, size in extras.items() if size}
        return Footprint(host=host, devices=devices, parts=parts, source="fit", alone=resident[1] + _USUAL + samplers)

    def _place(self, host: int, devices: dict[str, int]) -> tuple[int, dict[str, int]]:
        """Where layers did not all fit on the devices, the engine says what it placed there; the rest stays on the host."""
        if not self._placed:
            return host, devices
        rest = sum(devices.values()) - sum(self._placed.values())
        return host + max(0, rest), dict(self._placed)


def _on_host(place: str) -> bool:
    return place == "Host" or place.startswith("CPU") or place.endswith("_Host")


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
