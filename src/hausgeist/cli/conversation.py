"""One conversation of the terminal with a model: what was said, how the model shall answer, and the request that this makes.

Speaks Ollama's chat, whose last line tells how long everything took. Prints nothing.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hausgeist.errors import HausgeistError, InvalidRequest, ModelNotFound, NotFound

if TYPE_CHECKING:
    from hausgeist.cli.client import Client

__all__ = ["OPTIONS", "Conversation", "Outcome", "find_images", "read_image", "read_schema"]

OPTIONS: dict[str, tuple[type[int] | type[float], str, str]] = {
    "temperature": (float, "temperature", "0 is the likeliest answer, 1 a lively one"),
    "top-p": (float, "top_p", "only tokens of this joint probability"),
    "top-k": (int, "top_k", "only so many of the likeliest tokens"),
    "seed": (int, "seed", "the same seed, the same answer"),
    "context": (int, "num_ctx", "tokens of the conversation that the model sees; a larger one loads it anew"),
    "max-tokens": (int, "num_predict", "longest answer in tokens"),
}
"""Name on the terminal: type, name in Ollama's options, meaning."""

_IMAGE = re.compile(r"""(?<!\S)(?:"([^"\n]+)"|'([^'\n]+)'|((?:\\.|[^\s\\])+))""")
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_LARGEST_IMAGE = 32 * 2**20


@dataclass(slots=True)
class Outcome:
    """An answer and what it took, complete once its stream has ended."""

    content: str = ""
    thinking: str = ""
    final: dict[str, Any] = field(default_factory=dict)
    """The last line of the stream."""

    @property
    def tokens(self) -> int:
        return int(self.final.get("eval_count", 0))

    @property
    def seconds(self) -> float:
        return float(self.final.get("total_duration", 0)) / 1e9

    def rate(self, what: str) -> float:
        """Tokens per second of "eval" or "prompt_eval"."""
        spent = float(self.final.get(f"{what}_duration", 0)) / 1e9
        return float(self.final.get(f"{what}_count", 0)) / spent if spent > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """The answer as Ollama's chat gives it without streaming."""
        message = {"role": "assistant", "content": self.content, **({"thinking": self.thinking} if self.thinking else {})}
        return {**self.final, "message": message}


