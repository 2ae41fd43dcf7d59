"""JSON schemas and chat templates made to hurt whoever compiles them: native code of the engine does. It may refuse them, but it must not die of
them, keep others waiting, or fetch anything."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.support import ServerProcess, needs_linux, tiny, wrong_shape
from tests.soak.judge import Watch

pytestmark = pytest.mark.timeout(300)
ASKED = [{"role": "user", "content": "a"}]
_LONGEST = 30.0


def _nested(depth: int, wrap: Any) -> Any:
    inner: Any = {"type": "string"}
    for _ in range(depth):
        inner = wrap(inner)
    return inner


SCHEMAS: dict[str, Any] = {
    "itself": {"$ref": "#"},
    "a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "elsewhere": {"$ref": "https://models.example/schema.json#/a"},
    "nowhere": {"$ref": "#/nope/1"},
    "no text as reference": {"$ref": 5},
    "deep objects": _nested(300, lambda inner: {"type": "object", "properties": {"a": inner}}),
    "deep choices": _nested(200, lambda inner: {"anyOf": [inner, {"type": "null"}]}),
    "many values": {"enum": list(range(20_000))},
    "no values": {"enum": []},
    "long": {"type": "string", "minLength": 1_000_000},
    "longer": {"type": "string", "maxLength": 10**9},
    "shorter than nothing": {"type": "string", "minLength": -5},
    "backtracking": {"type": "string", "pattern": "^((a+)+)+$"},
    "no pattern": {"type": "string", "pattern": "["},
    "repeated": {"type": "string", "pattern": "^a{1000000}$"},
    "repeated twice": {"type": "string", "pattern": "^(a{1,100}){1,100}$"},
    "parentheses": {"type": "string", "pattern": "^" + "(" * 5000 + "a" + ")" * 5000 + "$"},
    "looking ahead": {"type": "string", "pattern": "^(?=a)b$"},
    "many items": {"type": "array", "minItems": 100_000, "items": {"type": "integer"}},
    "too many items": {"type": "array", "maxItems": 2**40},
    "large numbers": {"type": "integer", "minimum": -(2**70), "maximum": 2**70},
    "a contradiction": {"type": "integer", "minimum": 5, "maximum": 1},
    "another": {"allOf": [{"type": "object"}, {"type": "string"}]},
    "no type": {"type": 5},
    "a surrogate": {"const": "\ud800"},
    "grammar in a name": {"type": "object", "properties": {'"\n::=root': {"type": "string"}}},
    "many properties": {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(700)}},
    "nothing": {"not": {}},
    "a long tuple": {"type": "array", "prefixItems": [{"type": "string"}] * 1000},
    "itself below": {"type": "object", "additionalProperties": {"$ref": "#"}},
}
FEW = ("itself", "elsewhere", "deep objects", "parentheses", "a contradiction", "a surrogate")
TEMPLATES = {
    "no template": "{% if %}",
    "an exception": "{{ raise_exception('no') }}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "deep": "{% if true %}" * 3000 + "{% endif %}" * 3000,
    "the inside": "{{ messages.__class__.__mro__ }}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    needs_linux()
    home = tmp_path_factory.mktemp("hostile") / "home"
    with ServerProcess(home, tiny(), arguments=["--offline", "--log-level", "warning", "--slots", "2", "--keep-alive", "-1"]) as one:
        yield one.start()


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client(timeout=_LONGEST) as one:
        yield one


def _requests(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    as_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    yield "/v1/chat/completions", {"messages": ASKED, "max_tokens": 5, "response_format": as_format}
    yield "/v1/chat/completions", {"messages": ASKED, "max_tokens": 5, "tools": [tool], "tool_choice": "required"}
    yield "/v1/messages", {"messages": ASKED, "max_tokens": 5, "tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "any"}}
    yield "/api/chat", {"messages": ASKED, "options": {"num_predict": 5}, "stream": False, "format": schema}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FEW else pytest.mark.soak) for name in SCHEMAS])
def test_schemas(server: ServerProcess, client: httpx.Client, name: str) -> None:
    with Watch(server, client):
        (worker,) = server.workers()
        for path, body in _requests(SCHEMAS[name]):
            asked = time.monotonic()
            response = client.post(path, content=json.dumps({"model": "tiny", **body}))
            assert response.status_code in {200, 400, 501}, (path, response.text[:300])
            assert response.status_code == 200 or not wrong_shape(path, response.json())
            assert time.monotonic() - asked < _LONGEST
        assert server.workers() == [worker], "the engine died of it"


@pytest.mark.soak
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates(server: ServerProcess, client: httpx.Client, name: str) -> None:
    """A template is compiled while its model loads: that may fail, and nothing else."""
    with Watch(server, client):
        (worker,) = server.workers()
        model = f"made-{list(TEMPLATES).index(name)}"
        made = client.post("/api/create", json={"model": model, "from": "tiny", "template": TEMPLATES[name], "stream": False})
        assert made.status_code in {200, 400, 501}, made.text
        if made.status_code == 200:
            said = client.post("/api/chat", json={"model": model, "messages": ASKED, "options": {"num_predict": 5}, "stream": False})
            assert said.status_code in {200, 400, 503}, said.text
            assert said.status_code == 200 or not wrong_shape("/api/chat", said.json())
        assert worker in server.workers()
        assert client.request("DELETE", "/api/delete", json={"model": model}).status_code in {200, 404}
