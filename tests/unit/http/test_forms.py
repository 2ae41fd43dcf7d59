"""Forms with a file: read as they come, however they are cut; what is broken, too large or too much is refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from hausgeist.errors import HausgeistError, InvalidRequest, TooLarge
from hausgeist.http.bodies import Body
from hausgeist.http.forms import Part, read_form

CRLF = b"\r\n"


class Inner(Body):
    anchor: Literal["created_at"]
    seconds: int


class Form(Body):
    purpose: str
    expires_after: Inner | None = None


def part(name: str, content: bytes, *, filename: bytes | None = None, kind: bytes = b"") -> bytes:
    said = b'form-data; name="' + name.encode() + b'"' + (b'; filename="' + filename + b'"' if filename is not None else b"")
    head = b"Content-Disposition: " + said + CRLF + (b"content-TYPE: " + kind + CRLF if kind else b"")
    return head + CRLF + content


def form(*parts: bytes, boundary: bytes = b"limit") -> bytes:
    return b"".join(b"--" + boundary + CRLF + one + CRLF for one in parts) + b"--" + boundary + b"--" + CRLF


def request(pieces: Sequence[bytes], content_type: str = "multipart/form-data; boundary=limit") -> Request:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", content_type.encode())]}, receive)


async def keep(head: Part, chunks: AsyncIterator[bytes]) -> tuple[Part, bytes]:
    return head, b"".join([chunk async for chunk in chunks])


async def read(*pieces: bytes, content_type: str = "multipart/form-data; boundary=limit") -> tuple[Form, tuple[Part, bytes]]:
    return await read_form(request(pieces, content_type), Form, file="file", keep=keep)


FILE = part("file", b"a\r\n--limi\r\n\x00b", filename='ä "x%22.txt'.encode().replace(b' "', b" "), kind=b"text/plain")
FIELDS = (part("purpose", b"batch"), part("expires_after[anchor]", b"created_at"), part("expires_after[seconds]", b"3600"))


@pytest.mark.parametrize("parts", [(*FIELDS, FILE), (FILE, *FIELDS), (FIELDS[0], FILE, *FIELDS[1:])])
async def test_fields_stand_before_and_after_the_file(parts: tuple[bytes, ...]) -> None:
    fields, (head, content) = await read(form(*parts))
    assert fields == Form(purpose="batch", expires_after=Inner(anchor="created_at", seconds=3600))
    assert (head.filename, head.media_type, content) == ('ä x".txt', "text/plain", b"a\r\n--limi\r\n\x00b")


@given(st.binary(max_size=300), st.lists(st.integers(0, 700), max_size=12))
def test_where_it_is_cut_does_not_matter(content: bytes, cuts: list[int]) -> None:
    whole = form(FIELDS[0], part("file", content.replace(b"--limit", b""), filename=b"a"))
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    _, (_, found) = asyncio.run(read(*pieces))
    assert found == content.replace(b"--limit", b"")


async def test_the_file_is_handed_on_before_it_is_there_whole() -> None:
    """A gigabyte comes in pieces, and no more than one of them is in memory."""
    most, seen = 0, 0
    begin, end = form(FIELDS[0], part("file", b"|", filename=b"a")).split(b"|")
    waiting = [begin, *[b"x" * 1000] * 50, end]

    async def receive() -> Message:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def count(head: Part, chunks: AsyncIterator[bytes]) -> int:
        nonlocal most, seen
        async for chunk in chunks:
            seen += len(chunk)
            most = max(most, (52 - len(waiting)) * 1000 - seen)
        return seen

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"multipart/form-data; boundary=limit")]}
    _, size = await read_form(Request(scope, receive), Form, file="file", keep=count)
    assert size == 50_000
    assert most <= 3000


BROKEN: list[tuple[str, bytes, type[HausgeistError], str]] = [
    ("no file", form(*FIELDS), InvalidRequest, "file"),
    ("two files", form(FIELDS[0], FILE, FILE), InvalidRequest, "more than one"),
    ("a field twice", form(FIELDS[0], FIELDS[0], FILE), InvalidRequest, "twice"),
    ("a field that is text and not", form(part("expires_after", b"x"), FIELDS[1], FILE), InvalidRequest, "twice"),
    ("an unknown field", form(*FIELDS, part("user", b"x"), FILE), InvalidRequest, "user"),
    ("a missing field", form(FILE), InvalidRequest, "purpose"),
    ("no number", form(*FIELDS[:2], part("expires_after[seconds]", b"x"), FILE), InvalidRequest, "seconds"),
    ("no text", form(part("purpose", b"\xff"), FILE), InvalidRequest, "UTF-8"),
    ("cut off", form(FIELDS[0], FILE)[:-20], InvalidRequest, "breaks off"),
    ("no end", form(FIELDS[0], FILE).removesuffix(b"--\r\n"), InvalidRequest, "breaks off"),
    ("empty", b"", InvalidRequest, "breaks off"),
    ("no form at all", b'{"purpose": "batch"}', InvalidRequest, "multipart"),
    ("no name", form(b"Content-Disposition: form-data\r\n\r\nx"), InvalidRequest, "no name"),
    ("many parts", form(*(part(f"a{number}", b"x") for number in range(40))), InvalidRequest, "32"),
    ("a large field", form(part("purpose", b"x" * 100_000), FILE), TooLarge, "fields"),
    ("large headers", form(b"X: " + b"x" * 100_000 + CRLF + FILE), InvalidRequest, "multipart"),
    ("many headers", form(b"X: y\r\n" * 100 + FILE), InvalidRequest, "multipart"),
]


@pytest.mark.parametrize(("body", "kind", "said"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
async def test_what_is_broken_is_refused(body: bytes, kind: type[HausgeistError], said: str) -> None:
    with pytest.raises(kind, match=said):
        await read(*(body[start : start + 1000] for start in range(0, len(body), 1000)))


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 5000, "multipart/form-data; boundary="]
)
async def test_other_bodies_are_no_forms(content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="multipart"):
        await read(form(FIELDS[0], FILE), content_type=content_type)


async def test_what_follows_the_end_means_nothing() -> None:
    fields, _ = await read(form(FIELDS[0], FILE), b"--limit\r\n" + part("purpose", b"other"), b"\x00" * 5000)
    assert fields.purpose == "batch"
