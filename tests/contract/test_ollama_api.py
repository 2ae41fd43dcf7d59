"""Ollama's API through the official SDK, and over plain HTTP for what the SDK hides."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import ollama
import pytest
from PIL import Image

from hausgeist.engines.specimen import write_specimen
from hausgeist.identity import LOCAL_OWNER

HELLO = [{"role": "user", "content": "Hello there"}]


def do(*lines: str) -> list[dict[str, Any]]:
    """What `fake:obeys` shall do."""
    return [{"role": "user", "content": "\n".join(lines)}]


@pytest.fixture
def client(live: Any) -> Iterator[ollama.Client]:
    with live.ollama() as client:
        yield client


@pytest.fixture
def http(live: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=60) as client:
        yield client


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
      a: one
      b: the other
    """
    return a + b


# -- generate and chat ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["fake:echo", "tiny", "tiny:latest", "TINY"])
def test_generate(client: ollama.Client, model: str) -> None:
    made = client.generate(model, "Hello there", options={"num_predict": 6})
    assert (made.model, made.done, made.done_reason in ("stop", "length")) == (model, True, True)
    assert made.total_duration > 0
    assert made.prompt_eval_count > 0
    assert 0 < made.eval_count <= 6
    assert made.eval_duration > 0
    if model == "fake:echo":
        assert made.response == "Hello there"


def test_generate_in_a_stream(client: ollama.Client) -> None:
    *parts, last = client.generate("fake:echo", "Hello there", stream=True)
    assert "".join(part.response for part in parts) == "Hello there"
    assert all(part.done is False and part.created_at for part in parts)
    assert (last.done, last.done_reason, last.response) == (True, "stop", "")
    assert last.eval_count > 0


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_chat(client: ollama.Client, model: str) -> None:
    made = client.chat(model, HELLO, options={"num_predict": 6})
    assert made.message.role == "assistant"
    assert made.message.content
    *parts, last = client.chat(model, HELLO, stream=True, options={"num_predict": 6})
    assert "".join(part.message.content for part in parts)
    assert last.done
    assert last.prompt_eval_count > 0


async def test_asynchronously(live: Any) -> None:
    async with live.async_ollama() as client:
        assert (await client.chat("fake:echo", HELLO)).message.content == "Hello there"
        parts = [part.message.content async for part in await client.chat("fake:echo", HELLO, stream=True)]
        assert "".join(parts) == "Hello there"
        assert len((await client.embed("tiny-embed", "x")).embeddings) == 1


def test_the_reason_to_stop(client: ollama.Client) -> None:
    assert client.chat("fake:obeys", do("count 50"), options={"num_predict": 3}).done_reason == "length"
    made = client.chat("fake:obeys", do("say one two three"), options={"stop": ["three"]})
    assert (made.message.content, made.done_reason) == ("one two ", "stop")


