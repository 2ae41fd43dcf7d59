"""JSON Schemas that callers send, bounded by what it costs to turn them into a grammar and to follow it.

An engine weighs all alternatives that are open at a place at once, for all who use the model, and cannot be interrupted in it: a schema of a few
hundred bytes can have as many as there are atoms, and one that refers to itself ends the engine. Says nothing about whether a schema is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hausgeist.errors import InvalidRequest

__all__ = ["check_grammar"]

_ALTERNATIVES = 1000
"""At one place: values of an enum, branches of anyOf. As many values as OpenAI takes."""
_OPTIONAL = 200
"""Properties of one object that need not be there."""
_DEPTH = 100
_VALUES = 50_000
_NOTES = {"default", "example", "examples"}
_PATTERN = 1000
_REPEATED = 2000
"""Characters that a pattern asks for at most, its repetitions written out."""
_CHOICES = 16
"""Parts of a pattern that may be left out, one after another: each doubles the ways through it."""
_LOOSE = 50
"""The same with repetitions written out."""
_QUANTIFIER = re.compile(r"[*+?]|\{(\d{0,9})(,?)(\d{0,9})\}")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*+\]?", re.DOTALL)


def check_grammar(schema: Mapping[str, Any], param: str) -> None:
    """Raise `InvalidRequest` for a schema that an engine would take too long over, or never come back from."""
    _Cost(schema, param).check()


@dataclass
class _Cost:
    root: Mapping[str, Any]
    param: str
    _known: dict[int, int] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)

    def check(self) -> None:
        for node in self._nodes():
            if self._alternatives(node) > _ALTERNATIVES:
                raise self._fault(f"leaves more than {_ALTERNATIVES} alternatives open at one place")
            properties, required = node.get("properties"), node.get("required")
            if isinstance(properties, Mapping) and len(properties) > _OPTIONAL:
                named = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
                if len(properties.keys() - named) > _OPTIONAL:
                    raise self._fault(f"has an object with more than {_OPTIONAL} properties that are not required")
            if isinstance(pattern := node.get("pattern"), str):
                self._check_pattern(pattern)

    def _nodes(self) -> Iterator[Mapping[str, Any]]:
        """Everything in it that may be a schema; what is none costs nothing."""
        level: list[Any] = [self.root]
        left = _VALUES
        for _ in range(_DEPTH):
            deeper: list[Any] = []
            for value in level:
                left -= 1
                if isinstance(value, Mapping):
                    yield value
                    deeper += [inner for name, inner in value.items() if name not in _NOTES]
                elif isinstance(value, list):
                    deeper += value
            if left < 0:
                raise self._fault(f"holds more than {_VALUES} values")
            if not deeper:
                return
            level = deeper
        raise self._fault(f"is nested more than {_DEPTH} levels deep")

    def _alternatives(self, node: Any) -> int:
        """How many ways there are to begin; branches that begin with the same reference count each time, as the engine follows each."""
        if not isinstance(node, Mapping):
            return 1
        known = self._known.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise self._fault("refers to itself without anything between")
        if len(self._open) > _DEPTH:
            raise self._fault(f"has references that lead over more than {_DEPTH} steps")
        self._open.add(id(node))
        found = sum(self._alternatives(branch) for branch in self._branches(node))
        self._open.discard(id(node))
        for name in ("enum", "type"):
            if isinstance(values := node.get(name), list):
                found += len(values)
        self._known[id(node)] = found = max(1, min(found, _ALTERNATIVES + 1))
        return found

    def _branches(self, node: Mapping[str, Any]) -> Iterator[Any]:
        if isinstance(reference := node.get("$ref"), str):
            yield self._resolved(reference)
        for name in ("anyOf", "oneOf", "allOf"):
            if isinstance(branches := node.get(name), list):
                yield from branches

    def _resolved(self, reference: str) -> Any:
        """As the engine resolves it; a reference that leads nowhere is the engine's to refuse, one to another host is never followed."""
        target: Any = self.root
        if not reference.startswith("#"):
            return None
        for step in reference[1:].split("/")[1:]:
            if isinstance(target, Mapping):
                target = target.get(step)
            elif isinstance(target, list) and step.isascii() and step.isdigit() and len(step) < 9 and int(step) < len(target):
                target = target[int(step)]
            else:
                return None
        return target

    def _check_pattern(self, pattern: str) -> None:
        if len(pattern) > _PATTERN:
            raise self._fault(f"has a pattern of more than {_PATTERN} characters")
        cost = _pattern(pattern)
        if cost.length > _REPEATED:
            raise self._fault(f"has a pattern that repeats something more than {_REPEATED} times in all")
        if cost.choices > _CHOICES or cost.loose > _LOOSE:
            raise self._fault("has a pattern with too many parts that may be left out")

    def _fault(self, what: str) -> InvalidRequest:
        return InvalidRequest(f"'{self.param}': the schema {what}, which would keep the engine busy for too long. Simplify it.", param=self.param)


@dataclass(slots=True)
class _Part:
    """Of a pattern. `length`: characters, repetitions written out; `choices`, `loose`: see the limits."""

    length: int = 0
    choices: int = 0
    loose: int = 0

    def add(self, other: _Part) -> None:
        self.length += other.length
        self.choices += other.choices
        self.loose += other.loose

    def repeat(self, least: int, most: int | None) -> None:
        """`most` None: without end, which is a rule of its own and not written out."""
        times = max(1, least if most is None else most)
        self.length *= times
        self.loose *= times
        if most is None or most > least:
            self.choices += 1
            self.loose += 1


def _pattern(text: str) -> _Part:
    """The cost of a regular expression. Takes broken ones as well: it has no opinion on them."""
    frames: list[tuple[_Part, _Part]] = []
    whole, branch, last = _Part(), _Part(), _Part()

    def close() -> None:
        """A branch ends: one with nothing in it makes the others optional."""
        branch.add(last)
        if branch.length == 0 and text:
            whole.choices, whole.loose = whole.choices + 1, whole.loose + 1
        whole.add(branch)

    position = 0
    while position < len(text):
        letter = text[position]
        found = _QUANTIFIER.match(text, position)
        if found is not None:
            last.repeat(*_bounds(found))
            position = found.end()
        elif letter == "(":
            branch.add(last)
            frames.append((whole, branch))
            whole, branch, last = _Part(), _Part(), _Part()
            position += 3 if text.startswith("?:", position + 1) else 1
        elif letter == ")" and frames:
            close()
            group = whole
            whole, branch = frames.pop()
            last = group
            position += 1
        elif letter == "|":
            close()
            branch, last = _Part(), _Part()
            position += 1
        else:
            branch.add(last)
            anchor = letter in "^$"
            last = _Part(length=0 if anchor else 1)
            position = _CLASS.match(text, position).end() if letter == "[" else position + (2 if letter == "\\" else 1)  # type: ignore[union-attr]
    close()
    for outer, before in frames:  # groups that were never closed
        whole.add(outer)
        whole.add(before)
    return whole


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    match found.group():
        case "*":
            return 0, None
        case "+":
            return 1, 1  # one or more of something is no way around it
        case "?":
            return 0, 1
    least = int(found[1] or 0)
    return least, (int(found[3]) if found[3] else None) if found[2] else least
