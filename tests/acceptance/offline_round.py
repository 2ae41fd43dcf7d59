"""Run by `test_offline` within a network namespace that has nothing but loopback: a server that is offline, asked for all that could lead outside.

`python offline_round.py FOLDER TRACER...`: the server and the terminal's own commands run under TRACER. Prints what was answered, as JSON.
"""

from __future__ import annotations

import base64
import json
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import ollama
import openai

from hausgeist.engines.specimen import write_projector, write_specimen
from tests.acceptance.support import ServerProcess

OUTSIDE = "192.0.2.7"
"""An address of documentation networks (RFC 5737): nobody has it."""
HOST = "models.example"
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
ASK: Any = [{"role": "user", "content": "hello"}]


def main() -> None:
    folder, tracer = Path(sys.argv[1]), sys.argv[2:]
    files = {name: folder / f"{name}.gguf" for name in ("tiny", "eyes", "embed", "rank")}
    for name, task in (("tiny", "generate"), ("eyes", "generate"), ("embed", "embed"), ("rank", "rerank")):
        write_specimen(files[name], task=task)  # type: ignore[arg-type]
    projector = write_projector(folder / "projector.gguf")
    server = ServerProcess(folder / "home", *files.values(), arguments=["--offline"], wrapper=tracer)
    text = (server.home / "hausgeist.toml").read_text().replace('[models."eyes"]', f'[models."eyes"]\nprojector = "{projector}"')
    # All that could lead outside is switched on, and the hosts are on the list: being offline must be stronger.
    text = f'remote_images = true\nallow = ["{OUTSIDE}", "{HOST}"]\n' + text
    text += f'[upstreams.numbered]\nurl = "http://{OUTSIDE}:8000"\n[upstreams.named]\nurl = "https://{HOST}"\n'
    (server.home / "hausgeist.toml").write_text(text)
    told: dict[str, Any] = {"routes": Path("/proc/net/route").read_text().count("\n") - 1, "interfaces": [name for _, name in socket.if_nameindex()]}
    with server.start(within=60):
        told |= _openai(server) | _anthropic(server) | _ollama(server) | _outside(server) | _library(server, files["tiny"])
        server.send(15)
        told["exit"] = server.wait(30)
        told["log"] = server.text()[-4000:]
    told |= _terminal(server, tracer, files["tiny"])
    with sqlite3.connect(server.home / "hausgeist.db") as database:
        rows = database.execute("SELECT action, target, outcome, detail, request_id FROM audit WHERE action = 'egress.connect'").fetchall()
    told["audit"] = [dict(zip(("action", "target", "outcome", "detail", "request"), row, strict=True)) for row in rows]
    print(json.dumps(told))


def _openai(server: ServerProcess) -> dict[str, Any]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        answer = client.chat.completions.create(model="tiny", messages=ASK, max_tokens=4)
        stream = [*client.chat.completions.create(model="tiny", messages=ASK, max_tokens=4, stream=True)]
        return {
            "openai.chat": len(answer.choices),
            "openai.stream": len(stream),
            "openai.completions": len(client.completions.create(model="tiny", prompt="a", max_tokens=2).choices),
            "openai.embeddings": len(client.embeddings.create(model="embed", input="a").data),
            "openai.models": len(client.models.list().data),
            "rerank": len(client.post("/rerank", body={"model": "rank", "query": "a", "documents": ["a", "b"]}, cast_to=dict[str, Any])["results"]),
            "openai.image": client.chat.completions.create(model="eyes", messages=_seeing(_data_url()), max_tokens=2).choices[0].finish_reason,
        }


def _anthropic(server: ServerProcess) -> dict[str, Any]:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60) as client:
        with client.messages.stream(model="tiny", max_tokens=4, messages=ASK) as stream:
            streamed = stream.get_final_message().stop_reason
        return {
            "anthropic.messages": client.messages.create(model="tiny", max_tokens=4, messages=ASK).stop_reason,
            "anthropic.stream": streamed,
            "anthropic.count": client.messages.count_tokens(model="tiny", messages=ASK).input_tokens,
        }


