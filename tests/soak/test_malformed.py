"""Requests that no client would send, as bytes on the socket: bad HTTP, headers, names, paths, encodings and JSON.

`make soak` sends 10,000 (`SOAK_REQUESTS`, a part of them here), `make test` a few hundred.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.acceptance.support import ServerProcess, needs_linux, tiny
from tests.soak.amounts import amount, report
from tests.soak.judge import Watch, judge

REQUESTS = 7000
"""Of the 10,000; the rest is `test_malformed_schema`'s."""
SMOKE = 250
_READ = 64 * 1024
_PATIENCE = 30.0
_MOMENT = 0.2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    needs_linux()
    home = tmp_path_factory.mktemp("malformed") / "home"
    arguments = ["--offline", "--log-level", "warning", "--context", "512", "--slots", "2", "--keep-alive", "-1"]
    with ServerProcess(home, tiny(), arguments=arguments, environment={"HAUSGEIST_BODY_LIMIT": "1000000"}) as one:
        yield one.start()


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as one:
        yield one


# What is sent

_ASKED = [{"role": "user", "content": "a"}]
_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "pattern": "^[a-z]+$"}, "b": {"type": "array", "items": {"$ref": "#/$defs/c"}, "maxItems": 2}},
    "required": ["a"],
    "$defs": {"c": {"enum": ["x", 1, None]}},
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "look", "description": "b", "parameters": _SCHEMA}}
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
_CHAT = "/v1/chat/completions"
EXAMPLES: tuple[tuple[str, Any], ...] = (
    (_CHAT, {"model": "fake:echo", "messages": _ASKED, "max_tokens": 4, "stream": False, "user": "b"}),
    (_CHAT, {"model": "tiny", "messages": _ASKED, "max_tokens": 4, "stream": True, "stream_options": {"include_usage": True}, "stop": ["b"]}),
    (_CHAT, {"model": "tiny", "messages": _ASKED, "max_tokens": 4, "tools": [_TOOL], "tool_choice": "auto", "parallel_tool_calls": True}),
    (
        _CHAT,
        {
            "model": "tiny",
            "messages": _ASKED,
            "max_tokens": 4,
            "response_format": {"type": "json_schema", "json_schema": {"name": "b", "schema": _SCHEMA, "strict": True}},
        },
    ),
    (_CHAT, {"model": "tiny", "messages": _ASKED, "max_tokens": 2, "n": 2, "logprobs": True, "top_logprobs": 3, "logit_bias": {"5": -10}, "seed": 1}),
    (
        _CHAT,
        {
            "model": "fake:echo",
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PICTURE}", "detail": "low"}}]}
            ],
        },
    ),
    (
        _CHAT,
        {
            "model": "tiny",
            "max_tokens": 2,
            "messages": [
                *_ASKED,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "b", "content": "a"},
            ],
        },
    ),
    ("/v1/completions", {"model": "tiny", "prompt": "a", "max_tokens": 4, "suffix": "b", "echo": False, "stream": True}),
    ("/v1/completions", {"model": "tiny", "prompt": [1, 2, 3], "max_tokens": 4, "temperature": 0.5, "logprobs": 2}),
    ("/v1/embeddings", {"model": "fake:echo", "input": ["a", "b"], "encoding_format": "float", "dimensions": 4}),
    ("/v1/rerank", {"model": "fake:echo", "query": "a", "documents": ["a", "b"], "top_n": 1, "return_documents": True}),
    ("/v1/messages", {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "system": "b"}),
    (
        "/v1/messages",
        {
            "model": "tiny",
            "max_tokens": 4,
            "messages": _ASKED,
            "stream": True,
            "tools": [{"name": "look", "description": "b", "input_schema": _SCHEMA}],
            "tool_choice": {"type": "any"},
            "stop_sequences": ["b"],
            "metadata": {"user_id": "b"},
        },
    ),
    ("/v1/messages/count_tokens", {"model": "tiny", "messages": _ASKED}),
    ("/api/chat", {"model": "tiny", "messages": _ASKED, "options": {"num_predict": 4}, "stream": True, "tools": [_TOOL], "think": False}),
    ("/api/chat", {"model": "tiny", "messages": _ASKED, "options": {"num_predict": 4, "stop": ["b"], "seed": 1}, "stream": False, "format": _SCHEMA}),
    ("/api/generate", {"model": "tiny", "prompt": "a", "options": {"num_predict": 4, "temperature": 0.5}, "stream": False, "keep_alive": "-1"}),
    ("/api/generate", {"model": "tiny", "prompt": "a", "suffix": "b", "raw": True, "options": {"num_predict": 4}, "stream": True}),
    ("/api/embed", {"model": "fake:echo", "input": "a", "truncate": True}),
    ("/api/show", {"model": "tiny", "verbose": False}),
    ("/api/create", {"model": "made", "from": "tiny", "system": "b", "template": "{{ a }}", "parameters": {"temperature": 0.1}, "stream": False}),
    ("/api/create", {"model": "other", "files": {"a": "sha256:" + "0" * 64}, "license": ["b"], "stream": True}),
    ("/api/copy", {"source": "made", "destination": "copied"}),
    ("/api/pull", {"model": "llama3", "stream": False}),
    ("/house/v1/keys", {"name": "k", "role": "member", "project": "default"}),
    ("/house/v1/projects", {"name": "p"}),
    ("/house/v1/session", {"name": "nobody", "password": "x"}),
)
PATHS = (
    *sorted({path for path, _ in EXAMPLES}),
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/sign-in",
    "/v1/models",
    "/v1/models/{}",
    "/api/tags",
    "/api/ps",
    "/api/version",
    "/api/delete",
    "/api/blobs/{}",
    "/house/v1/keys/{}",
    "/house/v1/projects/{}",
    "/house/v1/projects/{}/members/{}",
    "/v1/files/{}",
    "/v1/responses/{}",
)

