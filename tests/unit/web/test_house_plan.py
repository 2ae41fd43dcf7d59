"""GET /house/v1/plan: the same JSON as the command's, for whoever may see models; files of this machine are nobody's business."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from hausgeist.conversations.responses import Responses
from hausgeist.conversations.retention import Retention
from hausgeist.errors import ModelNotFound
from hausgeist.files import Files
from hausgeist.governance import Consumption, Governor
from hausgeist.governance.erasure import Erasure
from hausgeist.hardware import Cpu, Memory
from hausgeist.http.application import application
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.http.tongues import Tongues
from hausgeist.knowledge.parse.process import Parsers
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.service import Stores
from hausgeist.library.push import Pusher
from hausgeist.library.upkeep.parts import Upkeep
from hausgeist.model import Footprint, InstalledModel
from hausgeist.planner.accuracy import Load, accuracy
from hausgeist.planner.devices.known import load
from hausgeist.planner.memory import Start
from hausgeist.serving.machine import Machine
from hausgeist.serving.sizing import Answer, Question, Sizing
from hausgeist.serving.sizing.local import prices_of
from hausgeist.serving.sizing.machine import this_machine
from hausgeist.serving.sizing.subjects import Subject, Subjects
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.telemetry import Metrics
from hausgeist.web import Parts, endpoints
from hausgeist.workspace.service import Workspace

GIB = 2**30


def nothing(name: str) -> InstalledModel:
    raise ModelNotFound(name)


async def fit(subject: Subject, start: Start) -> Footprint:
    return Footprint(host=GIB, parts={"weights": GIB // 2}, source="fit")


LOAD = Load(
    model="m", digest="", architecture="llama", task="generate", context=8, slots=1, cache_type="f16", engine="e", at=1.0,
    arithmetic=Footprint(host=3 * GIB), peak=Footprint(host=2 * GIB), filled=8,
)  # fmt: skip
CPU = Cpu("AMD Ryzen 9 9950X", 16, 32, ("avx2", "avx512f"))
SIZING = Sizing(
    subjects=Subjects(nothing, lambda: (), files=False),
    devices=load,
    machine=lambda: this_machine(load(), memory=Memory(32 * GIB, 32 * GIB), cpu=CPU, cards=(), measured=None, wheel=True),
    prices=lambda: prices_of(Path("/nonexistent")),
    accuracy=lambda: accuracy([LOAD]),
    fit=fit,
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Workspace]]:
    database = Database.open(tmp_path)
    workspace, governor = Workspace(database), Governor(database)
    settings, routes = Settings(home=tmp_path, keys_required=True), cast("list[Endpoint]", [])
    parts = Parts(
        settings=settings, database=database, workspace=workspace, governor=governor, erasure=Erasure(governor), retention=Retention(database),
        consumption=Consumption(database), machine=cast("Machine", None), metrics=Metrics(), upkeep=cast("Upkeep", None), pusher=cast("Pusher", None),
        responses=cast("Responses", None), files=cast("Files", None), documents=cast("Documents", None),
        parsers=lambda: cast("Parsers", None), stores=cast("Stores", None), search=cast("Search", None), sizing=lambda: SIZING, ready=lambda: True,
        every=lambda: routes,
    )  # fmt: skip
    routes += endpoints(parts)
    tongues = Tongues(openai=HOUSE, anthropic=HOUSE, ollama=HOUSE)
    app = application(routes, settings=settings, workspace=workspace, governor=governor, metrics=parts.metrics, tongues=tongues)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=("127.0.0.1", 1)), base_url="http://localhost") as client:
        yield client, workspace
    await governor.flush()
    database.close()


async def ask(house: tuple[httpx.AsyncClient, Workspace], query: str, role: Any = "reader") -> httpx.Response:
    client, workspace = house
    _, key = await workspace.create_key(project="default", name=f"{role} {id(query)}", role=role)
    return await client.get(f"/house/v1/plan?{query}", headers={"authorization": f"Bearer {key}"})


async def test_the_same_json_as_the_command(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    answer = await ask(house, "model=gemma3:4b&context=4096&users=2")
    assert answer.status_code == 200
    told = await asyncio.to_thread(asyncio.run, SIZING.answer(Question(models=("gemma3:4b",), context=4096, users=2)))
    assert answer.json() == told.json()
    assert answer.json()["context"] == 4096
    assert answer.json()["accuracy"]["arithmetic"]["loads"] == 1


async def test_several_models(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    answer = await ask(house, "model=gemma3:4b&model=qwen3:8b,gemma3:1b")
    assert [one["model"] for one in answer.json()["plans"]] == ["gemma3:4b", "qwen3:8b", "gemma3:1b"]


async def test_what_is_wrong_is_said(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    answer = await ask(house, "model=gema3:4b")
    assert answer.status_code == 404
    assert "gemma3:4b" in answer.json()["error"]["message"]
    answer = await ask(house, "model=gemma3:4b&context=-1")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "context")
    answer = await ask(house, "model=gemma3:4b&contxt=8")
    assert (answer.status_code, answer.json()["error"]["message"].endswith("Did you mean context?")) == (400, True)


async def test_under_vllm(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    told = (await ask(house, "model=llama3.3:70b&engine=vllm&gpu=H100+SXM&gpus=4&users=20&precision=fp8")).json()
    parts = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes", "repack_bytes", "overhead_bytes")
    assert told["total_bytes"] == sum(told[part] for part in parts) == sum(told["device_bytes"])
    assert (told["engine"], told["precision"], told["fits"], told["repack_bytes"], told["method"]) == ("vllm", "FP8", True, 0, "arithmetic")
    assert (told["tensor_parallel"], told["pipeline_parallel"], told["slots"]) == (4, 1, 20)
    assert told["requests_at_once"] == told["most_users"] == told["kv_cache_tokens"] // 8192
    assert told["most_users_limit"] == "memory"
    assert [point["users"] for point in told["by_users"]][:3] == [1, 2, 4]
    assert told["first_token_seconds_together"] == pytest.approx(20 * told["first_token_seconds"], rel=1e-3)
    assert all(used <= kept for used, kept in zip(told["device_bytes"], told["reserved_bytes"], strict=True))


async def test_what_would_make_it_fit(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    told = (await ask(house, "model=llama3.3:70b&detail=yes")).json()
    assert not told["fits"]
    found = {one["kind"]: one for one in told["ways"]}
    assert {"precision", "model", "gpu"} <= found.keys()
    assert found["gpu"]["price_eur"] > 0
    assert found["gpu"]["condition"] in ("new", "used")
    for kind, good in (("precision", False), ("gpu", True)):
        changes = "&".join(f"{name}={value}" for name, value in found[kind]["asks"].items())
        after = (await ask(house, f"model=llama3.3:70b&{changes}")).json()
        assert after["placed"] == "wholly", kind
        assert after["good"] or not good, kind
    smaller = (await ask(house, f"model={found['model']['asks']['model']}")).json()
    assert smaller["good"]
    assert "ways" not in (await ask(house, "model=llama3.3:70b")).json()


async def test_ways_out_of_a_context_too_long(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    query = "model=qwen3:8b&gpu=RTX+4060&users=4&detail=yes"
    told = (await ask(house, f"{query}&context=8192")).json()
    assert told["placed"] != "wholly"
    found = {one["kind"]: one["asks"] for one in told["ways"]}
    slots = int(found["slots"]["slots"])
    assert (await ask(house, f"{query}&context=8192&slots={slots}")).json()["placed"] == "wholly"
    assert (await ask(house, f"{query}&context=8192&slots={slots + 1}")).json()["placed"] != "wholly"
    assert (await ask(house, "model=qwen3:8b&gpu=RTX+4090&detail=yes")).json()["ways"] == []


async def test_memory_grows_with_the_context(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    for query in ("model=gemma3:4b&context=5000", "model=llama3.3:70b&engine=vllm&gpu=H100+SXM&gpus=4"):
        told = (await ask(house, f"{query}&detail=yes")).json()
        points = told["memory_by_context"]
        assert [one["context"] for one in points] == sorted({one["context"] for one in points})
        assert all(one["kv_cache_bytes"] <= other["kv_cache_bytes"] for one, other in pairwise(points))
        asked = next(one for one in points if one["context"] == told["context"])
        assert (asked["total_bytes"], asked["kv_cache_bytes"]) == (told["total_bytes"], told["kv_cache_bytes"])
        assert points[-1]["context"] == told["trained_context"]


async def test_places_and_costs_add_up(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    told = (await ask(house, "model=qwen3:8b&gpu=RTX+3090&volume=300M")).json()
    assert sum(place["used"] for place in told["places"]) == told["total_bytes"]
    cost = told["cost"]
    months = cost["hardware_eur_per_month"] + cost["electricity_eur_per_month"] + cost["upkeep_eur_per_month"]
    assert months == pytest.approx(told["eur_per_month"], abs=0.02)
    assert cost["purchase_eur"] / cost["life_months"] == pytest.approx(cost["hardware_eur_per_month"], abs=0.01)
    no = next(one for one in told["compared"] if not one["pays"])
    assert {turn["what"] for turn in no["turns"]} <= {"volume", "machine price", "electricity", "idle power", "alternative"}
    assert told["thousand_answers"]["own"]["active_watt_hours"] <= told["thousand_answers"]["own"]["watt_hours"]


async def test_what_is_proposed_can_be_asked_about(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    told = (await ask(house, "for=chat&budget=1500")).json()
    for choice in told["choices"]:
        assert choice["kind"] in ("thrifty", "balanced", "roomy")
        after = (await ask(house, f"model={choice['model']}&gpu={choice['gpu']}&gpus={choice['gpus']}")).json()
        assert after["device"] == choice["device"]


async def test_what_can_be_named(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    client, workspace = house
    _, key = await workspace.create_key(project="default", name="known", role="reader")
    answer = await client.get("/house/v1/plan/known", headers={"authorization": f"Bearer {key}"})
    assert answer.headers["content-encoding"] == "gzip"
    told = answer.json()
    devices = load()
    for one in told["devices"]:
        found = devices.find(one["name"])
        assert (found.title, found.memory_gib) == (one["title"], one["memory_gib"])
    assert {one.name for one in devices} <= {devices.find(one["name"]).name for one in told["devices"]}
    assert {one["name"] for one in told["models"]} >= {"gemma3:4b", "llama3.3:70b"}
    assert next(one["price"] for one in told["devices"] if one["name"] == "RTX 4090")["eur"] > 500
    assert "DE" in {one["code"] for one in told["countries"]}
    assert told["exchange"]["USD"]["per_euro"] > 0
    for engine, query in (("llamacpp", ""), ("vllm", "&engine=vllm&gpu=H100+SXM")):
        for kv in told["engines"][engine]["kv"]:
            assert (await ask(house, f"model=gemma3:4b&kv={kv}{query}")).status_code == 200, kv
    assert (await client.get("/house/v1/plan/known")).status_code == 401


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("model=gemma3:4b&engine=vllm", "engine"),  # there is no card
        ("model=gemma3:4b&engine=tensorrt", "engine"),
        ("engine=vllm", "engine"),
        ("model=gemma3:4b&engine=vllm&gpu=RTX+4090&precision=Q4_K_M", "precision"),
        ("model=gemma3:4b&engine=vllm&gpu=RTX+4090&slots=5000", "slots"),
        ("model=gemma3:4b&engine=vllm&gpu=RTX+4090&kv=q8_0", "kv"),
        ("model=gemma3:4b&engine=vllm&method=fit", "method"),
        ("model=gemma3:4b&draft=gemma3:270m&method=fit", "draft"),
        ("model=gemma3:4b&draft=gemma3:27b", "draft"),
        ("model=gemma3:4b&draft=all-minilm:22m", "draft"),
        ("model=all-minilm:22m&draft=gemma3:270m", "draft"),
        ("model=gemma3:4b&prompt_cache=-1", "prompt_cache"),
        ("model=gemma3:4b&prompt_cache=1e9999", "prompt_cache"),
        ("model=gemma3:4b&prompt_cache=17TiB", "prompt_cache"),
        ("draft=gemma3:270m", "draft"),
        ("model=gemma3:4b&users=100001", "users"),
    ],
)
async def test_what_cannot_be_is_a_bad_request(house: tuple[httpx.AsyncClient, Workspace], query: str, param: str) -> None:
    answer = await ask(house, query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


async def test_a_draft_s_file_is_not_read_from_afar(house: tuple[httpx.AsyncClient, Workspace], tmp_path: Path) -> None:
    file = tmp_path / "secret.gguf"
    file.write_bytes(b"GGUF")
    answer = await ask(house, f"model=gemma3:4b&draft={file}")
    assert answer.status_code == 404
    assert "neither installed nor in the catalogue" in answer.json()["error"]["message"]


async def test_files_are_not_read_from_afar(house: tuple[httpx.AsyncClient, Workspace], tmp_path: Path) -> None:
    file = tmp_path / "secret.gguf"
    file.write_bytes(b"GGUF")
    answer = await ask(house, f"model={file}")
    assert answer.status_code == 404
    assert "neither installed nor in the catalogue" in answer.json()["error"]["message"]


async def test_the_engine_is_asked_for_those_only_who_may_load(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    assert (await ask(house, "model=gemma3:1b&method=fit", "reader")).status_code == 403
    answer = await ask(house, "model=gemma3:1b&method=fit", "member")
    assert (answer.status_code, answer.json()["method"], answer.json()["total_bytes"]) == (200, "fit", GIB)


async def test_which_models_ran_here_is_told_to_those_only_who_read_the_metrics(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    for role in ("reader", "member", "owner"):
        refused = await ask(house, "accuracy=true", role)
        assert refused.status_code == 403
        assert "loads" not in refused.text
    beside = (await ask(house, "model=gemma3:4b")).json()["accuracy"]
    assert beside["arithmetic"] == {"loads": 1, "median_error": 0.5, "worst_error": 0.5}


async def test_not_without_a_key(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    assert (await house[0].get("/house/v1/plan?model=gemma3:4b")).status_code == 401


async def test_said_twice_differently_is_an_error(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    answer = await ask(house, "model=gemma3:4b&users=2&users=3")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "users")
    assert "once is enough" in answer.json()["error"]["message"]


async def test_hundreds_of_models_are_not_planned(house: tuple[httpx.AsyncClient, Workspace]) -> None:
    for query in ("&".join(["model=gemma3:4b"] * 300), "model=" + ",".join(["gemma3:4b"] * 100)):
        answer = await ask(house, query)
        assert answer.status_code == 400
        assert "too many side by side" in answer.json()["error"]["message"]


async def test_a_ranking_that_many_ask_for_at_once_is_made_once(house: tuple[httpx.AsyncClient, Workspace], monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def ranking(self: Sizing, question: Question) -> Answer:
        made.append(question)
        return Answer(advice="the best first", ranked=True)

    monkeypatch.setattr(Sizing, "_ranking", ranking)
    client, workspace = house
    _, key = await workspace.create_key(project="default", name="many", role="reader")
    answers = await asyncio.gather(*(client.get("/house/v1/plan?users=3", headers={"authorization": f"Bearer {key}"}) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(made) == 1
