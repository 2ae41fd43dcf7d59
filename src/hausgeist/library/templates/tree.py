"""What a template says, as a tree: Go's text/template, without what no chat template uses (define, template, block, break, continue).

Owns the grammar and its bounds. What the fields mean is `jinja`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

__all__ = [
    "Action",
    "Branch",
    "Call",
    "Field",
    "Literal",
    "Node",
    "Operand",
    "Pipe",
    "Range",
    "Text",
    "Untranslatable",
    "Variable",
    "is_go",
    "parse",
    "walk",
]

_LONGEST: Final = 2**17
_MOST_NODES: Final = 5000
_DEEPEST: Final = 40
_BLANK: Final = " \t\r\n"
_GO: Final = re.compile(r"\{\{-?\s*(?:/\*|if\b|else\b|end\b|range\b|with\b|template\b|define\b|block\b|\.[A-Z]|\$)")

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<raw>`[^`]*`)
    |(?P<number>-?\d{1,9}(?![\w.]))
    |(?P<variable>\$\w*)
    |(?P<field>\.[A-Za-z_]\w*)
    |(?P<dot>\.(?![\w.]))
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>:=|[=|(),])""",
    re.VERBOSE | re.ASCII,
)
_FOREIGN: Final = frozenset({"define", "template", "block", "break", "continue"})


class Untranslatable(Exception):
    """This template cannot be translated; the message says what in it."""


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B` of the dot, or with `root` of what the template was given; no names: the dot itself."""

    names: tuple[str, ...]
    root: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name.A.B`."""

    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, a whole number, true, false or nil."""

    value: str | int | bool | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    function: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each given the value of the one before as its last argument; `names`: fields of the whole, where it stood in parentheses."""

    commands: tuple[Operand, ...]
    names: tuple[str, ...] = ()


Operand: TypeAlias = Field | Variable | Literal | Call | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A value that is printed, or kept in a variable: `declares` for `:=`, else `=`."""

    pipe: Pipe
    variable: str = ""
    declares: bool = False


@dataclass(slots=True)
class Branch:
    """`if`, or `with`, which makes the value the dot."""

    pipe: Pipe
    variable: str
    with_dot: bool
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Range:
    pipe: Pipe
    key: str
    value: str
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


Node: TypeAlias = Text | Action | Branch | Range


def is_go(text: str) -> bool:
    """Whether this looks like Go's language and not like Jinja."""
    return _GO.search(text) is not None


def parse(text: str) -> list[Node]:
    """Raises `Untranslatable`."""
    if len(text) > _LONGEST:
        raise Untranslatable(f"it is longer than {_LONGEST} characters")
    return _Parser(list(_pieces(text))).template()