def test_options_reach_the_engine(client: ollama.Client) -> None:
    def once(**options: Any) -> str:
        return client.generate("tiny", "Hello", options={"num_predict": 12, **options}).response

    assert once(temperature=0) == once(top_k=1) == once(temperature=1, seed=7, top_k=1)
    assert once(seed=42, temperature=2) == once(seed=42, temperature=2)
    everything = {"top_p": 0.9, "min_p": 0.01, "typical_p": 0.9, "repeat_last_n": -1, "repeat_penalty": 1.1, "presence_penalty": 0.1}
    everything |= {"frequency_penalty": 0.1, "mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.2, "num_keep": 4, "penalize_newline": True}
    assert once(**everything, stop=["\n\n\n"])
    assert client.generate("tiny", "Hello", options={"num_predict": 4, "repeat_last_n": 2**31 - 1}).eval_count <= 4


def test_the_last_word_of_the_assistant_is_continued(client: ollama.Client) -> None:
    prefilled = [*HELLO, {"role": "assistant", "content": "The answer is"}]
    options = {"num_predict": 5, "temperature": 0}
    whole = client.chat("tiny", prefilled, options=options).message.content
    assert "The answer is" not in whole
    assert "".join(part.message.content for part in client.chat("tiny", prefilled, options=options, stream=True)) == whole


@pytest.mark.parametrize("streaming", [False, True])
def test_thinking(client: ollama.Client, streaming: bool) -> None:
    asked = do("think so so", "say yes")
    if streaming:
        parts = list(client.chat("fake:obeys", asked, think=True, stream=True))
        thought, said = "".join(part.message.thinking or "" for part in parts), "".join(part.message.content for part in parts)
    else:
        made = client.chat("fake:obeys", asked, think=True)
        thought, said = made.message.thinking, made.message.content
    assert (thought, said) == ("so so", "yes")
    assert client.chat("fake:obeys", asked, think=False).message.thinking is None
    assert client.generate("fake:obeys", asked[0]["content"], think="low").thinking == "so so"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_round_of_tools(client: ollama.Client, streaming: bool) -> None:
    messages: list[Any] = do('call add {"a": 1, "b": 2}', 'call add {"a": 3, "b": 4}')
    if streaming:
        calls = [call for part in client.chat("fake:obeys", messages, tools=[add], stream=True) for call in part.message.tool_calls or ()]
        said = ollama.Message(role="assistant", tool_calls=calls)
    else:
        said = client.chat("fake:obeys", messages, tools=[add]).message
    assert [(call.function.name, call.function.arguments) for call in said.tool_calls] == [("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]
    results = [{"role": "tool", "tool_name": "add", "content": str(add(**call.function.arguments))} for call in said.tool_calls]
    assert client.chat("fake:obeys", [*messages, said, *results], tools=[add]).message.content == "3\n7"


def test_formats(client: ollama.Client) -> None:
    form = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    assert json.loads(client.chat("fake:obeys", do('json {"age": 3}'), format=form).message.content) == {"age": 3}
    small = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    options = {"num_predict": 200, "temperature": 0}
    assert isinstance(json.loads(client.chat("tiny", HELLO, format=small, options=options).message.content)["ok"], bool)
    assert isinstance(json.loads(client.generate("tiny", "Hello", raw=True, format=small, options=options).response)["ok"], bool)
    assert client.generate("tiny", "Hello", format="json", options={"num_predict": 30}).response.lstrip()[0] == "{"


def test_log_probabilities(client: ollama.Client) -> None:
    for made in (
        client.chat("tiny", HELLO, logprobs=True, top_logprobs=3, options={"num_predict": 4}),
        client.generate("tiny", "Hello", logprobs=True, top_logprobs=3, options={"num_predict": 4}),
        client.generate("tiny", "Hello", raw=True, logprobs=True, top_logprobs=3, options={"num_predict": 4}),
    ):
        assert len(made.logprobs) == made.eval_count
        assert all(one.logprob <= 0 and len(one.top_logprobs) == 3 for one in made.logprobs)
    parts = list(client.chat("tiny", HELLO, logprobs=True, stream=True, options={"num_predict": 4}))
    assert sum(len(part.logprobs or ()) for part in parts) == parts[-1].eval_count
    assert not any(one.top_logprobs for part in parts for one in part.logprobs or ())


def test_raw_prompts_have_no_template(client: ollama.Client) -> None:
    raw = client.generate("tiny", "Hello", raw=True, options={"num_predict": 2})
    assert raw.prompt_eval_count < client.generate("tiny", "Hello", options={"num_predict": 2}).prompt_eval_count
    assert client.generate("tiny", "Hello", system="Be the house.", options={"num_predict": 2}).prompt_eval_count > 20


@pytest.mark.parametrize("streaming", [False, True])
def test_filling_in(client: ollama.Client, streaming: bool) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "def f():", "suffix": "\n    return 1", "options": {"num_predict": 6}}
    if streaming:
        parts = list(client.generate(**asked, stream=True))
        assert "".join(part.response for part in parts)
        last = parts[-1]
    else:
        last = client.generate(**asked)
        assert last.response
    assert (last.done, last.done_reason) == (True, "length")
    assert last.prompt_eval_count > 0
    assert last.eval_count == 6


def test_images_are_for_models_that_see(client: ollama.Client) -> None:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    image = base64.b64encode(out.getvalue()).decode()
    assert client.generate("fake:echo", "What is it?", images=[image]).response
    with pytest.raises(ollama.ResponseError, match="cannot see") as caught:
        client.chat("tiny", [{"role": "user", "content": "?", "images": [image]}])
    assert caught.value.status_code == 400


# -- loading ----------------------------------------------------------------------------------------------------------------------------


def in_memory(client: ollama.Client, name: str) -> Any:
    return next((one for one in client.ps().models if one.model == name), None)


def test_a_larger_context_loads_the_model_anew(client: ollama.Client, live: Any) -> None:
    assert client.create("small", from_="tiny", parameters={"num_ctx": 256}).status == "success"
    too_long = "word " * 400
    with pytest.raises(ollama.ResponseError, match="256 tokens"):
        client.generate("small", too_long, options={"num_predict": 2})
    assert in_memory(client, "small:latest").context_length == 256
    assert client.generate("small", too_long, options={"num_predict": 2, "num_ctx": 2048}).eval_count == 2
    assert in_memory(client, "small:latest").context_length == 2048
    client.delete("small")


@pytest.mark.parametrize("chat", [False, True])
def test_loading_and_unloading(client: ollama.Client, chat: bool) -> None:
    def ask(**more: Any) -> Any:
        return client.chat("tiny", [], **more) if chat else client.generate("tiny", **more)

    loaded = ask(keep_alive="10m")
    assert (loaded.done, loaded.done_reason) == (True, "load")
    one = in_memory(client, "tiny:latest")
    assert 500 < one.expires_at.timestamp() - time.time() <= 601
    assert int(one.size) > 0
    assert one.context_length == 4096
    ask(keep_alive=-1)
    assert in_memory(client, "tiny:latest").expires_at.year > 2200
    assert ask(keep_alive=0).done_reason == "unload"
    assert in_memory(client, "tiny:latest") is None


def test_keep_alive_of_a_request(client: ollama.Client) -> None:
    client.generate("tiny", "x", options={"num_predict": 1}, keep_alive="1h")
    assert in_memory(client, "tiny:latest").expires_at.timestamp() - time.time() > 3000
    client.generate("tiny", "x", options={"num_predict": 1}, keep_alive=0)
    for _ in range(50):
        if in_memory(client, "tiny:latest") is None:
            break
        time.sleep(0.1)
    assert in_memory(client, "tiny:latest") is None


# -- embeddings -------------------------------------------------------------------------------------------------------------------------


def test_embeddings(client: ollama.Client) -> None:
    made = client.embed("tiny-embed", ["one", "two words", "one"])
    assert len(made.embeddings) == 3
    assert all(math.isclose(sum(value * value for value in vector), 1, rel_tol=1e-4) for vector in made.embeddings)
    assert made.embeddings[0] == pytest.approx(made.embeddings[2], abs=1e-4)
    assert made.prompt_eval_count > 3
    assert made.total_duration > 0
    assert client.embeddings("tiny-embed", "one").embedding == pytest.approx(made.embeddings[0], abs=1e-4)


def test_fewer_dimensions(client: ollama.Client) -> None:
    (whole,), (cut,) = (client.embed("tiny-embed", "x", dimensions=size).embeddings for size in (None, 4))
    assert len(cut) == 4
    length = math.sqrt(sum(value * value for value in whole[:4]))
    assert cut == pytest.approx([value / length for value in whole[:4]], abs=1e-4)
    with pytest.raises(ollama.ResponseError, match="dimensions"):
        client.embed("tiny-embed", "x", dimensions=100_000)


def test_nothing_to_embed(client: ollama.Client) -> None:
    assert client.embed("tiny-embed", []).embeddings == []
    assert client.embed("tiny-embed", "").embeddings == []
    assert client.embeddings("tiny-embed").embedding == []


def test_long_texts_are_cut_only_when_asked(client: ollama.Client) -> None:
    text = "word " * 6000
    with pytest.raises(ollama.ResponseError, match=r"18001 tokens.* 2048 tokens") as caught:
        client.embed("tiny-embed", ["short", text])
    assert caught.value.status_code == 400
    made = client.embed("tiny-embed", ["short", text], truncate=True)
    assert len(made.embeddings) == 2
    assert made.embeddings[0] == pytest.approx(client.embed("tiny-embed", "short").embeddings[0], abs=2e-3)


# -- the library ------------------------------------------------------------------------------------------------------------------------


def test_tags(client: ollama.Client) -> None:
    models = {model.model: model for model in client.list().models}
    assert {"tiny:latest", "tiny-embed:latest", "fake:echo"} <= set(models)
    one = models["tiny:latest"]
    assert len(one.digest) == 64
    assert int(one.size) > 1000
    assert one.details.family == "llama"


def test_show(client: ollama.Client, http: httpx.Client) -> None:
    made = client.show("tiny")
    assert made.capabilities == ["completion", "tools", "insert"]
    assert made.modelinfo["general.architecture"] == "llama"
    assert made.modelinfo["tokenizer.ggml.model"]
    assert "messages" in made.template
    assert "FROM tiny" in made.modelfile
    assert client.show("tiny-embed").capabilities == ["embedding"]
    assert client.show("fake:echo").details.family == "fake"
    verbose = http.post("/api/show", json={"name": "tiny", "verbose": True}).json()
    assert verbose["tensors"][0]["shape"]
    assert "<|fim_prefix|>" in verbose["model_info"]["tokenizer.ggml.tokens"]
    with pytest.raises(ollama.ResponseError) as caught:
        client.show("nowhere")
    assert (caught.value.status_code, caught.value.error) == (404, "model 'nowhere' not found")


def test_create_from_an_uploaded_file_copy_and_delete(client: ollama.Client, http: httpx.Client, tmp_path: Path) -> None:
    file = write_specimen(tmp_path / "other.gguf")
    hexed = hashlib.sha256(file.read_bytes()).hexdigest()
    assert http.head(f"/api/blobs/sha256:{hexed}").status_code == 404
    digest = client.create_blob(file)
    assert digest == f"sha256:{hexed}"
    assert http.head(f"/api/blobs/{digest}").status_code == 200
    assert http.post(f"/api/blobs/{digest}", content=file.read_bytes()).status_code == 200
    statuses = [
        part.status
        for part in client.create(
            "made:here",
            files={"other.gguf": digest},
            system="You are Made.",
            parameters={"temperature": 0.0, "num_predict": 3, "stop": ["<x>", "<y>"]},
            license="mine",
            stream=True,
        )
    ]
    assert statuses[-1] == "success"
    shown = client.show("made:here")
    assert (shown.license, "temperature" in shown.parameters) == ("mine", True)
    assert shown.parameters.count("stop") == 2
    assert client.copy("made:here", "twin").status == "success"
    made = client.generate("twin", "Hello")
    assert (made.eval_count, made.done_reason) == (3, "length")
    assert client.generate("twin", "Hello", options={"num_predict": 5}).eval_count == 5
    plain = client.generate("tiny", "Hello", options={"num_predict": 1}).prompt_eval_count
    assert made.prompt_eval_count > plain
    assert client.delete("made:here").status == "success"
    assert client.delete("twin").status == "success"
    assert not {"made:here", "twin:latest"} & {model.model for model in client.list().models}
    with pytest.raises(ollama.ResponseError) as caught:
        client.delete("twin")
    assert caught.value.status_code == 404


def test_a_file_that_is_not_what_it_says_is_not_kept(http: httpx.Client, client: ollama.Client, tmp_path: Path) -> None:
    wrong = "0" * 64
    response = http.post(f"/api/blobs/sha256:{wrong}", content=b"something else")
    assert response.status_code == 400
    assert http.head(f"/api/blobs/sha256:{wrong}").status_code == 404
    assert http.post("/api/blobs/sha256:..%2f..%2fetc", content=b"x").status_code in (400, 404)
    text = tmp_path / "text.gguf"
    text.write_text("not a model")
    digest = client.create_blob(text)
    for streaming in (False, True):
        with pytest.raises(ollama.ResponseError, match=r"text\.gguf"):
            list(client.create("broken", files={"text.gguf": digest}, stream=streaming))
    assert "broken:latest" not in {model.model for model in client.list().models}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"quantize": "q4_0", "from_": "tiny"}, 501),
        ({"messages": [{"role": "tool", "content": "x"}], "from_": "tiny"}, 400),
        ({"messages": [{**HELLO[0], "images": ["aGk="]}], "from_": "tiny"}, 501),
        ({"template": "{{ range .Nonsense }}", "from_": "tiny"}, 501),
        ({"from_": "nowhere"}, 503),
        ({"from_": "tiny", "parameters": {"num_ctx": "many"}}, 400),
        ({}, 400),
        ({"files": {"x": "sha256:" + "1" * 64}}, 400),
        ({"files": {"x": "/etc/passwd"}}, 400),
    ],
)
def test_what_cannot_be_created(client: ollama.Client, http: httpx.Client, fields: dict[str, Any], status: int) -> None:
    body = {"model": "never", "stream": False, **fields}
    if "from_" in body:
        body["from"] = body.pop("from_")
    response = http.post("/api/create", json=body)
    assert (response.status_code, set(response.json())) == (status, {"error"})
    streamed = http.post("/api/create", json={**body, "stream": True})
    assert "error" in streamed.text.splitlines()[-1]
    assert "never:latest" not in {model.model for model in client.list().models}