_nasty_text = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "../../etc/passwd",
            "%00",
            "a" * 5000,
            "\u202e\u0000",
            "{{7*7}}",
            "' OR 1=1 --",
            "\x1b[2J",
            "tiny\n",
            "fake:FILE",
            "x:y:z",
            "hf.co/../..",
            "sha256:" + "0" * 64,
            "..",
            ".",
            "/",
            "\\",
            "\U0001f47b" * 50,
            "%s%n",
            "${jndi:ldap://a}",
            "NaN",
            "-0",
            "1e999",
            "nul",
            "con",
        ]
    ),
)
_nasty_value: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63, 2**64, -(2**63), 10**40, 1e308, -1e308, 5e-324]),
    st.floats(allow_nan=True, allow_infinity=True),
    _nasty_text,
    st.lists(st.none() | _nasty_text, max_size=4),
    st.dictionaries(_nasty_text, _nasty_text | st.integers(), max_size=3),
    st.recursive(st.none() | st.integers(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("a"), inner), max_leaves=30),
)
_token = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)
_header_value = st.one_of(
    st.binary(max_size=60).map(lambda value: re.sub(rb"[\r\n\0]", b"", value)),
    st.sampled_from(
        [b"", b"Bearer ", b"Bearer hg-", b"Bearer hg-" + b"x" * 3000, b"Basic ====", b"\xff\xfe", b"*/*;q=x", b"text/html", b"chunked", b"null"]
    ),
)
_names = st.sampled_from(
    [
        "authorization",
        "x-api-key",
        "cookie",
        "origin",
        "referer",
        "content-type",
        "accept",
        "accept-encoding",
        "content-encoding",
        "range",
        "expect",
        "anthropic-version",
        "anthropic-beta",
        "openai-project",
        "openai-organization",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "sec-fetch-site",
        "sec-fetch-mode",
        "upgrade",
        "connection",
        "te",
        "trailer",
        "if-none-match",
        "x-request-id",
        "user-agent",
        "access-control-request-method",
        "access-control-request-headers",
        "x-http-method-override",
        "content-length",
        "transfer-encoding",
        "host",
    ]
)


