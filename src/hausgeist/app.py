"""The composition root: builds every part from the settings and wires it to the others. The only place that knows every package."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from hausgeist import web
from hausgeist.conversations import erasure as kept
from hausgeist.conversations.batches import Batches
from hausgeist.conversations.completions import Completions
from hausgeist.conversations.mcp import McpTools
from hausgeist.conversations.responses import Responses
from hausgeist.conversations.responses.runner import Runner
from hausgeist.conversations.responses.sealing import Seal
from hausgeist.conversations.retention import Retention
from hausgeist.conversations.service import SCRUB_JOB, Conversations
from hausgeist.engines import ENGINES, Engine, factory
from hausgeist.errors import Conflict, HausgeistError, NotFound
from hausgeist.files import Files, Uploads
from hausgeist.files.folder import Folder
from hausgeist.gateway import anthropic, ollama, openai
from hausgeist.gateway.anthropic.errors import ANTHROPIC
from hausgeist.gateway.ollama.errors import OLLAMA
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.inward import Inward
from hausgeist.gateway.openai.responses import complete
from hausgeist.gateway.openai.schemas import check_schema
from hausgeist.gateway.services import Services
from hausgeist.governance import copies
from hausgeist.governance.consumption import Consumption
from hausgeist.governance.egress import Egress
from hausgeist.governance.erasure import Erased, Erasure, Subject
from hausgeist.governance.service import Governor
from hausgeist.governance.usage import UsageLog
from hausgeist.hardware import cpu, devices, probe
from hausgeist.http.application import application
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.tongues import Tongues
from hausgeist.knowledge.assembly import Knowledge
from hausgeist.library import guide
from hausgeist.library.download import Downloads
from hausgeist.library.push import Pusher, Registries
from hausgeist.library.service import Library
from hausgeist.library.sources.adoption import discover
from hausgeist.library.sources.base import Variant
from hausgeist.library.sources.precisions import Chooser, Chosen, Look
from hausgeist.library.sources.table import Sources, registry_options
from hausgeist.library.upkeep.parts import Upkeep, upkeep
from hausgeist.model import Footprint, InstalledModel, LaunchPlan
from hausgeist.serving import caches
from hausgeist.serving.door import Door
from hausgeist.serving.loads import Loads
from hausgeist.serving.machine import Machine
from hausgeist.serving.memory import Ledger
from hausgeist.serving.metering import Meter
from hausgeist.serving.pool import Pool
from hausgeist.settings import Settings
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs, Task
from hausgeist.telemetry import Metrics
from hausgeist.webhooks.delivery import AT_ONCE, PAUSE, Courier
from hausgeist.webhooks.service import Webhooks
from hausgeist.workspace.service import Workspace

if TYPE_CHECKING:
    from hausgeist.engines.llamacpp.providers import Provider
    from hausgeist.serving.sizing import Sizing

__all__ = ["App", "build"]

log = logging.getLogger(__name__)


class EngineTable:
    """One instance of each engine, made when it is first asked for."""

    def __init__(self, settings: Settings, egress: Egress) -> None:
        self._settings = settings
        self._egress = egress
        self._made: dict[str, Engine] = {}

    def __call__(self, name: str) -> Engine:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Engine:
        make = factory(name)
        match name:
            case "llamacpp":
                from hausgeist.engines.llamacpp.providers import provider

                return make(home=self._settings.home, provider=provider(self._settings))
            case "remote":
                return make(upstreams=self._settings.upstreams, outbound=self._egress)
            case _:
                return make(home=self._settings.home)

    def llamacpp(self) -> Provider:
        """The llama.cpp in use, or that would be. Raises `NotFound` where it is not there."""
        from hausgeist.engines.llamacpp.adapter import LlamaCpp
        from hausgeist.engines.llamacpp.providers import provider

        made = self._made.get("llamacpp")
        return made.provider if isinstance(made, LlamaCpp) else provider(self._settings)

    def version(self, name: str) -> str:
        """Which build of an engine is in use. Raises `NotFound`."""
        return self.llamacpp().fingerprint if name == "llamacpp" else name

    async def models(self) -> list[InstalledModel]:
        """What the engines that are switched on bring themselves."""
        names = [name for name, on in (("fake", self._settings.fake), ("remote", bool(self._settings.upstreams))) if on and name in ENGINES]
        found = await asyncio.gather(*(self(name).models() for name in names))
        return [model for models in found for model in models]

    def find(self, name: str) -> InstalledModel | None:
        """A model that is in no list: the fake engine makes some from their names."""
        if not self._settings.fake:
            return None
        from hausgeist.engines.fake import Fake

        fake = self("fake")
        return fake.model(name) if isinstance(fake, Fake) else None

    async def close(self) -> None:
        await asyncio.gather(*(engine.close() for engine in self._made.values()))


@dataclass(eq=False)
class App:
    """A server without its sockets. `start` before the first request, `stop` after the last."""

    settings: Settings
    database: Database
    blobs: Blobs
    workspace: Workspace
    governor: Governor
    erasure: Erasure
    retention: Retention
    usage: UsageLog
    egress: Egress
    library: Library
    jobs: Jobs
    deliveries: Jobs
    """A queue of its own: what is told to others waits for no download, and no download for addresses that do not answer."""
    webhooks: Webhooks
    upkeep: Upkeep
    pusher: Pusher
    engines: EngineTable
    metrics: Metrics
    meter: Meter
    loads: Loads
    pool: Pool
    machine: Machine
    door: Door
    files: Files
    uploads: Uploads
    batches: Batches
    conversations: Conversations
    responses: Responses
    knowledge: Knowledge
    ready: bool = False
    owner_token: str = ""
    """A secret of this start that makes its bearer the local owner (`http.rules`); set it before `asgi` is first read."""
    _refreshing: asyncio.Task[None] | None = None

    @cached_property
    def services(self) -> Services:
        """What the model APIs are handed."""
        return Services(
            settings=self.settings,
            door=self.door,
            library=self.library,
            installer=self.upkeep.installer,
            pusher=self.pusher,
            blobs=self.blobs,
            governor=self.governor,
            egress=self.egress,
            completions=Completions(self.database),
            webhooks=self.webhooks,
            files=self.files,
            uploads=self.uploads,
            batches=self.batches,
            conversations=self.conversations,
            responses=self.responses,
            stores=self.knowledge.stores,
            search=self.knowledge.search,
            documents=self.knowledge.documents,
            attached=self.knowledge.attached,
        )

    @cached_property
    def inward(self) -> Inward:
        """Answers requests that no client waits for."""
        return Inward(openai.endpoints(self.services))

    @cached_property
    def asgi(self) -> ASGIApp:
        """Everything over HTTP: what asks passes the gate, the router finds what is meant, the tongue answers."""
        tongues = Tongues(openai=OPENAI, anthropic=ANTHROPIC, ollama=OLLAMA)
        shared = self.services
        parts = web.Parts(
            settings=self.settings,
            database=self.database,
            workspace=self.workspace,
            governor=self.governor,
            consumption=Consumption(self.database),
            machine=self.machine,
            erasure=self.erasure,
            retention=self.retention,
            metrics=self.metrics,
            upkeep=self.upkeep,
            pusher=self.pusher,
            responses=self.responses,
            files=self.files,
            documents=self.knowledge.documents,
            parsers=lambda: self.knowledge.parsers,
            stores=self.knowledge.stores,
            search=self.knowledge.search,
            sizing=lambda: self.sizing,
            ready=lambda: self.ready,
            every=lambda: endpoints,
        )
        endpoints: list[Endpoint] = [*web.endpoints(parts), *openai.endpoints(shared), *anthropic.endpoints(shared), *ollama.endpoints(shared)]
        return application(
            endpoints,
            settings=self.settings,
            workspace=self.workspace,
            governor=self.governor,
            metrics=self.metrics,
            tongues=tongues,
            owner_token=self.owner_token,
        )

    @cached_property
    def sizing(self) -> Sizing:
        """Answers what fits, how fast it is, what it costs. Nobody's files are read for those who ask over HTTP."""
        from hausgeist.serving.sizing import local
        from hausgeist.serving.sizing.fitting import fit_with
        from hausgeist.serving.sizing.sizing import Sizing
        from hausgeist.serving.sizing.subjects import Subjects

        return Sizing(
            subjects=Subjects(self.library.get, lambda: [model.id for model in self.library.models()], files=False),
            devices=local.load_devices,
            machine=lambda: local.look_around(self.settings, measuring=False),
            carded=lambda: local.look_around(self.settings, measuring=False, carded=True),
            prices=lambda: local.prices_of(self.settings.home),
            accuracy=self.loads.accuracy,
            fit=lambda subject, start: fit_with(self.engines("llamacpp"), subject, start),
            calibration=lambda: local.calibration(self.settings),
            about=lambda: local.about(self.settings),
        )

    async def start(self, files: Sequence[Path] = (), *, working: bool = True) -> None:
        """Take over the home: collect what a crash left behind, offer `files`, begin to watch, go on with what was not finished.

        `working`: not for the length of one command, which shall not begin to download what a server left unfinished.
        Raises `HausgeistError` for a file that is no model."""
        await self.library.start(collecting=not self.upkeep.installer.waiting)
        self.library.bring(await self.engines.models(), find=self.engines.find)
        for file in files:
            await self.library.offer(file)
        if self.settings.guide:
            await self._offer_guide()
        self.pool.start()
        if self.settings.upstreams:
            self._refreshing = asyncio.create_task(self._refresh())
        if working:
            self.machine.start()
            self.files.start()
            shutil.rmtree(web.incoming(self.settings.home), ignore_errors=True)
            self.retention.start()
            await self.jobs.start()
            await self.deliveries.start()
            await self.batches.start()
            await self.knowledge.start()
            await self.responses.start()
        self.ready = True

    async def _offer_guide(self) -> None:
        try:
            await self.library.offer(guide.FILE, name=guide.NAME, notice=guide.NOTICE, parameters=guide.PARAMETERS)
        except Conflict:
            log.info("the built-in guide is not offered: there is another model of this name")

    def closing(self) -> None:
        """The end begins: who asks for the state is told, and transfers are put off to the next start."""
        self.ready = False
        self.upkeep.installer.closing()
        self.pusher.closing()
        self.responses.closing()

    async def stop(self, *, drain: float | None = None) -> None:
        """Let running answers finish for `drain` seconds (default: the setting), then end everything. Nothing acknowledged is lost."""
        self.closing()
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self.machine.stop()
        await self.retention.stop()
        await self.batches.stop()
        await self.knowledge.stop()
        await self.jobs.stop()
        patience = self.settings.drain if drain is None else drain
        await self.responses.stop(patience)
        await self.deliveries.stop()
        await self.files.stop()
        await self.pool.drain(patience)
        await self.pool.close()
        await self.engines.close()
        await self.meter.flush()
        await self.governor.flush()
        await self.usage.flush()
        await self.egress.close()
        self.database.close()

    async def _refresh(self) -> None:
        """Upstreams come and go and change their models; the list follows."""
        while True:
            await asyncio.sleep(60)
            try:
                self.library.bring(await self.engines.models())
            except HausgeistError as error:
                log.warning("the list of remote models could not be renewed: %s", error)