def test_models_that_lie_elsewhere_are_not_deleted(client: ollama.Client) -> None:
    for name in ("tiny", "fake:echo"):
        with pytest.raises(ollama.ResponseError) as caught:
            client.delete(name)
        assert caught.value.status_code == 409


def test_the_version_that_clients_look_at(http: httpx.Client) -> None:
    version = http.get("/api/version").json()["version"]
    assert tuple(int(part) for part in version.split(".")) >= (0, 6, 4)


# -- errors and plain HTTP --------------------------------------------------------------------------------------------------------------


def test_errors_of_the_sdk(client: ollama.Client) -> None:
    for ask, status in (
        (lambda: client.chat("nowhere", HELLO), 404),
        (lambda: list(client.chat("nowhere", HELLO, stream=True)), 404),
        (lambda: client.chat("tiny-embed", HELLO), 400),
        (lambda: client.generate("tiny", "x", context=[1, 2]), 501),
        (lambda: client.generate("tiny", "x", width=64), 501),
        (lambda: client.generate("tiny", "x", options={"num_gpu": 3}), 501),
        (lambda: client.generate("tiny", "x", options={"nonsense": 3}), 400),
        (lambda: client.generate("tiny", "x", think=True), 400),
        (lambda: client.generate("tiny", "word " * 6000), 400),
        (lambda: client.generate("fake:obeys", "fail 500 boom"), 502),
    ):
        with pytest.raises(ollama.ResponseError) as caught:
            ask()
        assert caught.value.status_code == status, caught.value
        assert caught.value.error