@dataclass
class Sent:
    """One request as bytes; `sane` if a strict parser of HTTP takes its head."""

    method: str
    path: str
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    body: bytes = b""
    sane: bool = True
    raw: bytes | None = None

    def wire(self, host: str) -> bytes:
        if self.raw is not None:
            return self.raw
        names = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {self.path} HTTP/1.1".encode("latin-1", "replace")]
        lines += [f"Host: {host}".encode()] if "host" not in names else []
        lines += [f"{name}: ".encode() + value for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}".encode()] if not names & {"content-length", "transfer-encoding"} else []
        return b"\r\n".join([*lines, b"Connection: close", b"", b""]) + self.body


@st.composite
def _paths(draw: st.DrawFn) -> str:
    path = draw(st.sampled_from(PATHS))
    while "{}" in path:
        text = draw(_nasty_text)
        safe = draw(st.sampled_from(["", "/", "/%", "/:@!$&'()*+,;="]))
        path = path.replace("{}", quote(text, safe=safe, errors="surrogatepass"), 1)
    tail = draw(
        st.sampled_from(
            ["", "", "", "", "/", "//", "?", "?a=%", "?key=hg-x&project=%00", "#x", ";a", "/..", "/%2e%2e/", "%", "%zz", "%ff%fe", "?" + "a" * 3000]
        )
    )
    return re.sub(r"[\s\x00-\x20\x7f]", "", path + tail) or "/"


@st.composite
def _mutated(draw: st.DrawFn, example: Any) -> bytes:
    """An example of a good body with something wrong in one to three places; as bytes, so that what JSON forbids is possible, too."""
    text = json.dumps(example)
    body = json.loads(text)
    for _ in range(draw(st.integers(0, 3))):
        where, keys = body, []
        while isinstance(where, (dict, list)) and where and (not keys or draw(st.booleans())):
            key = draw(st.sampled_from(sorted(where))) if isinstance(where, dict) else draw(st.integers(0, len(where) - 1))
            keys.append((where, key))
            where = where[key]
        if not keys:
            break
        holder, key = keys[-1]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(_nasty_text)] = draw(_nasty_value)
        elif isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = draw(_nasty_value)
    data = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    wound = draw(st.sampled_from(["no", "no", "no", "no", "surrogate", "cut", "bytes", "deep", "number", "twice", "bom", "utf-16"]))
    match wound:
        case "surrogate":
            return data.replace(b'"a"', b'"\\ud800"', 1).replace(b'"b"', b'"\\udfff\\ud800x"', 1)
        case "cut":
            return data[: draw(st.integers(0, len(data)))]
        case "bytes":
            at = draw(st.integers(0, len(data)))
            return data[:at] + draw(st.binary(min_size=1, max_size=6)) + data[at:]
        case "deep":
            depth = draw(st.sampled_from([50, 500, 20_000, 200_000]))
            return draw(
                st.sampled_from(
                    [b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth, data[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"]
                )
            )
        case "number":
            number = draw(st.sampled_from([b"1e999", b"-1e999", b"9" * 400, b"1" * 5000, b"NaN", b"Infinity", b"-0.0", b"1e-400", b"0x10", b"01"]))
            return re.sub(rb"\b\d+(\.\d+)?\b", lambda _: number, data, count=1)
        case "twice":
            return data + data
        case "bom":
            return b"\xef\xbb\xbf" + data
        case "utf-16":
            return data.decode("utf-8", "replace").encode("utf-16")
    return data


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    kind = draw(st.sampled_from(["body", "body", "body", "body", "path", "path", "headers", "headers", "framing", "garbage"]))
    if kind == "garbage":
        return Sent("GET", "/", raw=draw(_garbage()), sane=False)
    if kind == "body":
        path, example = draw(st.sampled_from(EXAMPLES))
        sent = Sent("POST", path, [("Content-Type", b"application/json")], draw(_mutated(example)))
    else:
        method = draw(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]))
        sent = Sent(method, draw(_paths()), [], draw(st.sampled_from([b"", b"{}", b"[]", b"null", b'"', b"\xff"])))
        sent.sane = sent.path.isascii()
    if kind == "headers" or draw(st.integers(0, 9)) == 0:
        headers = draw(st.lists(st.tuples(_names | _token, _header_value), max_size=6))
        sent.headers += [(name, value) for name, value in headers if name not in {"content-length", "transfer-encoding", "host"}]
        if draw(st.integers(0, 19)) == 0:
            sent.headers += [("x-much", b"y" * draw(st.sampled_from([100, 7000, 70_000])))] * draw(st.sampled_from([1, 3, 200]))
        sent.sane = False  # a header may well be more than the parser takes
    if kind == "framing":
        sent.headers += draw(st.sampled_from(_FRAMINGS))
        sent.body = draw(st.sampled_from(_CHUNKS)) if any(name == "Transfer-Encoding" for name, _ in sent.headers) else sent.body
        sent.sane = False
    return sent


