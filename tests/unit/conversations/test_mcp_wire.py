"""Bytes of a server of tools: cut into messages whichever way they come, bounded, and cleaned of what cannot be seen."""

from __future__ import annotations

import itertools
import json
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.conversations.mcp import wire
from hausgeist.conversations.mcp.fields import argument_headers, encoded
from hausgeist.conversations.mcp.naming import function_name
from hausgeist.conversations.mcp.results import outcome
from hausgeist.conversations.mcp.wire import EventReader, Fault, ServerEvent, clean, clean_text, parse

STREAM = b': hello\n\nid: 7\nretry: 1500\ndata:\n\nevent: message\r\ndata: {"a":\r\ndata:  1}\r\n\r\ndata: x\n\ndata: never ended'
EVENTS = [ServerEvent(b"", "7", 1.5), ServerEvent(b'{"a":\n 1}'), ServerEvent(b"x")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_is_cut_the_same_however_it_comes(cuts: list[int]) -> None:
    reader, found, places = EventReader(), [], [0, *sorted(cuts), len(STREAM)]
    for begin, end in itertools.pairwise(places):
        found += reader.feed(STREAM[begin:end])
    assert found == EVENTS


def test_lines_may_end_in_carriage_returns_alone() -> None:
    assert EventReader().feed(b"data: a\r\rdata: b\r\r.") == [ServerEvent(b"a"), ServerEvent(b"b")]


def test_an_id_that_no_header_could_carry_is_no_place_to_go_on_from() -> None:
    assert EventReader().feed(b"id: a\x01b\ndata: x\n\nid: \xff\ndata: y\n\n") == [ServerEvent(b"x"), ServerEvent(b"y")]


@pytest.mark.parametrize("piece", [b"x" * 1000, b"data: y\n" * 1000, b": only a comment\n" * 1000])
def test_an_event_without_end_is_not_collected(piece: bytes) -> None:
    reader = EventReader()
    with pytest.raises(Fault, match="4 MiB"):
        deque(map(reader.feed, itertools.repeat(piece, wire._MESSAGE)), maxlen=0)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"1", b'"text"', b"[1]", b"[[]]", b'{"a":' + b"9" * 10_000 + b"}"])
def test_what_is_no_message_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        parse(body)
    assert caught.value.error["type"] == "mcp_protocol_error"


@pytest.mark.parametrize(
    ("value", "what"), [({"a": float("inf")}, "finite"), ([[0] * 300] * 300, "too many"), (json.loads("[" * 90 + "]" * 90), "deeply")]
)
def test_values_are_bounded(value: object, what: str) -> None:
    with pytest.raises(Fault, match=what):
        clean(value)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\x1b[31mred\x1b[0m\x1b]0;title\x07b", "aredb"),
        ("a\x1b]8;;http://x\x1b\\link", "alink"),
        ("one\r\ntwo\rthree\tfour", "one\ntwo\nthree\tfour"),
        ("\x00\x08\x7f\x9b\ufeffok", "ok"),
        ("half \ud800 of a pair", "half  of a pair"),
        ("seen\U000e0068\U000e0069", "seen"),
        ("<b>bold</b> & „Umlaut“ 👩‍👩‍👧", "<b>bold</b> & „Umlaut“ 👩‍👩‍👧"),
    ],
)
def test_what_terminals_obey_and_nobody_sees_is_taken_out(text: str, left: str) -> None:
    assert clean_text(text) == left
    assert clean({text: [text]}) == {left: [left]}


@given(st.tuples(st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True), st.text(min_size=1, max_size=128)), st.data())
def test_names_fit_the_engine_and_tell_tools_apart(one: tuple[str, str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(one[1])))
    others = [(one[0] + one[1][:cut], one[1][cut:]), (one[0], one[1] + "_"), (one[0] + "_", one[1])]
    names = {pair: function_name(*pair) for pair in (one, *others)}
    assert all(0 < len(name) <= 64 and name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() for name in names.values())
    assert len(set(names.values())) == len(names)


def test_plain_names_stay_readable() -> None:
    assert function_name("files", "read_file") == "files__read_file"
    assert function_name("files", "read.file") != function_name("files", "read_file")
    assert function_name("a_", "b") != function_name("a", "_b")


def test_headers_carry_what_the_schema_asks_for() -> None:
    schema = {
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"properties": {"on": {"type": "boolean", "x-mcp-header": "On"}, "none": {"type": "integer", "x-mcp-header": "No"}}},
        }
    }
    assert argument_headers(schema, {"region": "Köln\r\nX: 1", "deep": {"on": True}}) == {
        "Mcp-Param-Region": "=?base64?S8O2bG4NClg6IDE=?=",
        "Mcp-Param-On": "true",
    }
    assert encoded(" a") == "=?base64?IGE=?="
    assert encoded("=?base64?IGE=?=") != "=?base64?IGE=?="


@pytest.mark.parametrize("token", ["Host\r\nX", "", 5, "Region"])
def test_schemas_that_break_the_rules_get_no_headers(token: object) -> None:
    schema = {"properties": {"a": {"type": "string", "x-mcp-header": "region"}, "b": {"type": "string", "x-mcp-header": token}}}
    assert argument_headers(schema, {"a": "x", "b": "y"}) == {}
    assert argument_headers({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}, {"a": 1.5}) == {}


def test_results_are_text_of_bounded_length() -> None:
    blocks = [
        {"type": "text", "text": "one"}, {"type": "image", "data": "AAAA", "mimeType": "image/png"},
        {"type": "resource_link", "name": "a", "uri": "file:///a"},
        {"type": "resource", "resource": {"uri": "file:///b", "text": "inside"}},
        {"type": "resource", "resource": {"uri": "file:///c", "blob": "AA"}},
        {"type": "unheard of"}, "nonsense",
    ]  # fmt: skip
    text, error = outcome({"content": blocks, "structuredContent": {"a": 1}}, 1000)
    assert (text, error) == (
        "one\n[image of type image/png, left out]\n[a: file:///a]\ninside\n[file:///c: a file of type unknown, left out]",
        None,
    )
    assert outcome({"content": [], "structuredContent": {"a": "ä"}}, 1000) == ('{"a": "ä"}', None)
    assert outcome({}, 1000) == ("", None)
    cut, _ = outcome({"content": [{"type": "text", "text": "x" * 5000}]}, 1000)
    assert cut == "x" * 1000 + "\n\n[Cut here: the result has 5,000 characters, of which 1,000 are kept.]"
    none, error = outcome({"content": [{"type": "text", "text": "no"}], "isError": True}, 1000)
    assert (none, error) == (None, {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}]})
    with pytest.raises(Fault, match="ask its user"):
        outcome({"resultType": "input_required", "inputRequests": {}}, 1000)