@pytest.mark.parametrize(("model", "ask"), [("fake:obeys", "say one two\nfail 500 boom"), ("fake:dies", "go")])
def test_an_error_in_the_middle_is_a_line(client: ollama.Client, http: httpx.Client, model: str, ask: str) -> None:
    with pytest.raises(ollama.ResponseError):
        list(client.generate(model, ask, stream=True))
    *said, last = http.post("/api/generate", json={"model": model, "prompt": ask}).text.splitlines()
    assert all(json.loads(line)["done"] is False for line in said)
    assert said
    assert set(json.loads(last)) == {"error"}


def test_streaming_is_what_happens_unasked(http: httpx.Client) -> None:
    for path, body in (("/api/generate", {"prompt": "Hi you"}), ("/api/chat", {"messages": HELLO}), ("/api/create", {"from": "tiny"})):
        response = http.post(path, json={"model": "fake:echo" if "create" not in path else "lines", **body})
        assert response.headers["content-type"].startswith("application/x-ndjson")
        lines = [json.loads(line) for line in response.text.splitlines()]
        assert lines[-1].get("done") is True or lines[-1]["status"] == "success"
        assert response.text.endswith("\n")
    http.request("DELETE", "/api/delete", json={"name": "lines"})


def test_a_body_without_a_content_type_is_taken(http: httpx.Client) -> None:
    response = http.post("/api/generate", content=b'{"model": "fake:echo", "prompt": "x", "stream": false}')
    assert response.json()["response"] == "x"


