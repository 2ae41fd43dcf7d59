"""Modelfiles, in which Ollama's users describe models: FROM, PARAMETER, TEMPLATE, SYSTEM, ADAPTER, MESSAGE, LICENSE. Text to value and back.

Knows the syntax. What a FROM points to, and whether a template can be used, is not decided here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.parameters import PARAMETERS, ROLES, checked_parameters

__all__ = ["Modelfile", "parse", "render"]

_LARGEST: Final = 8 * 2**20
_TRIPLE: Final = '"""'
_LATER: Final = {"renderer": "how a model is rendered is said by its chat template", "parser": "how answers are read is found out by the engine"}
_IGNORED: Final = {"requires"}
"""Says which version of Ollama it was written for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelfile:
    """`sources`: what stands after FROM, a model or files. Parameters in the form that `library.parameters` checks."""

    sources: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, str], ...] = ()
    licences: tuple[str, ...] = ()


def parse(text: str) -> Modelfile:
    """Raises `InvalidRequest` naming the line. Instructions are taken in whatever case; a later TEMPLATE or SYSTEM replaces an earlier one."""
    if len(text) > _LARGEST:
        raise InvalidRequest(f"A Modelfile has at most {_LARGEST} characters, this one has {len(text)}.")
    parts: dict[str, list[str]] = {"from": [], "adapter": [], "license": [], "template": [], "system": []}
    parameters: dict[str, Any] = {}
    messages: list[Mapping[str, str]] = []
    for line, word, value in _instructions(text):
        match word:
            case "parameter":
                _add_parameter(parameters, value, line)
            case "message":
                messages.append(_message(value, line))
            case _ if word in parts:
                parts[word].append(value)
            case _ if word in _LATER:
                raise _wrong(line, f"{word.upper()} is not known here: {_LATER[word]}. Leave it out")
            case _ if word not in _IGNORED:
                known = "FROM, PARAMETER, TEMPLATE, SYSTEM, ADAPTER, MESSAGE and LICENSE"
                raise _wrong(line, f"'{shown(word.upper(), 40)}' is no instruction; there are {known}")
    if not parts["from"]:
        raise InvalidRequest("The Modelfile has no FROM line, which says what the model is made from (a name, or a GGUF file).")
    return Modelfile(
        sources=tuple(parts["from"]),
        adapters=tuple(parts["adapter"]),
        template=parts["template"][-1] if parts["template"] else None,
        system=parts["system"][-1] if parts["system"] else None,
        parameters=parameters,
        messages=tuple(messages),
        licences=tuple(parts["license"]),
    )


def render(file: Modelfile, *, comment: str = "") -> str:
    """The text, which parses back to the same. Raises `InvalidRequest` for a value that no Modelfile can hold."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"FROM {_quoted(source)}" for source in file.sources]
    lines += [f"ADAPTER {_quoted(adapter)}" for adapter in file.adapters]
    for word, value in (("TEMPLATE", file.template), ("SYSTEM", file.system)):
        if value is not None:
            lines.append(f"{word} {_quoted(value, triple=True)}")
    for name, value in sorted(file.parameters.items()):
        for one in value if isinstance(value, (list, tuple)) else [value]:
            lines.append(f"PARAMETER {name} {_quoted(one) if isinstance(one, str) else json.dumps(one)}")
    lines += [f"MESSAGE {message['role']} {_quoted(message['content'])}" for message in file.messages]
    lines += [f"LICENSE {_quoted(licence, triple=True)}" for licence in file.licences]
    return "\n".join(lines) + "\n"


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, word in lower case, value). A value goes on over lines until the quotes that it began with are closed."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        start, line = index + 1, lines[index].strip()
        index += 1
        if not line or line.startswith("#"):
            continue
        word, *rest = line.split(maxsplit=1)
        lead, raw = _lead(word, lines[start - 1].lstrip()[len(word) :], start)
        if (value := _unquoted(raw)) is None:
            more = _up_to_quotes(lines, index, _TRIPLE if raw.startswith(_TRIPLE) else '"')
            if more is None:
                raise _wrong(start, f"{word.upper()} has a text whose closing quotes are missing")
            value = _unquoted("\n".join([raw, *lines[index:more]])) or ""
            index = more
        if not value and not rest:
            raise _wrong(start, f"{word.upper()} says nothing")
        yield start, word.lower(), f"{lead} {value}" if lead else value


def _lead(word: str, rest: str, line: int) -> tuple[str, str]:
    """PARAMETER and MESSAGE have a name before their value."""
    rest = rest.lstrip()
    if word.lower() not in {"parameter", "message"}:
        return "", rest
    name, *value = rest.split(maxsplit=1)[:2] if rest.strip() else [""]
    if not name or not value:
        what = "a name and a value" if word.lower() == "parameter" else f"who speaks ({', '.join(ROLES)}) and a text"
        raise _wrong(line, f"{word.upper()} takes {what}")
    return name, rest[len(name) :].lstrip()


def _up_to_quotes(lines: list[str], index: int, quotes: str) -> int | None:
    """Behind the line from `index` on that ends with the quotes. Each is looked at once: texts of models may have a million."""
    return next((number + 1 for number in range(index, len(lines)) if lines[number].rstrip().endswith(quotes)), None)


def _unquoted(raw: str) -> str | None:
    """The value, or `None` while its quotes are not closed."""
    text = raw.strip()
    for quotes in (_TRIPLE, '"'):
        if text.startswith(quotes):
            closed = len(text) >= 2 * len(quotes) and text.endswith(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text


def _quoted(value: str, *, triple: bool = False) -> str:
    """The first way to write a value that reads as the same: bare where that is possible, as Ollama writes it where it is not."""
    candidates = [f"{_TRIPLE}{value}{_TRIPLE}", f'"{value}"', value]
    for candidate in candidates if triple else reversed(candidates):
        if _reads_as(candidate, value):
            return candidate
    raise InvalidRequest(
        f"'{shown(value, 60)}' cannot be written in a Modelfile: it has three quotes at the end of a line, or ends lines in a strange way."
    )


def _reads_as(candidate: str, value: str) -> bool:
    try:
        found = list(_instructions(f"SYSTEM {candidate}\n"))
    except InvalidRequest:
        return False
    return found == [(1, "system", value)]


def _add_parameter(parameters: dict[str, Any], text: str, line: int) -> None:
    name, _, value = text.partition(" ")
    name = name.lower()
    kind = PARAMETERS.get(name)
    given: Any = value
    if kind != "texts":
        try:
            given = float(value) if kind == "number" or "." in value else int(value)
        except (ValueError, OverflowError):
            given = value
    try:
        checked = checked_parameters({name: given})
    except InvalidRequest as error:
        raise _wrong(line, error.message.rstrip(".")) from error
    if kind == "texts":
        checked[name] = [*parameters.get(name, ()), *checked[name]]
    parameters.update(checked)


def _message(text: str, line: int) -> Mapping[str, str]:
    role, _, content = text.partition(" ")
    if role.lower() not in ROLES:
        raise _wrong(line, f"MESSAGE begins with who speaks, {', '.join(ROLES)}, and not '{shown(role, 40)}'")
    if not content:
        raise _wrong(line, "MESSAGE has no text")
    return {"role": role.lower(), "content": content}


def _wrong(line: int, what: str) -> InvalidRequest:
    return InvalidRequest(f"Line {line} of the Modelfile: {what}.")
