"""Sizing for the length of one command, with no server: the same parts, opened when they are first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hausgeist.errors import InvalidRequest, ModelNotFound, NotFound
from hausgeist.model import InstalledModel
from hausgeist.planner.accuracy import Accuracy, accuracy
from hausgeist.planner.costs.prices import Prices, decode, packaged
from hausgeist.planner.costs.purchase import check_device_prices
from hausgeist.planner.devices.known import load as load_devices
from hausgeist.planner.fitting import HOST_RESERVE, SYSTEM_RESERVE
from hausgeist.planner.target import Target
from hausgeist.serving.sizing.distant import asking
from hausgeist.serving.sizing.fitting import fit_pass
from hausgeist.serving.sizing.machine import this_machine
from hausgeist.serving.sizing.sizing import Sizing
from hausgeist.serving.sizing.subjects import Subjects
from hausgeist.settings import Settings

if TYPE_CHECKING:
    from hausgeist.engines.llamacpp.providers import Provider
    from hausgeist.library.service import Library
    from hausgeist.planner.speed import Calibration
    from hausgeist.serving.sizing.calibrating import Calibrated, Conditions
    from hausgeist.store.database import Database

__all__ = ["about", "calibrate", "calibration", "conditions", "load_devices", "look_around", "opened", "prices_of"]


@contextmanager
def opened(settings: Settings, *, patience: Callable[[], None] = lambda: None) -> Iterator[Sizing]:
    """`patience` is called before this machine is measured for the first time.

    The database of the home is opened for names, and only where there is one; it is written to where a server elsewhere is asked.
    """
    shelf = _Shelf(settings)
    try:
        yield Sizing(
            subjects=Subjects(shelf.get, shelf.names),
            devices=load_devices,
            machine=cache(lambda: look_around(settings, measuring=True, patience=patience)),
            carded=cache(lambda: look_around(settings, measuring=False, carded=True)),
            prices=cache(lambda: prices_of(settings.home)),
            accuracy=shelf.accuracy,
            fit=fit_pass(settings),
            distant=asking(settings, shelf.database),
            calibration=cache(lambda: calibration(settings)),
            about=lambda: about(settings),
        )
    finally:
        shelf.close()


def prices_of(home: Path) -> Prices:
    """Those that come with the program under the user's own, from prices.toml. Raises `InvalidRequest` naming what is wrong with these."""
    file = home / "prices.toml"
    try:
        own = file.read_text("utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        own = ""
    except NotADirectoryError as error:
        raise InvalidRequest(f"{home} is not a folder; name one with --home or HAUSGEIST_HOME.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} is not text in UTF-8, at byte {error.start}; save it as that.") from error
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror or error}. Move it away to plan with the usual prices.") from error
    prices = decode(packaged(), own)
    if own:
        check_device_prices(prices, load_devices())
    return prices


def look_around(settings: Settings, *, measuring: bool, carded: bool = False, patience: Callable[[], None] = lambda: None) -> Target:
    """This machine. `measuring`: its speed is measured where nobody did so before, three seconds with all cores; otherwise it is estimated then.
    `carded`: its cards count even if the llama.cpp that is here cannot use them."""
    from hausgeist import hardware
    from hausgeist.hardware.measure import measured, remembered

    provider, known = _provider(settings), remembered(settings.home)
    if measuring and (known is None or known.disturbed):
        if known is None:
            patience()
        known = measured(settings.home) or known
    there = this_machine(
        load_devices(),
        memory=hardware.memory(),
        cpu=hardware.cpu(),
        cards=hardware.devices(),
        measured=known,
        wheel=provider is None or provider.name == "wheel",
        accelerated=carded or (provider is not None and provider.accelerated),
    )
    return _allowed(there, settings)


