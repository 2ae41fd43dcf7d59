"""What comes back from a parser process: the same as was sent, or an error; nothing in between."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.knowledge.parse.wire import decode, decode_cut, encode, encode_cut
from hausgeist.knowledge.parsed import Block, Box, Cut, Line, Page, Parsed, Piece

PARSED = Parsed(
    text="Title\n\na\tb\nc\td",
    blocks=(Block("title", 0, 5), Block("table", 7, 14, rows=((7, 10), (11, 14)), header=1)),
    pages=(Page(1, 0, 14, 595.0, 842.0, "Sheet", True),),
    lines=(Line(0, 5, 1, Box(1.0, 2.0, 3.5, 4.0)), Line(7, 10, 1, Box(1.0, 5.0, 3.5, 7.0))),
    media_type="application/pdf",
    title="Title",
    properties={"author": "Ada"},
    warnings=("Page 2 is empty.",),
)


def changed(**changes: object) -> bytes:
    data = encode(PARSED)
    size = int.from_bytes(data[:4], "little")
    head = json.dumps({**json.loads(data[4 : 4 + size]), **changes}).encode()
    return len(head).to_bytes(4, "little") + head + data[4 + size :]


def test_it_comes_back_as_it_was_sent() -> None:
    assert decode(encode(PARSED), characters=100) == PARSED
    assert decode(encode(Parsed(text="")), characters=0) == Parsed(text="")


@pytest.mark.parametrize(
    "changes",
    [
        {"text": None},
        {"text": "short"},
        {"text": 3},
        {"text": 10**9},
        {"text": -1},
        {"text": True},
        {"blocks": [[0, 0, 5, 0, 0, []], [1, 4, 6, 0, 0, []]]},
        {"blocks": [[0, 5, 4, 0, 0, []]]},
        {"blocks": [[99, 0, 5, 0, 0, []]]},
        {"blocks": [[0, -1, 5, 0, 0, []]]},
        {"blocks": [[0, 0.0, 5, 0, 0, []]]},
        {"blocks": [[4, 0, 5, 0, 0, [0, 9]]]},
        {"blocks": {"0": 1}},
        {"pages": [[2, 0, 5, 1, 1, "", False]]},
        {"pages": [[1, 0, 5, float("nan"), 1, "", False]]},
        {"pages": [[1, 0, 5, 1, 1, "x" * 1000, False]]},
        {"lines": 3},
        {"lines": -1},
        {"lines": True},
        {"media_type": 5},
        {"properties": {"a": 5}},
        {"warnings": [5]},
    ],
    ids=str,
)
def test_what_no_parser_says_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, IndexError, KeyError)):
        decode(changed(**changes), characters=100)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_are_refused_or_read_but_never_more(noise: bytes, place: int) -> None:
    whole = encode(PARSED)
    data = whole[:place] + noise + whole[place + len(noise) :]
    try:
        parsed = decode(data, characters=100)
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        return
    assert len(parsed.text) <= 100
    assert all(0 <= line.start <= line.end <= len(parsed.text) for line in parsed.lines)


PIECES = (Piece(0, 5, 1, "title", "", 2, "en"), Piece(7, 14, 1, "table", "Title > columns: a | b", 4, "und"))
TERMS = (("titl", "title"), ("a b c d", "a b c d"))


def test_a_text_that_is_too_long_or_not_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        decode(encode(Parsed(text="é" * 101)), characters=100)
    assert decode(encode(Parsed(text="é" * 100)), characters=100).text == "é" * 100
    whole = encode(Parsed(text="abc"))
    with pytest.raises(ValueError, match="utf-8"):
        decode(whole.replace(b"abc", b"a\xffc"), characters=100)


def test_passages_and_terms_come_back_as_they_were_sent() -> None:
    assert decode_cut(encode_cut(PARSED, PIECES, TERMS), characters=100) == Cut(PARSED, PIECES, TERMS)
    assert decode_cut(encode_cut(Parsed(text=""), (), ()), characters=0) == Cut(Parsed(text=""), ())


def listed_and_rest(data: bytes) -> tuple[list[list[object]], bytes]:
    size = int.from_bytes(data[:4], "little")
    return json.loads(data[4 : 4 + size]), data[4 + size :]


def test_terms_of_any_script_come_back_as_they_were_sent() -> None:
    terms = (("größe =1234.5", "größe 1 234,5"), ("東京 😀", ""))
    assert decode_cut(encode_cut(PARSED, PIECES, terms), characters=100).terms == terms
    half = encode_cut(PARSED, PIECES, (("a \ud800 b", "a b"), ("", "")))
    assert decode_cut(half, characters=100).terms == (("a ? b", "a b"), ("", "")), "half of a character costs nothing but itself"


@pytest.mark.parametrize(
    "listed",
    [
        None,
        7,
        [[0, 0, 99, 1, "", 1, "en", 0, 0]],
        [[0, 5, 0, 1, "", 1, "en", 0, 0]],
        [[99, 0, 5, 1, "", 1, "en", 0, 0]],
        [[0, 0, 5, -1, "", 1, "en", 0, 0]],
        [[0, 0, 5, 1, 7, 1, "en", 0, 0]],
        [[0, 0, 5, 1, "", 1, "a language", 0, 0]],
        [[0, 0, 5, 1, "", 1, "en", 0, None]],
        [[0, 0, 5, 1, "", 1, "en", 0, -1]],
        [[0, 0, 5, 1, "", 1, "en", 0.0, 0]],
        [[0, 0, 5, 1, "", 1, "en", 0, 3]],
        [[0, 0, 5, 1, "", 1, "en", 1 << 40, 0]],
        [[0, 0, 5, 1, "", 1, "en", 0, 1 << 20]],
        [[0, 0, 5, 1, "", 1, "en"]],
        [[]],
        [[0, 0, 1, 1, "", 1, "en", 0, 0]] * 15,
        [[0, 0, 1, 1, "", 1, "en", 0, 0]] * 200,
    ],
    ids=lambda listed: str(listed)[:60],
)
def test_passages_that_no_parser_would_send_are_refused(listed: object) -> None:
    head = json.dumps(listed).encode()
    with pytest.raises((ValueError, TypeError, IndexError)):
        decode_cut(len(head).to_bytes(4, "little") + head + encode(PARSED), characters=100)


def test_terms_that_are_not_utf_8_are_refused() -> None:
    listed, rest = listed_and_rest(encode_cut(PARSED, PIECES, TERMS))
    head = json.dumps(listed).encode()
    with pytest.raises(ValueError, match="utf-8"):
        decode_cut(len(head).to_bytes(4, "little") + head + b"\xff" + rest[1:], characters=100)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_of_passages_are_refused_or_read_but_never_more(noise: bytes, place: int) -> None:
    whole = encode_cut(PARSED, PIECES, TERMS)
    data = whole[:place] + noise + whole[place + len(noise) :]
    try:
        cut = decode_cut(data, characters=100)
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        return
    assert len(cut.pieces) == len(cut.terms) <= len(cut.parsed.text) <= 100
    assert all(0 <= piece.start <= piece.end <= len(cut.parsed.text) for piece in cut.pieces)
    assert sum(len(one) for its in cut.terms for one in its) <= len(data)