@dataclass(slots=True)
class Conversation:
    """What was said so far and how to answer."""

    model: str
    system: str = ""
    options: dict[str, int | float] = field(default_factory=dict)
    """In Ollama's names."""
    schema: Any = None
    think: bool | None = None
    keep_alive: str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    def set(self, name: str, value: str) -> None:
        """Set an option by its name on the terminal; "default" takes it back. Raises `InvalidRequest`."""
        if name not in OPTIONS:
            raise InvalidRequest(f"there is no option '{name}'. Choose one of {', '.join(OPTIONS)}.")
        kind, wire, _ = OPTIONS[name]
        if value == "default":
            self.options.pop(wire, None)
            return
        try:
            self.options[wire] = kind(value)
        except ValueError:
            raise InvalidRequest(f"{name} wants {'a whole number' if kind is int else 'a number'}, not '{value}'.") from None

    def ask(self, text: str, images: list[str]) -> None:
        """Add a question; `images` in base64."""
        self.messages.append({"role": "user", "content": text, **({"images": images} if images else {})})

    def take_back(self) -> bool:
        """Forget the last answer, so that its question can be asked again. False when nothing was asked."""
        while self.messages and self.messages[-1]["role"] != "user":
            self.messages.pop()
        return bool(self.messages)

    def keep(self, outcome: Outcome) -> None:
        """Add the answer, also one that was stopped; nothing said is a question not asked."""
        if outcome.content:
            self.messages.append({"role": "assistant", "content": outcome.content})
        elif self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()

    def body(self) -> dict[str, Any]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Any] = {"model": self.model, "messages": [*system, *self.messages], "stream": True}
        if self.options:
            body["options"] = dict(self.options)
        if self.schema is not None:
            body["format"] = self.schema
        if self.think is not None:
            body["think"] = self.think
        if self.keep_alive is not None:
            body["keep_alive"] = _keep_alive(self.keep_alive)
        return body

    @contextmanager
    def answer(self, client: Client, outcome: Outcome) -> Iterator[Iterator[tuple[str, str]]]:
        """The answer as pairs of reasoning and text, gathered in `outcome`. Leaving the block stops the model."""
        try:
            with client.stream("/api/chat", self.body()) as events:
                yield _pieces(events, outcome)
        except NotFound:
            raise ModelNotFound(self.model) from None

    def save(self, file: Path) -> None:
        """Write the conversation: JSON to load again, or Markdown to read."""
        if file.suffix == ".json":
            text = json.dumps(
                {"model": self.model, "system": self.system, "options": self.options, "messages": self.messages}, indent=2, ensure_ascii=False
            )
        else:
            said = [f"**{message['role']}**\n\n{message['content']}\n" for message in self.messages]
            text = "\n".join([f"# {self.model}\n", *([f"**system**\n\n{self.system}\n"] if self.system else []), *said])
        try:
            file.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise HausgeistError(f"{file} cannot be written: {error.strerror}.") from error

    def load(self, file: Path) -> None:
        """Go on with a conversation that was saved as JSON; the model stays."""
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            messages = [_message(message) for message in saved["messages"]]
            system, options = str(saved.get("system", "")), dict(saved.get("options", {}))
        except OSError as error:
            raise NotFound(f"{file} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest(f"{file} is not a conversation that was saved with '/save NAME.json'.") from error
        self.messages, self.system, self.options = messages, system, options


def _pieces(events: Iterator[dict[str, Any]], outcome: Outcome) -> Iterator[tuple[str, str]]:
    for event in events:
        message = event.get("message") or {}
        thinking, content = str(message.get("thinking") or ""), str(message.get("content") or "")
        outcome.thinking += thinking
        outcome.content += content
        if thinking or content:
            yield thinking, content
        if event.get("done"):
            outcome.final = event
            return
    raise HausgeistError("the answer broke off: the server ended the stream early. Its log says why.")


def _message(saved: dict[str, Any]) -> dict[str, Any]:
    """A message of a file. Raises `ValueError`, `KeyError`, `TypeError` or `AttributeError` for anything else."""
    if saved["role"] not in {"user", "assistant"} or not isinstance(saved["content"], str):
        raise ValueError(saved["role"])
    return {key: value for key, value in saved.items() if key in {"role", "content", "images"}}


def _keep_alive(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def read_image(path: Path) -> str:
    """An image file in base64. Raises `NotFound`, `InvalidRequest`."""
    try:
        if path.stat().st_size > _LARGEST_IMAGE:
            raise InvalidRequest(f"{path} is larger than {_LARGEST_IMAGE // 2**20} MiB; make it smaller first.")
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise NotFound(f"the image {path} cannot be read: {error.strerror}.") from error


def find_images(text: str) -> list[Path]:
    """Image files that a message names by path (`./cat.png`, `~/my cat.png` in quotes or as dropped onto the window)."""
    found = []
    for match in _IMAGE.finditer(text):
        quoted = match.group(1) or match.group(2)
        word = quoted or re.sub(r"\\(.)", r"\1", match.group(3) or "")
        if not word.lower().endswith(_IMAGE_ENDINGS) or not (word.startswith(("/", "./", "../", "~/")) or word[1:3] == ":\\"):
            continue
        path = Path(word).expanduser()
        if path.is_file():
            found.append(path)
    return found


def read_schema(text: str) -> Any:
    """A JSON schema from a file, or as it was typed; "json" means any JSON."""
    if text == "json":
        return "json"
    source = "the JSON schema"
    if not text.lstrip().startswith("{"):
        source = text
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise NotFound(f"{source} cannot be read: {error.strerror}.") from error
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{source} is not valid JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{source} is not a JSON schema: it has to be an object.")
    return schema