def _allowed(there: Target, settings: Settings) -> Target:
    """With as much main memory as the settings leave to models, and what the planner leaves alone besides."""
    reserve = int((HOST_RESERVE if there.host.measured else SYSTEM_RESERVE).value) << 20
    most = there.host.memory_bytes - settings.memory_reserve
    if settings.memory is not None:
        most = min(most, settings.memory)
    return replace(there, host=replace(there.host, memory_bytes=max(1, most) + reserve))


def calibration(settings: Settings) -> Calibration | None:
    """What a run of a small model on this machine told of its speed, if there was one (`calibrate`)."""
    from hausgeist.serving.sizing.calibrating import remembered

    provider = _provider(settings)
    if provider is None:
        return None
    found = remembered(settings.home, conditions(provider, look_around(settings, measuring=False)))
    return found.calibration if found is not None else None


async def calibrate(settings: Settings) -> Calibrated:
    """Runs a small model and remembers how fast it was, unless the result is void. Takes some 45 seconds with all cores, and 3 GB of memory.

    Raises `NotFound` where no engine is there, `NotEnoughMemory`, `LoadFailed`, `EngineFailed`.
    """
    from hausgeist.engines.llamacpp.providers import provider
    from hausgeist.planner.speed import device_rates, host_rates
    from hausgeist.serving.sizing.calibrating import measured

    engine = provider(settings)
    there = await asyncio.to_thread(look_around, settings, measuring=True)
    group = there.group
    expected = host_rates(there.host) if group is None else device_rates(group.device)
    return await measured(settings.home, engine, expected, conditions(engine, there), cards=0 if group is None else group.count)


def about(settings: Settings) -> tuple[str, ...]:
    """Why this machine may do better than it was planned with."""
    from hausgeist import hardware
    from hausgeist.hardware.measure import remembered

    told = []
    if (known := remembered(settings.home)) is not None and known.disturbed:
        told.append(f"others took {known.busy:.0%} of this machine while it was measured; at rest it does more: ask again in ten minutes")
    provider = _provider(settings)
    cards = [one for one in hardware.devices() if not one.barred]
    if provider is not None and cards and not provider.accelerated:
        flag = {"cuda": " --cuda", "vulkan": " --vulkan"}.get(cards[0].kind, "")
        told.append(f"planned without {cards[0].name}, for the engine in use computes on the processor only: 'hausgeist engine build{flag}'")
    return tuple(told)


def _provider(settings: Settings) -> Provider | None:
    from hausgeist.engines.llamacpp.providers import provider

    try:
        return provider(settings)
    except NotFound:
        return None


def conditions(provider: Provider, there: Target) -> Conditions:
    """Under which a calibration holds: this machine, the cards that are planned with, the engine's build."""
    from hausgeist.hardware.measure import machine
    from hausgeist.serving.sizing.calibrating import Conditions

    device = there.group.title if there.group is not None else ""
    return Conditions(machine=machine(), engine=f"{provider.fingerprint} {' '.join(provider.backends)}", device=device)


class _Shelf:
    """What is installed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database: Database | None = None
        self._library: Library | None = None

    def get(self, name: str) -> InstalledModel:
        if (library := self._open()) is None:
            raise ModelNotFound(name)
        return library.get(name)

    def names(self) -> Iterable[str]:
        library = self._open()
        return [model.id for model in library.models()] if library is not None else []

    def accuracy(self) -> Accuracy:
        from hausgeist.serving import records

        self._open()
        return accuracy(self._database.read(records.recent)) if self._database is not None else accuracy(())

    def database(self) -> Database:
        """Made where there is none: whom one asks is written down."""
        from hausgeist.store.database import Database

        if self._database is None:
            self._database = Database.open(self._settings.home)
        return self._database

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _open(self) -> Library | None:
        from hausgeist.library.service import Library
        from hausgeist.store.blobs import Blobs
        from hausgeist.store.database import FILE_NAME

        if self._library is None and (self._settings.home / FILE_NAME).is_file():
            self._library = Library(self.database(), Blobs(self._settings.home), self._settings.models)
        return self._library