def walk(nodes: list[Node]) -> Iterator[Node]:
    """All nodes in the order of the text."""
    for node in nodes:
        yield node
        if isinstance(node, Branch | Range):
            yield from walk(node.body)
            yield from walk(node.otherwise)


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Text, and what stood between braces (True); blanks are gone where a dash says so."""
    at, trim = 0, False
    while True:
        start = text.find("{{", at)
        literal = text[at:] if start < 0 else text[at:start]
        if trim:
            literal = literal.lstrip(_BLANK)
        if start < 0:
            yield False, literal
            return
        at = start + 2
        if text.startswith("-", at) and text[at + 1 : at + 2] in {*_BLANK}:
            literal, at = literal.rstrip(_BLANK), at + 1
        yield False, literal
        end = _end(text, at)
        inside = text[at:end]
        trim = inside.endswith("-") and inside[-2:-1] in {*_BLANK}
        yield True, inside[:-1] if trim else inside
        at = end + 2


def _end(text: str, at: int) -> int:
    """Where the closing braces are, not counting those in strings and comments."""
    while at < len(text):
        if text.startswith("}}", at):
            return at
        if text.startswith("/*", at):
            at = text.find("*/", at) + 2
            if at < 2:
                break
        elif text[at] in '"`':
            found = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`').match(text, at)
            if found is None:
                break
            at = found.end()
        else:
            at += 1
    raise Untranslatable("an action has no end")


class _Parser:
    """Recursive descent over the pieces, and over the tokens of the piece at hand."""

    def __init__(self, pieces: list[tuple[bool, str]]) -> None:
        self._pieces = pieces
        self._at = 0
        self._nodes = 0
        self._tokens: list[tuple[str, str]] = []

    def template(self) -> list[Node]:
        nodes, closing = self._list(0)
        if closing:
            raise Untranslatable(f"there is '{closing}' without a beginning")
        return nodes

    def _list(self, depth: int) -> tuple[list[Node], str]:
        """Nodes up to `else` or `end` of this level, or to the end (''). The rest of an `else` stays in the tokens."""
        if depth > _DEEPEST:
            raise Untranslatable(f"it is nested more than {_DEEPEST} deep")
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            action, text = self._pieces[self._at]
            self._at += 1
            self._nodes += 1
            if self._nodes > _MOST_NODES:
                raise Untranslatable(f"it has more than {_MOST_NODES} parts")
            if not action:
                if text:
                    nodes.append(Text(text))
                continue
            if re.fullmatch(r"\s*/\*.*\*/\s*", text, re.DOTALL):
                continue
            self._tokens = _tokens(text)
            word = self._tokens[0][1] if self._tokens and self._tokens[0][0] == "word" else ""
            if word in {"end", "else"}:
                self._tokens.pop(0)
                if word == "end":
                    self._finished()
                return nodes, word
            nodes.append(self._node(word, depth))
        return nodes, ""

    def _node(self, word: str, depth: int) -> Node:
        if word in _FOREIGN:
            raise Untranslatable(f"'{word}' is not supported")
        if word in {"if", "with"}:
            self._tokens.pop(0)
            return self._branch(word, depth)
        if word == "range":
            self._tokens.pop(0)
            return self._range(depth)
        name, declares, pipe = self._assignment()
        self._finished()
        return Action(pipe, name, declares)

    def _branch(self, word: str, depth: int) -> Branch:
        name, declares, pipe = self._assignment()
        if name and not declares:
            raise Untranslatable("a variable is set within a condition")
        self._finished()
        branch = Branch(pipe, name, word == "with")
        branch.body, closing = self._list(depth + 1)
        if closing == "else":
            again = self._tokens[0][1] if self._tokens else ""
            if again in {"if", "with"}:
                self._tokens.pop(0)
                if depth >= _DEEPEST:
                    raise Untranslatable(f"it is nested more than {_DEEPEST} deep")
                branch.otherwise = [self._branch(again, depth + 1)]
                return branch
            self._finished()
            branch.otherwise, closing = self._list(depth + 1)
        if closing != "end":
            raise Untranslatable(f"'{word}' has no end")
        return branch

    def _range(self, depth: int) -> Range:
        names: list[str] = []
        if self._tokens[:1] and self._tokens[0][0] == "variable" and ("mark", ":=") in self._tokens:
            while self._tokens and self._tokens[0] != ("mark", ":="):
                kind, text = self._tokens.pop(0)
                if kind == "variable":
                    names.append(text)
                elif (kind, text) != ("mark", ","):
                    raise Untranslatable("a range has variables that are not understood")
            self._tokens.pop(0)
        if len(names) > 2 or "$" in names:
            raise Untranslatable("a range has variables that are not understood")
        pipe = self._pipe(0)
        self._finished()
        node = Range(pipe, names[0] if len(names) == 2 else "", names[-1] if names else "")
        node.body, closing = self._list(depth + 1)
        if closing == "else":
            self._finished()
            node.otherwise, closing = self._list(depth + 1)
        if closing != "end":
            raise Untranslatable("'range' has no end")
        return node

    def _assignment(self) -> tuple[str, bool, Pipe]:
        """The variable that is set, if any, whether it is a new one, and the value."""
        match self._tokens[:2]:
            case [("variable", name), ("mark", ":=" | "=" as sign)] if name != "$":
                del self._tokens[:2]
                return name, sign == ":=", self._pipe(0)
        return "", False, self._pipe(0)

    def _pipe(self, depth: int) -> Pipe:
        if depth > _DEEPEST:
            raise Untranslatable(f"it is nested more than {_DEEPEST} deep")
        commands = [self._command(depth)]
        while self._tokens and self._tokens[0] == ("mark", "|"):
            self._tokens.pop(0)
            commands.append(self._command(depth))
        return Pipe(tuple(commands))

    def _command(self, depth: int) -> Operand:
        if self._tokens and self._tokens[0][0] == "word" and self._tokens[0][1] not in {"true", "false", "nil"}:
            function = self._tokens.pop(0)[1]
            arguments: list[Operand] = []
            while self._tokens and self._tokens[0] not in {("mark", "|"), ("mark", ")")}:
                arguments.append(self._operand(depth))
            return Call(function, tuple(arguments))
        operand = self._operand(depth)
        if self._tokens and self._tokens[0] not in {("mark", "|"), ("mark", ")")}:
            raise Untranslatable("a value is called like a function")
        return operand

    def _operand(self, depth: int) -> Operand:
        if not self._tokens:
            raise Untranslatable("a value is missing")
        kind, text = self._tokens.pop(0)
        match kind:
            case "string":
                return Literal(_unquoted(text))
            case "raw":
                return Literal(text[1:-1].replace("\r", ""))
            case "number":
                return Literal(int(text))
            case "dot":
                return Field(())
            case "field":
                return Field((text[1:], *self._names()))
            case "variable":
                return Field(self._names(), root=True) if text == "$" else Variable(text, self._names())
            case "word" if text in {"true", "false", "nil"}:
                return Literal({"true": True, "false": False, "nil": None}[text])
            case "word":
                return Call(text, ())
            case "mark" if text == "(":
                inner = self._pipe(depth + 1)
                if not self._tokens or self._tokens.pop(0) != ("mark", ")"):
                    raise Untranslatable("a parenthesis is not closed")
                return Pipe(inner.commands, self._names())
        raise Untranslatable(f"'{text}' stands where a value should")

    def _names(self) -> tuple[str, ...]:
        """Fields that follow without a blank between."""
        names = []
        while self._tokens and self._tokens[0][0] == "more":
            names.append(self._tokens.pop(0)[1][1:])
        return tuple(names)

    def _finished(self) -> None:
        if self._tokens:
            raise Untranslatable(f"'{self._tokens[0][1][:20]}' stands where an action should end")


def _tokens(text: str) -> list[tuple[str, str]]:
    """The tokens of an action. A field that follows a value without a blank between is of the kind "more"."""
    found: list[tuple[str, str]] = []
    at, joined = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise Untranslatable("an action is not understood")
        kind, at = match.lastgroup, match.end()
        if kind != "space":
            found.append(("more" if kind == "field" and joined else kind, match[0]))
        joined = kind in {"field", "variable"} or match[0] == ")"
    if not found:
        raise Untranslatable("an action is empty")
    return found


def _unquoted(text: str) -> str:
    """A string in Go's quotes, whose usual escapes are JSON's."""
    try:
        found = str(json.loads(text))
        found.encode()  # half of a surrogate pair is no text that could ever be sent
        return found
    except ValueError:
        raise Untranslatable("a string has an escape that is not understood") from None