def _ollama(server: ServerProcess) -> dict[str, Any]:
    client = ollama.Client(host=server.url, timeout=60)
    try:
        return {
            "ollama.chat": client.chat("tiny", ASK, options={"num_predict": 4}).done,
            "ollama.stream": len([*client.generate("tiny", "a", options={"num_predict": 4}, stream=True)]),
            "ollama.embed": len(client.embed("embed", "a").embeddings),
            "ollama.ps": len(client.ps().models),
            "ollama.show": bool(client.show("tiny").details),
        }
    finally:
        client._client.close()


def _outside(server: ServerProcess) -> dict[str, Any]:
    """What would lead outside: images of other hosts in two tongues, a download, models of other servers."""
    told: dict[str, Any] = {}
    with server.client() as client:
        assert client.post("/api/copy", json={"source": "tiny", "destination": "registry.example/owner/tiny"}).is_success
        for name, path, body in (
            ("image by address", "/v1/chat/completions", {"model": "eyes", "messages": _seeing(f"http://{OUTSIDE}/cat.png"), "max_tokens": 2}),
            ("image by name", "/v1/chat/completions", {"model": "eyes", "messages": _seeing(f"https://{HOST}/cat.png"), "max_tokens": 2}),
            ("image for anthropic", "/v1/messages", {"model": "eyes", "max_tokens": 2, "messages": _anthropic_seeing(f"https://{HOST}/dog.png")}),
            ("upstream by address", "/v1/chat/completions", {"model": "numbered/any", "messages": ASK}),
            ("upstream by name", "/api/chat", {"model": "named/any", "messages": ASK, "stream": False}),
            ("pull", "/api/pull", {"model": "llama3.2", "stream": False}),
            ("push", "/api/push", {"model": "registry.example/owner/tiny", "stream": False}),
            ("pull by the way", "/api/generate", {"model": "hf.co/owner/repo:Q4_K_M", "prompt": "a", "stream": False}),
        ):
            response = client.post(path, json=body)
            told[name] = [response.status_code, response.text[:300], response.headers.get("x-request-id", "")]
    return {"outside": told}


def _library(server: ServerProcess, file: Path) -> dict[str, Any]:
    import hashlib

    data = file.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    ask = {"model": "copied", "prompt": "a", "options": {"num_predict": 2}, "stream": False}
    with server.client() as client:
        statuses = [
            client.post(f"/api/blobs/{digest}", content=data).status_code,
            client.post("/api/create", json={"model": "made", "files": {"tiny.gguf": digest}, "stream": False}).status_code,
            client.post("/api/copy", json={"source": "made", "destination": "copied"}).status_code,
            client.post("/api/generate", json=ask).status_code,
            client.request("DELETE", "/api/delete", json={"model": "made"}).status_code,
            *(client.get(path).status_code for path in ("/metrics", "/openapi.json", "/health", "/")),
        ]
    return {"library": statuses}


def _terminal(server: ServerProcess, tracer: list[str], file: Path) -> dict[str, Any]:
    """Commands of the terminal, each a program of its own (`run` with a server of its own)."""
    told: dict[str, Any] = {}
    environment = {**server.environment, "HAUSGEIST_OFFLINE": "1"}
    for name, arguments in (
        ("run", ["run", str(file), "hello", "--max-tokens", "4"]),
        ("list", ["list"]),
        ("key", ["key", "list"]),
        ("doctor", ["doctor"]),
    ):
        if name == "doctor":
            # It tries whether the kernel refuses engines a socket, which those who read the trace have to know.
            told["traced before"] = Path(tracer[tracer.index("-o") + 1]).read_text().count("\n")
        command = [*tracer, sys.executable, "-m", "hausgeist", *arguments, "--home", str(server.home)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment, stdin=subprocess.DEVNULL)
        told[name] = [ended.returncode, (ended.stdout + ended.stderr)[-500:]]
    return {"terminal": told}


def _data_url() -> str:
    return "data:image/png;base64," + base64.b64encode(PIXEL).decode()


def _seeing(url: str) -> Any:
    return [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]}]


def _anthropic_seeing(url: str) -> Any:
    return [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": url}}, {"type": "text", "text": "what is this?"}]}]


if __name__ == "__main__":
    main()