def _estimate(engines: EngineTable, plan: LaunchPlan) -> Footprint:
    """What a llama.cpp worker takes, by arithmetic; where no llama.cpp is there, one on processors."""
    from hausgeist.engines.llamacpp.providers import Provider
    from hausgeist.serving.arithmetic import llamacpp_footprint

    try:
        provider = engines.llamacpp()
    except NotFound:
        provider = Provider("wheel", None, "", ("cpu",))
    usable = [one for one in devices() if not one.barred and set(one.runs) & set(provider.backends)] if provider.accelerated else []
    return llamacpp_footprint(plan, provider=provider, cpu=cpu(), devices=usable)


def _choosing(settings: Settings) -> Chooser:
    """The planner's choice among precisions; the planner is imported when there is one to make."""

    async def choose(variants: Sequence[Variant], look: Look) -> Chosen:
        from hausgeist.serving.sizing import local
        from hausgeist.serving.sizing.choosing import choosing

        here = choosing(lambda: local.look_around(settings, measuring=False), lambda: local.calibration(settings))
        return await here(variants, look)

    return choose


def _erasure(governor: Governor, database: Database, pool: Pool, jobs: Jobs, batches: Batches, files: Files, knowledge: Knowledge) -> Erasure:
    """All who keep something of what people say, in the order in which it goes."""

    async def of_batches(subject: Subject) -> Erased:
        return Erased({"batches": await batches.erase(project=subject.project, user=subject.user)})

    async def of_files(subject: Subject) -> Erased:
        return Erased({"files": await files.erase(project=subject.project, user=subject.user)})

    async def of_those_who_left(task: Task) -> Mapping[str, Any] | None:
        """Their rows went with them; what a batch of theirs had by then as results goes here, and what was made of their files."""
        await batches.settle()
        await knowledge.upkeep.settle()
        return await caches.handler(pool)(task)

    erasure = Erasure(governor)
    erasure.register("batches", of_batches)
    erasure.register("files", of_files)
    erasure.register("documents", knowledge.erase)
    erasure.register("conversations", kept.eraser(database))
    erasure.register("caches", caches.eraser(pool))
    erasure.register("backups", copies.eraser(database.path.parent))
    jobs.register(caches.JOB, of_those_who_left)
    jobs.register(SCRUB_JOB, kept.scrubber(database))
    return erasure