HOSTILE: list[bytes] = [
    b"",
    b"[]",
    b"{",
    b"{}",
    b"\xff",
    b'{"model": 5}',
    b'{"model": ""}',
    b'{"model": "a b"}',
    b'{"model": "../../etc/passwd", "messages": [{"role": "user", "content": "x"}], "prompt": "x"}',
    b'{"model": "tiny", "keep_alive": {}}',
    b'{"model": "tiny", "keep_alive": "soon"}',
    b'{"model": "tiny", "prompt": ["x"], "messages": "x", "input": 5}',
    b'{"model": "tiny", "options": []}',
    b'{"model": "tiny", "options": {"num_ctx": 1e400}}',
    b'{"model": "tiny", "options": {"num_ctx": -5}}',
    b'{"model": "tiny", "options": {"id_slot": 1}}',
    b'{"model": "tiny", "n_probs": 1000000}',
    b'{"model": "tiny", "format": 5, "input": {}}',
    b'{"model": "tiny", "source": "tiny", "destination": "../x"}',
    b'{"model": "tiny", "messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
]


@pytest.mark.parametrize("path", ["generate", "chat", "embed", "embeddings", "show", "create", "copy", "pull", "push", "delete"])
@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bodies_are_4xx_in_the_tongue(http: httpx.Client, path: str, body: bytes) -> None:
    response = http.request("DELETE" if path == "delete" else "POST", f"/api/{path}", content=body)
    if response.status_code == 200:
        # What is nonsense to one path may be empty to another.
        assert b'"tiny"' in body
        return
    assert 400 <= response.status_code < 500 or response.status_code == 501, response.text
    assert set(response.json()) == {"error"}
    assert "Traceback" not in response.text


