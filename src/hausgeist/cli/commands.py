"""What can be typed into a chat after a slash. A table of commands; each does one thing to the chat."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hausgeist.cli.console import hint, note, paint, say
from hausgeist.cli.conversation import OPTIONS
from hausgeist.cli.terminal import neutralise, one_line
from hausgeist.errors import InvalidRequest

if TYPE_CHECKING:
    from hausgeist.cli.answering import Link
    from hausgeist.cli.conversation import Conversation, Outcome

__all__ = ["COMMANDS", "KEYS", "Chat", "ChatCommand", "Leave", "obey"]

KEYS: tuple[tuple[str, str], ...] = (
    ("Enter", "sends"),
    ("Alt-Enter", "begins a new line (or Esc, then Enter)"),
    ('"""', "begins and ends a message of several lines"),
    ("./photo.jpg", "a path to an image in a message sends the image with it"),
    ("Ctrl-C", "stops an answer"),
    ("Ctrl-D", "leaves"),
)
_SWITCHES = ("think", "verbose", "markdown")


class Chat(Protocol):
    """What commands need of the chat."""

    link: Link
    conversation: Conversation
    last: Outcome
    verbose: bool
    markdown: bool

    def answer(self) -> None: ...

    def attach(self, path: Path) -> None: ...

    def models(self) -> list[str]: ...


class Leave(Exception):
    """The user wants to go."""


@dataclass(frozen=True, slots=True)
class ChatCommand:
    """One command: `usage` shows its arguments, `choices` are offered for completion."""

    name: str
    usage: str
    meaning: str
    run: Callable[[Chat, str], None]
    choices: tuple[str, ...] = ()


def obey(chat: Chat, line: str) -> None:
    """Do what the line says. Raises `InvalidRequest` for one that does not exist."""
    name, _, rest = line.partition(" ")
    command = COMMANDS.get(name.lower()) or COMMANDS.get(_ALIASES.get(name.lower(), ""))
    if command is None:
        raise InvalidRequest(f"there is no command {name}; /help shows them. To send it as it is, begin with a space or three quotes.")
    command.run(chat, rest.strip())


def _help(chat: Chat, rest: str) -> None:
    width = max(len(f"{command.name} {command.usage}") for command in COMMANDS.values())
    for command in COMMANDS.values():
        print(f"  {f'{command.name} {command.usage}':<{width}}  {paint(command.meaning, 'quiet')}")
    print()
    for key, meaning in KEYS:
        print(f"  {key:<{width}}  {paint(meaning, 'quiet')}")


def _clear(chat: Chat, rest: str) -> None:
    chat.conversation.messages.clear()
    note("forgotten; the next message begins a new conversation")


def _system(chat: Chat, rest: str) -> None:
    if not rest:
        say(chat.conversation.system or "no system message; /system TEXT sets one")
        return
    chat.conversation.system = "" if rest == "none" else rest.strip('"').strip()
    note("system message removed" if rest == "none" else "system message set; it holds from the next message on")


def _set(chat: Chat, rest: str) -> None:
    name, _, value = rest.partition(" ")
    value = value.strip()
    if not value:
        for option, (_, _, meaning) in OPTIONS.items():
            print(f"  {option + ' NUMBER':<20}  {paint(meaning, 'quiet')}")
        print(f"  {'think on|off':<20}  {paint('let the model reason first, where it can', 'quiet')}")
        print(f"  {'verbose on|off':<20}  {paint('more about time and tokens', 'quiet')}")
        print(f"  {'markdown on|off':<20}  {paint('layout, or the text as it is', 'quiet')}")
        hint("/set NAME default takes a setting back")
        return
    if name not in _SWITCHES:
        chat.conversation.set(name, value)
    elif name == "think" and value == "default":
        chat.conversation.think = None
    elif value not in {"on", "off"}:
        raise InvalidRequest(f"{name} is on or off, not '{value}'.")
    elif name == "think":
        chat.conversation.think = value == "on"
    elif name == "verbose":
        chat.verbose = value == "on"
    else:
        chat.markdown = value == "on"
    note(f"{name} is {value}")