async def _expired(governor: Governor, project: str, gone: Mapping[str, int]) -> None:
    await governor.record(None, "retention.apply", target=project, origin=None, outcome="done", detail=json.dumps(gone))


def build(settings: Settings) -> App:
    """All parts, wired. Opens the home (made, migrated); starts no task and no worker. Raises `StoreError`."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database.open(settings.home)
    blobs = Blobs(settings.home)
    workspace = Workspace(database, leaving=[kept.leave])
    governor = Governor(database)
    usage = UsageLog(database)
    egress = Egress(settings, governor)
    library = Library(database, blobs, settings.models)
    jobs = Jobs(database)
    found = partial(discover, os.environ, Path(os.path.expanduser("~")), ollama_models=settings.ollama_models, hf_home=settings.hf_home)
    source, downloads = Sources(settings, egress, choose=_choosing(settings)), Downloads(blobs, egress)
    verbs = upkeep(database=database, library=library, blobs=blobs, jobs=jobs, source=source, downloads=downloads, discover=found)
    verbs.installer.register()
    registries = Registries(egress, **registry_options(settings))
    pusher = Pusher(library=library, blobs=blobs, registries=registries, jobs=jobs, record=governor.record)
    pusher.register()
    deliveries, courier = Jobs(database, at_once=AT_ONCE, pause=PAUSE), Courier(database, egress, governor, own_port=settings.port)
    courier.register(deliveries)
    engines = EngineTable(settings, egress)
    metrics = Metrics()
    meter = Meter(usage=usage, metrics=metrics)
    loads = Loads(database, metrics=metrics, arithmetic={"llamacpp": partial(_estimate, engines)}, version=engines.version)
    pool = Pool(settings=settings, engines=engines, ledger=Ledger(settings, probe.memory), metrics=metrics, loads=loads)
    door = Door(settings=settings, library=library, pool=pool, governor=governor, meter=meter, answered=verbs.versions.answered)
    files = Files(database, Folder(settings.home, space=blobs.space), quota=settings.project_files, limit=settings.file_limit)
    knowledge = Knowledge(settings, database, files, door)
    webhooks = Webhooks(database, deliveries, courier)
    batches = Batches(
        database, files, settings.home, perform=lambda: app.inward, still=workspace.still, at_once=settings.batch_requests,
        longest=settings.body_limit, notify=webhooks.notify,
    )  # fmt: skip
    seal = Seal(database)
    mcp = McpTools(settings.mcp, egress=egress, governor=governor, check_schema=partial(check_schema, param="tools", strict=False))
    tools = (mcp, knowledge.file_search)
    runner = Runner(door=door, complete=complete, seal=seal, tools=tools, most_turns=settings.response_turns, most_tokens=settings.response_tokens)
    responses = Responses(
        database, runner, seal, still=workspace.still, seconds=settings.response_seconds, background=settings.background, notify=webhooks.notify
    )
    app = App(
        settings=settings,
        database=database,
        blobs=blobs,
        workspace=workspace,
        governor=governor,
        erasure=_erasure(governor, database, pool, jobs, batches, files, knowledge),
        retention=Retention(database, record=partial(_expired, governor)),
        usage=usage,
        egress=egress,
        library=library,
        jobs=jobs,
        deliveries=deliveries,
        webhooks=webhooks,
        upkeep=verbs,
        pusher=pusher,
        engines=engines,
        metrics=metrics,
        meter=meter,
        loads=loads,
        pool=pool,
        machine=Machine(home=settings.home, pool=pool),
        door=door,
        files=files,
        uploads=Uploads(database, files),
        batches=batches,
        conversations=Conversations(database),
        responses=responses,
        knowledge=knowledge,
    )
    return app