def test_who_leaves_makes_room(live: Any, http: httpx.Client) -> None:
    def running() -> int:
        return sum(one.running for one in live.app.door.loaded(LOCAL_OWNER) if one.model.id == "fake:stalls")

    body = {"model": "fake:stalls", "messages": HELLO}
    with http.stream("POST", "/api/chat", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        assert running() == 1
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/chat", json={**body, "stream": False}, timeout=0.5)
    deadline = time.monotonic() + 1.5
    while running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running() == 0


def test_paths_that_are_not_there(http: httpx.Client) -> None:
    assert http.get("/api/generate").status_code == 405
    assert set(http.get("/api/nothing").json()) == {"error"}


def test_an_uploaded_file_may_be_larger_than_any_other_body(live: Any, http: httpx.Client) -> None:
    pieces = 65
    piece = bytes(2**20)
    digest = hashlib.sha256(piece * pieces).hexdigest()
    assert http.post(f"/api/blobs/sha256:{digest}", content=(piece for _ in range(pieces))).status_code == 201
    assert live.app.blobs.size(digest) == pieces * 2**20
    assert http.post("/api/chat", content=piece * pieces).status_code == 413
    live.app.blobs.remove(digest)


def test_a_file_that_does_not_fit_is_refused_before_it_is_written(live: Any, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: set[Path] = set()

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(1 << 20)
            begun.update(live.app.blobs.folder.glob(".*"))

    digest = f"sha256:{'1' * 64}"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, used=0, free=(256 + 19) << 20))
    response = http.post(f"/api/blobs/{digest}", content=pieces(), headers={"content-length": str(20 << 20)})
    assert response.status_code == 507
    assert "21.0 MB are still to come, 288.4 MB are free" in response.json()["error"]
    assert begun == set()
    assert http.head(f"/api/blobs/{digest}").status_code == 404