_FRAMINGS: list[list[tuple[str, bytes]]] = [
    [("Content-Length", b"-1")],
    [("Content-Length", b"99999999999999999999")],
    [("Content-Length", b"5"), ("Content-Length", b"6")],
    [("Content-Length", b"abc")],
    [("Content-Length", b"3")],
    [("Content-Length", b"500000")],
    [("Content-Length", b"+2")],
    [("Content-Length", b"2"), ("Transfer-Encoding", b"chunked")],
    [("Transfer-Encoding", b"chunked")],
    [("Transfer-Encoding", b"gzip, chunked")],
    [("Transfer-Encoding", b"identity")],
    [("Transfer-Encoding", b"chunked, chunked")],
    [("Transfer-Encoding", b"\x0bchunked")],
    [("Expect", b"100-continue"), ("Content-Length", b"2")],
    [("Expect", b"200-ok")],
    [("Host", b"")],
    [("Host", b"evil.example")],
    [("Host", b"localhost"), ("Host", b"localhost")],
    [("Host", b"[::1")],
    [("Host", b"127.0.0.1:99999")],
    [("Host", b"\xff")],
    [("Host", b"a b")],
]
_CHUNKS = [
    b"2\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}\r\n",
    b"zz\r\n{}\r\n0\r\n\r\n",
    b"-2\r\n{}\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFFF\r\n{}\r\n",
    b'2;ext="\xff"\r\n{}\r\n0\r\n\r\n',
    b"2\n{}\n0\n\n",
    b"1\r\n{}\r\n0\r\n\r\n",
    b"0\r\nTrailer: x\r\n\r\n",
    b"0\r\n" + b"T: y\r\n" * 300 + b"\r\n",
    b"5\r\nab",
    b"",
    b"7fffffff\r\n" + b"x" * 100,
]


def _garbage() -> st.SearchStrategy[bytes]:
    host = b"Host: localhost\r\n"
    return st.one_of(
        st.binary(max_size=200),
        st.sampled_from(
            [
                b"GET\r\n\r\n",
                b"GET / HTTP/9.9\r\n" + host + b"\r\n",
                b"GET / HTTP/1.1\r\nHost\r\n\r\n",
                b"GET / HTTP/1.1\n" + host + b"\n",
                b"\r\n" * 500,
                b"GET  /  HTTP/1.1\r\n" + host + b"\r\n",
                b"G\0T / HTTP/1.1\r\n" + host + b"\r\n",
                b"GET /\0 HTTP/1.1\r\n" + host + b"\r\n",
                b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
                b"GET / HTTP/1.1\r\n" + host + b" folded: x\r\n\ty\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + host + b"a\xff: b\r\n\r\n",
                b"CONNECT a:443 HTTP/1.1\r\n" + host + b"\r\n",
                b"GET http://evil.example/ HTTP/1.1\r\n" + host + b"\r\n",
                b"GET * HTTP/1.1\r\n" + host + b"\r\n",
                b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n",
                b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n\r\nGET /v1/models HTTP/1.1\r\n" + host + b"\r\n" * 3,
                b"HTTP/1.1 200 OK\r\n\r\n",
                b"GET / HTTP/0.9\r\n\r\n",
                b"POST /v1/chat/completions HTTP/1.1\r\n" + host + b"Content-Length: 4\r\n\r\n{}",
                b"GET / HTTP/1.1\r\n" + host + b"X: " + b"\0" * 10 + b"\r\n\r\n",
            ]
        ),
    )


# How it is judged


