"""Translated templates in the engine that renders them in the end: it says what Jinja's reference implementation says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen import write_specimen
from hausgeist.library.templates import translate
from hausgeist.model import InstalledModel, LaunchPlan
from tests import templates
from tests.templates import CALLED, TOOLS, Messages, said

LONG = said("Hi", "Hello", "How's {{ it }} \\n going?", system='Be "kind".')


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[LlamaCpp]:
    engine = LlamaCpp(home=tmp_path / "home", provider=Provider("wheel", None, "", ("cpu",)))
    yield engine
    await engine.close()


@pytest.mark.parametrize(
    ("name", "conversations", "tools"),
    [
        ("CHATML", (said("Hi"), LONG), None),
        ("CHATML_MESSAGES", (said("Hi"), LONG, [*said("a"), *said("b", system="s")]), None),
        ("LLAMA2", (LONG, [*said("a", "b"), *said("c", system="s")]), None),
        ("GEMMA3", (LONG,), None),
        ("QWEN", (LONG, CALLED), TOOLS),
    ],
)
async def test_the_engine_renders_it_alike(
    engine: LlamaCpp, tmp_path: Path, name: str, conversations: tuple[Messages, ...], tools: list[dict[str, Any]] | None
) -> None:
    jinja = translate(getattr(templates, name))
    environment = ImmutableSandboxedEnvironment()
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    path = write_specimen(tmp_path / "tiny.gguf")
    model = InstalledModel(id="test/tiny", engine="llamacpp", path=path, digest="", modified=0, tasks=("generate",), template=jinja)
    worker = await engine.load(LaunchPlan(model=model, task="generate", context=1024, slots=1))
    for messages in conversations:
        asked: dict[str, Any] = {"messages": messages, **({"tools": tools} if tools else {})}
        reply = await worker.call("apply_template", json.dumps(asked).encode())
        answer = json.loads(await reply.read())
        assert reply.status == 200, answer
        expected = environment.from_string(jinja).render(messages=messages, tools=tools, add_generation_prompt=True)
        assert answer["prompt"] == expected
    await worker.close()