def _show(chat: Chat, rest: str) -> None:
    conversation = chat.conversation
    match rest or "settings":
        case "settings":
            names = {wire: option for option, (_, wire, _) in OPTIONS.items()}
            say(f"model        {conversation.model}")
            say(f"system       {one_line(conversation.system) or 'none'}")
            for wire, value in conversation.options.items():
                say(f"{names.get(wire, wire):<12} {value}")
            if conversation.think is not None:
                say(f"think        {'on' if conversation.think else 'off'}")
            if conversation.schema is not None:
                say(f"schema       {json.dumps(conversation.schema)}")
        case "reasoning":
            print(paint(neutralise(chat.last.thinking), "quiet") if chat.last.thinking else "the last answer came without reasoning")
        case "history":
            for message in conversation.messages:
                print(paint(message["role"], "strong") + "\n" + neutralise(message["content"]) + "\n")
        case "model":
            from hausgeist.cli.models import print_model

            print_model(conversation.model, chat.link.client().show(conversation.model))
        case other:
            raise InvalidRequest(f"/show knows settings, model, history and reasoning, not '{other}'.")


def _model(chat: Chat, rest: str) -> None:
    if rest:
        chat.link.client().show(rest)  # raises when it does not exist
        chat.conversation.model = rest
        note(f"talking to {rest} now; the conversation goes on")
        return
    for name in chat.models():
        say(("* " if name.removesuffix(":latest") == chat.conversation.model.removesuffix(":latest") else "  ") + name)
    hint("/model NAME switches")


def _retry(chat: Chat, rest: str) -> None:
    if not chat.conversation.take_back():
        raise InvalidRequest("nothing was asked yet.")
    chat.answer()


def _image(chat: Chat, rest: str) -> None:
    if not rest:
        raise InvalidRequest("name a file: /image ./photo.jpg")
    chat.attach(_file(rest))


def _save(chat: Chat, rest: str) -> None:
    if not rest:
        raise InvalidRequest("name a file: /save chat.json to load it again, /save chat.md to read it.")
    file = _file(rest)
    chat.conversation.save(file)
    note(f"saved to {file}")


def _load(chat: Chat, rest: str) -> None:
    if not rest:
        raise InvalidRequest("name a file that was saved with /save NAME.json.")
    chat.conversation.load(_file(rest))
    count = len(chat.conversation.messages)
    note(f"loaded {count} message{'s' if count != 1 else ''}; /show history shows them")


def _bye(chat: Chat, rest: str) -> None:
    raise Leave


def _file(text: str) -> Path:
    """A path as it is typed or dropped: quotes and backslashes as in a shell."""
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = [text]
    return Path(" ".join(parts)).expanduser()


COMMANDS: dict[str, ChatCommand] = {
    command.name: command
    for command in (
        ChatCommand("/help", "", "this page", _help),
        ChatCommand("/clear", "", "forget what was said", _clear),
        ChatCommand("/retry", "", "ask the last question again", _retry),
        ChatCommand("/system", "[TEXT]", "tell the model how to behave; none takes it back", _system),
        ChatCommand("/set", "[NAME VALUE]", "temperature and other settings", _set, (*OPTIONS, *_SWITCHES)),
        ChatCommand("/show", "[WHAT]", "settings, model, history or reasoning", _show, ("settings", "model", "history", "reasoning")),
        ChatCommand("/model", "[NAME]", "list the models, or talk to another", _model),
        ChatCommand("/image", "FILE", "send an image with the next message", _image),
        ChatCommand("/save", "FILE", "write the conversation to a file (.json or .md)", _save),
        ChatCommand("/load", "FILE", "go on with a saved conversation", _load),
        ChatCommand("/bye", "", "leave", _bye),
    )
}
_ALIASES = {"/?": "/help", "/exit": "/bye", "/quit": "/bye", "/q": "/bye", "/new": "/clear", "/regenerate": "/retry"}
