"""Pictures through the official SDKs to a model that really looks at them: llama.cpp with a projector of random weights."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from PIL import Image

from hausgeist.engines.specimen import write_projector
from hausgeist.settings import ModelSection
from tests.contract.conftest import Live

PICTURE = 4
"""Tokens that the projector makes of a picture."""
QUESTION = "What is it?"
Ask = Callable[[str | None, bool], tuple[str, int]]
"""From a picture in base64 (or none), and whether to stream, to what is answered and the tokens of the prompt."""


def picture(colour: str, form: str = "PNG") -> str:
    body = io.BytesIO()
    Image.new("RGB", (120, 80), colour).save(body, form)
    return base64.b64encode(body.getvalue()).decode()


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, specimens: dict[str, Path]) -> Iterator[Live]:
    projector = write_projector(tmp_path_factory.mktemp("projector") / "projector.gguf")
    models = {"seer": ModelSection(path=specimens["tiny"], projector=projector)}
    live = Live(home=tmp_path_factory.mktemp("home"), settings={"models": models, "slots": 1})
    live.start()
    yield live
    live.stop()


def by_openai(live: Live) -> Ask:
    client = live.openai()

    def ask(image: str | None, stream: bool) -> tuple[str, int]:
        content: list[Any] = [{"type": "text", "text": QUESTION}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}})
        asked: Any = {"model": "seer", "messages": [{"role": "user", "content": content}], "max_tokens": 12, "temperature": 0}
        if not stream:
            whole = client.chat.completions.create(**asked)
            assert whole.usage is not None
            return whole.choices[0].message.content or "", whole.usage.prompt_tokens
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        assert chunks[-1].usage is not None
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices), chunks[-1].usage.prompt_tokens

    return ask


def by_anthropic(live: Live) -> Ask:
    client = live.anthropic()

    def ask(image: str | None, stream: bool) -> tuple[str, int]:
        content: list[Any] = [{"type": "text", "text": QUESTION}]
        if image:
            content.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}})
        asked: Any = {"model": "seer", "messages": [{"role": "user", "content": content}], "max_tokens": 12, "extra_body": {"temperature": 0}}
        if stream:
            with client.messages.stream(**asked) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**asked)
        usage = message.usage
        tokens = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return "".join(block.text for block in message.content if block.type == "text"), tokens

    return ask


def by_ollama(live: Live) -> Ask:
    client = live.ollama()

    def ask(image: str | None, stream: bool) -> tuple[str, int]:
        message: dict[str, Any] = {"role": "user", "content": QUESTION, **({"images": [image]} if image else {})}
        asked: Any = {"model": "seer", "messages": [message], "options": {"num_predict": 12, "temperature": 0}}
        parts = list(client.chat(**asked, stream=True)) if stream else [client.chat(**asked)]
        return "".join(part.message.content or "" for part in parts), parts[-1].prompt_eval_count or 0

    return ask


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("tongue", [by_openai, by_anthropic, by_ollama], ids=["openai", "anthropic", "ollama"])
def test_what_is_answered_depends_on_the_picture(seeing: Live, tongue: Callable[[Live], Ask], stream: bool) -> None:
    ask = tongue(seeing)
    nothing, without = ask(None, stream)
    red, tokens = ask(picture("red"), stream)
    blue, _ = ask(picture("blue"), stream)
    again, _ = ask(picture("red"), stream)
    assert tokens >= without + PICTURE
    assert red == again
    assert red != blue
    assert nothing not in (red, blue)


def test_every_tongue_shows_the_same_picture(seeing: Live) -> None:
    answers = {tongue(seeing)(picture("green"), False)[0] for tongue in (by_openai, by_anthropic, by_ollama)}
    assert len(answers) == 1


@pytest.mark.parametrize("form", ["JPEG", "GIF", "BMP"])
def test_pictures_in_other_forms(seeing: Live, form: str) -> None:
    answer, tokens = by_ollama(seeing)(picture("red", form), False)
    assert answer
    assert tokens >= PICTURE


@pytest.mark.parametrize("tongue", [by_openai, by_anthropic, by_ollama], ids=["openai", "anthropic", "ollama"])
def test_webp_is_seen_as_the_same_picture(seeing: Live, tongue: Callable[[Live], Ask]) -> None:
    """llama.cpp cannot decode it, so it is converted; without loss it is the same picture to the last token."""
    assert tongue(seeing)(picture("red", "WEBP"), False) == tongue(seeing)(picture("red"), False)


def test_webp_that_breaks_off_is_said_to(seeing: Live) -> None:
    whole = base64.b64decode(picture("red", "WEBP"))
    with pytest.raises(ollama.ResponseError, match="cannot be decoded") as caught:
        by_ollama(seeing)(base64.b64encode(whole[:-20]).decode(), False)
    assert caught.value.status_code == 400


def test_models_that_see_say_so(seeing: Live) -> None:
    assert "vision" in (seeing.ollama().show("seer").capabilities or [])


def test_a_picture_that_is_none_is_refused_before_the_engine_sees_it(seeing: Live) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        by_ollama(seeing)(base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 100).decode(), False)
    assert caught.value.status_code == 400
    assert by_ollama(seeing)(picture("red"), False)[0]
