"""The rows of `loads`: each start of a worker with what was said of its memory before, and what was measured. All SQL about them.

A row is written anew as more is measured. Their number is bounded: the last `_ALIKE` of a plan, and `_MOST` in all.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Literal, get_args

from sqlalchemy import Column, Connection, Float, Index, Integer, MetaData, Table, Text, delete, func, insert, select

from hausgeist.model import Footprint
from hausgeist.planner.accuracy import Load

__all__ = ["measured", "metadata", "put", "recent"]

log = logging.getLogger(__name__)

_ALIKE = 10
"""Kept of loads by one plan: a model that is loaded every few seconds must not push all others out."""
_MOST = 500

Source = Literal["estimate", "fit", "measured", "none"]

metadata = MetaData()
_loads = Table(
    "loads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("plan", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("context", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("cache_type", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("arithmetic", Text),
    Column("fit", Text),
    Column("loaded", Text),
    Column("peak", Text),
    Column("filled", Integer, nullable=False),
    Index("loads_plan", "plan", "at"),
    Index("loads_at", "at"),
)
_FOOTPRINTS = ("arithmetic", "fit", "loaded", "peak")
_COLUMNS = ("at", "model", "digest", "architecture", "task", "context", "slots", "cache_type", "engine", "filled")


def put(connection: Connection, load_id: str, plan: str, load: Load) -> None:
    """Write a load in place of what was known of it, and forget the oldest. `plan`: what stands for its launch plan and engine."""
    connection.execute(delete(_loads).where(_loads.c.id == load_id))
    values: dict[str, Any] = {name: getattr(load, name) for name in _COLUMNS}
    values |= {name: _text(getattr(load, name)) for name in _FOOTPRINTS}
    connection.execute(insert(_loads).values(id=load_id, plan=plan, **values))
    newest = select(_loads.c.id).where(_loads.c.plan == plan).order_by(_loads.c.at.desc(), _loads.c.id).limit(_ALIKE)
    connection.execute(delete(_loads).where(_loads.c.plan == plan, _loads.c.id.not_in(newest)))
    if (connection.execute(select(func.count()).select_from(_loads)).scalar() or 0) > _MOST:
        kept = select(_loads.c.id).order_by(_loads.c.at.desc(), _loads.c.id).limit(_MOST)
        connection.execute(delete(_loads).where(_loads.c.id.not_in(kept)))


def recent(connection: Connection) -> list[Load]:
    """All that is kept, the last one first; a row that cannot be read is left out."""
    return [load for row in connection.execute(select(_loads).order_by(_loads.c.at.desc(), _loads.c.id)) if (load := _load(row)) is not None]


def measured(connection: Connection, plan: str) -> list[Footprint]:
    """What workers by this plan took at most, each one."""
    rows = connection.execute(select(_loads).where(_loads.c.plan == plan, _loads.c.peak.is_not(None)).limit(_ALIKE))
    return [load.peak for row in rows if (load := _load(row)) is not None and load.peak is not None]


def _load(row: Any) -> Load | None:
    try:
        values: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
        return Load(**values | {name: _footprint(getattr(row, name)) for name in _FOOTPRINTS})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("the load %s of %s cannot be read and is left out: %s", row.id, row.model, error)
        return None


def _text(footprint: Footprint | None) -> str | None:
    if footprint is None:
        return None
    told = {"host": footprint.host, "devices": dict(footprint.devices), "parts": dict(footprint.parts), "source": footprint.source}
    told["alone"] = footprint.alone
    return json.dumps(told, separators=(",", ":"))


def _footprint(text: str | None) -> Footprint | None:
    if text is None:
        return None
    told = json.loads(text)
    sources: tuple[Source, ...] = get_args(Source)
    source: Source = next((one for one in sources if one == told["source"]), "none")
    host, alone = int(told["host"]), int(told.get("alone", 0))
    return Footprint(host=host, devices=_sizes(told["devices"]), parts=_sizes(told["parts"]), source=source, alone=alone)


def _sizes(told: Any) -> dict[str, int]:
    return {str(name): int(size) for name, size in told.items()}
