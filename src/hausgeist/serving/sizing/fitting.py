"""The engine's own word on what a model takes: of files that are here, and of models that are only known, which become a file with no weights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hausgeist.engines import Engine, factory
from hausgeist.model import Footprint, InstalledModel, LaunchPlan, ModelOptions, Shape
from hausgeist.planner.memory import Header, Start
from hausgeist.serving.sizing.subjects import Subject
from hausgeist.settings import Settings

__all__ = ["fit_pass", "fit_with"]


def fit_pass(settings: Settings) -> Callable[[Subject, Start], Awaitable[Footprint]]:
    """With an engine of its own, which is closed behind. Raises `LoadFailed`, `NotFound` where no engine is there."""

    async def ask(subject: Subject, start: Start) -> Footprint:
        from hausgeist.engines.llamacpp.providers import provider

        engine: Engine = factory("llamacpp")(home=settings.home, provider=provider(settings))
        try:
            return await fit_with(engine, subject, start)
        finally:
            await engine.close()

    return ask


async def fit_with(engine: Engine, subject: Subject, start: Start) -> Footprint:
    """Started as the model's own options have it; without any, layers go onto this machine's cards as the engine decides. Raises `LoadFailed`."""
    options = subject.installed.options if subject.installed is not None else ModelOptions()
    with TemporaryDirectory(prefix="hausgeist-fit-") as folder:
        path = subject.path if subject.path is not None and not subject.cut else await asyncio.to_thread(_sparse, subject.header, Path(folder))
        plan = LaunchPlan(
            model=_model(subject, path),
            task=start.task,
            context=start.context,
            slots=start.slots,
            cache_type=start.cache_type,
            flash_attention=options.flash_attention,
            threads=options.threads,
            gpu_layers=options.gpu_layers,
            tensor_split=options.tensor_split,
            projector=options.projector,
            adapters=options.adapters,
            draft=options.draft,
            speculation=options.speculation,
            pooling=start.pooling if start.task != "generate" else None,
        )
        said = await engine.fit(plan)
    if subject.installed is not None or not subject.projector_bytes:
        return said
    # The encoder's file is not here; what is known of it is added.
    parts = {**said.parts, "projector": subject.projector_bytes}
    return replace(said, host=said.host + subject.projector_bytes, parts=parts)


def _model(subject: Subject, path: Path) -> InstalledModel:
    if subject.installed is not None:
        return subject.installed
    return InstalledModel(
        id=subject.name,
        engine="llamacpp",
        path=path,
        digest="",
        modified=0.0,
        shape=Shape(architecture=subject.header.architecture, pooling=subject.pooling, context_length=subject.trained),
        tasks=(subject.task,),
    )


def _sparse(header: Header, folder: Path) -> Path:
    from hausgeist.engines.specimen.sparse import write_sparse

    return write_sparse(folder / "model.gguf", _told(header.metadata), [(one.name, one.dimensions, one.type) for one in header.tensors.values()])


def _told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Without the vocabulary, which is written anew."""
    return {key: value for key, value in metadata.items() if not key.startswith(("tokenizer.", "split."))}
