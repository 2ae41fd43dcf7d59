"""What a conversation sends, keeps and saves."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from hausgeist.cli.conversation import Conversation, Outcome, find_images, read_image, read_schema
from hausgeist.errors import InvalidRequest, NotFound


def test_the_request() -> None:
    conversation = Conversation("m", system="be brief", think=True, keep_alive="10m", schema="json")
    conversation.set("temperature", "0.5")
    conversation.set("context", "2048")
    conversation.ask("hi", ["aGk="])
    assert conversation.body() == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi", "images": ["aGk="]}],
        "stream": True,
        "options": {"temperature": 0.5, "num_ctx": 2048},
        "format": "json",
        "think": True,
        "keep_alive": "10m",
    }


def test_options_can_be_taken_back_and_are_checked() -> None:
    conversation = Conversation("m")
    conversation.set("seed", "1")
    conversation.set("seed", "default")
    assert conversation.options == {}
    with pytest.raises(InvalidRequest, match="whole number"):
        conversation.set("seed", "1.5")
    with pytest.raises(InvalidRequest, match="no option"):
        conversation.set("warmth", "1")


def test_a_question_without_an_answer_is_not_kept() -> None:
    conversation = Conversation("m")
    conversation.ask("one", [])
    conversation.keep(Outcome())
    assert conversation.messages == []
    conversation.ask("two", [])
    conversation.keep(Outcome(content="half an ans"))
    assert [message["content"] for message in conversation.messages] == ["two", "half an ans"]


def test_asking_again() -> None:
    conversation = Conversation("m")
    assert not conversation.take_back()
    conversation.ask("one", [])
    conversation.keep(Outcome(content="x"))
    assert conversation.take_back()
    assert conversation.messages == [{"role": "user", "content": "one"}]


def test_saving_and_loading(tmp_path: Path) -> None:
    conversation = Conversation("m", system="s")
    conversation.set("seed", "7")
    conversation.ask("größe?", [])
    conversation.keep(Outcome(content="groß"))
    conversation.save(tmp_path / "chat.json")
    other = Conversation("n")
    other.load(tmp_path / "chat.json")
    assert (other.messages, other.system, other.options) == (conversation.messages, "s", {"seed": 7})
    conversation.save(tmp_path / "chat.md")
    assert "**user**\n\ngröße?" in (tmp_path / "chat.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "[]", '{"messages": 1}', '{"messages": [{"role": 1}]}', '{"messages": [1]}', "\x00"])
def test_loading_something_else(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    conversation = Conversation("m", messages=[{"role": "user", "content": "kept"}])
    with pytest.raises(InvalidRequest):
        conversation.load(tmp_path / "x.json")
    assert conversation.messages
    with pytest.raises(NotFound):
        conversation.load(tmp_path / "y.json")


def test_images_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cat.png", "my cat.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert find_images("what is ./cat.png?") == []  # a path ends where it ends
    assert find_images("what is ./cat.png") == [Path("cat.png")]
    assert find_images("what is './my cat.jpg' and ./cat.png ?") == [Path("my cat.jpg"), Path("cat.png")]
    assert find_images(f"{tmp_path}/my\\ cat.jpg") == [tmp_path / "my cat.jpg"]
    assert find_images("cat.png ./dog.png") == []
    assert read_image(Path("cat.png")) == base64.b64encode(b"x").decode()
    with pytest.raises(NotFound):
        read_image(Path("dog.png"))


def test_schemas(tmp_path: Path) -> None:
    schema = {"type": "object"}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    assert read_schema(str(tmp_path / "s.json")) == schema
    assert read_schema(json.dumps(schema)) == schema
    assert read_schema("json") == "json"
    with pytest.raises(NotFound):
        read_schema("nowhere.json")
    with pytest.raises(InvalidRequest):
        read_schema("{broken")