def exchange(server: ServerProcess, data: bytes, *, whole: bool) -> bytes:
    """Send the bytes and read what comes (a part of what is long: then the client leaves). If they may not be a `whole` request, the server may
    rightly wait for more of it: say after a moment that there is no more."""
    address = urlsplit(server.url)
    got = b""
    with socket.create_connection((address.hostname or "", address.port or 0), 5) as connection:
        try:
            connection.settimeout(_PATIENCE)
            connection.sendall(data)
            if not whole and not select.select([connection], [], [], _MOMENT)[0]:
                connection.shutdown(socket.SHUT_WR)
            while len(got) < _READ and (block := connection.recv(65536)):
                got += block
                if not whole:  # a connection that is kept open for more
                    connection.settimeout(_MOMENT)
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            if got and not whole:
                return got
            raise AssertionError(f"no answer within {_PATIENCE:.0f} s to {data[:300]!r}, only {got[:200]!r}") from None
    return got


def parsed(answer: bytes) -> tuple[int, str, bytes]:
    """Status, content type, body (of the first answer)."""
    head, _, body = answer.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    assert match, f"not HTTP: {answer[:200]!r}"
    found = re.search(rb"(?mi)^content-type: *([^\r\n]*)", head)
    if re.search(rb"(?mi)^transfer-encoding: *chunked", head):
        body = re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body)
    length = re.search(rb"(?mi)^content-length: *(\d+)", head)
    return int(match[1]), found[1].decode("latin-1") if found else "", body[: int(length[1])] if length else body


def bombard(server: ServerProcess, client: httpx.Client, count: int, number: int) -> None:
    host = urlsplit(server.url).netloc
    with Watch(server, client) as watch:

        @seed(number)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(sent=requests())
        def send(sent: Sent) -> None:
            answer = exchange(server, sent.wire(host), whole=sent.sane)
            if not answer:
                # Bytes that are no request get no answer; a request does.
                assert not sent.sane, f"no answer to {sent}"
                watch.answers[0] += 1
                return
            status, kind, body = parsed(answer)
            watch.answers[status] += 1
            headers = {name.lower(): value.decode("latin-1") for name, value in sent.headers}
            if sent.raw is None and (wrong := judge(sent.method, sent.path, headers, status, kind, body, protocol=not sent.sane)):
                watch.wrong.append(f"{wrong}\n    {sent.wire(host)[:600]!r}")
            elif sent.raw is not None and ((status >= 500 and status != 501) or b"Traceback" in body):
                watch.wrong.append(f"status {status}: {body[:300]!r}\n    {sent.raw[:600]!r}")

        send()
    report(
        "malformed requests",
        [
            ("requests", sum(watch.answers.values())),
            ("seed", number),
            ("seconds", round(watch.seconds)),
            ("answers by status (0: connection closed)", dict(sorted(watch.answers.items()))),
            ("more open files afterwards", watch.more_descriptors),
            ("more memory afterwards (MiB)", round(watch.more_memory / 2**20)),
            ("wrong", len(watch.wrong)),
        ],
    )


@pytest.mark.timeout(200)
def test_a_few_requests(server: ServerProcess, client: httpx.Client) -> None:
    bombard(server, client, SMOKE, 11)


@pytest.mark.soak
def test_many_requests(server: ServerProcess, client: httpx.Client) -> None:
    bombard(server, client, int(amount("REQUESTS", 10_000) * REQUESTS / 10_000), amount("SEED", time.time()))


def test_slow_heads_and_bodies_are_cut_off_in_the_end(server: ServerProcess, client: httpx.Client) -> None:
    """Connections that say nothing hold no place: others are answered, and in the end they are closed."""
    address = urlsplit(server.url)
    with Watch(server, client):
        silent = [socket.create_connection((address.hostname or "", address.port or 0), 5) for _ in range(200)]
        try:
            for number, connection in enumerate(silent):
                head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
                connection.sendall((b"", b"POST /v1/chat", head, head + b"\r\n{")[number % 4])
            asked = time.monotonic()
            assert client.get("/v1/models").status_code == 200
            assert time.monotonic() - asked < 2
        finally:
            for connection in silent:
                connection.close()
