"""A template's tree as Jinja, for what llama.cpp gives to chat templates: messages, tools, enable_thinking.

Every value has a type, which says how Go would print it and what a field of it is called there. All text goes out as string literals between
tags that strip what is around them, so that blanks are exactly Ollama's. Variables live in a namespace: Jinja's loops forget what is set in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final
from typing import Literal as OneOf

from hausgeist.library.templates.tree import (
    Action,
    Branch,
    Call,
    Field,
    Literal,
    Node,
    Operand,
    Pipe,
    Range,
    Text,
    Untranslatable,
    Variable,
    parse,
    walk,
)

__all__ = ["translate"]

Type = OneOf[
    "text", "number", "flag", "truth", "nothing", "messages", "message", "tools", "tool", "tool function", "schema", "properties", "property",
    "property type", "calls", "call", "call function", "arguments", "any", "texts",
]  # fmt: skip

_LONGEST: Final = 2**19
_LONGEST_VALUE: Final = 2**15
"""Some functions mention a value more than once, and one within the other could fill the memory."""
_MOST_LOOPS: Final = 4
"""Loops within loops: messages, calls, arguments, and one more. More would only cost whoever renders it."""
_MISSING: Final = "''"

_FIELDS: Final[dict[str, dict[str, tuple[str, Type]]]] = {
    "message": {
        "Role": ("role", "text"),
        "Content": ("content", "text"),
        "Thinking": ("thinking", "text"),
        "ToolCalls": ("tool_calls", "calls"),
        "ToolName": ("tool_name", "text"),
        "ToolCallID": ("tool_call_id", "text"),
    },
    "tool": {"Type": ("type", "text"), "Function": ("function", "tool function")},
    "tool function": {"Name": ("name", "text"), "Description": ("description", "text"), "Parameters": ("parameters", "schema")},
    "schema": {"Type": ("type", "text"), "Required": ("required", "texts"), "Properties": ("properties", "properties")},
    "property": {"Type": ("type", "property type"), "Description": ("description", "text"), "Enum": ("enum", "texts")},
    "call": {"ID": ("id", "text"), "Function": ("function", "call function")},
    "call function": {"Name": ("name", "text"), "Arguments": ("arguments", "arguments")},
}
"""Of each type of Ollama's: Go's name of a field, the name of it in Jinja, its type."""

_ELEMENTS: Final[dict[str, Type]] = {"messages": "message", "tools": "tool", "calls": "call", "texts": "text"}
_MAPS: Final[dict[str, Type]] = {"properties": "property", "arguments": "any"}
_JSON: Final = frozenset({"tools", "tool", "tool function", "schema", "properties", "arguments"})
"""What Ollama prints as JSON."""
_STRUCTS: Final = frozenset({"message", "tool", "tool function", "schema", "property", "call", "call function"})
"""What is never empty in Go."""
_COMPARED: Final = {"ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

_PROMPTED: Final = (
    "{%- set g = namespace(messages=[], system='', systems=0) -%}"
    "{%- for m in messages -%}"
    "{%- set role = 'system' if m.role == 'developer' else m.role -%}"
    "{%- set text = m.content if m.content is string else '' -%}"
    "{%- if role == 'system' -%}"
    "{%- set g.system = (g.system ~ '\\n\\n' ~ text) if g.systems else text -%}{%- set g.systems = g.systems + 1 -%}"
    "{%- endif -%}"
)
_MESSAGES: Final = _PROMPTED + (
    "{%- if g.messages and role != 'tool' and g.messages[-1].role == role -%}"
    "{%- set last = g.messages[-1] -%}"
    "{%- set g.messages = g.messages[:-1] + [{'role': role, 'content': last.content ~ '\\n\\n' ~ text, 'thinking': last.thinking, "
    "'tool_calls': last.tool_calls, 'tool_name': last.tool_name, 'tool_call_id': last.tool_call_id}] -%}"
    "{%- else -%}"
    "{%- set g.messages = g.messages + [{'role': role, 'content': text, 'thinking': m.reasoning_content or m.thinking or '', "
    "'tool_calls': m.tool_calls or [], 'tool_name': m.name or m.tool_name or '', 'tool_call_id': m.tool_call_id or ''}] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""What Ollama makes of the messages before a template sees them: system prompts as one, messages of one role in a row as one."""

_FLUSH: Final = "{%- set g.turns = g.turns + [{'system': g.system, 'prompt': g.prompt, 'response': g.response}] -%}"
_EMPTY: Final = "{%- set g.system = '' -%}{%- set g.prompt = '' -%}{%- set g.response = '' -%}"
_TURNS: Final = (
    "{%- set g = namespace(merged=[], turns=[], system='', prompt='', response='') -%}"
    "{%- for m in messages -%}"
    "{%- set role = 'system' if m.role == 'developer' else m.role -%}"
    "{%- set text = m.content if m.content is string else '' -%}"
    "{%- if g.merged and role != 'tool' and g.merged[-1].role == role -%}"
    "{%- set g.merged = g.merged[:-1] + [{'role': role, 'content': g.merged[-1].content ~ '\\n\\n' ~ text}] -%}"
    "{%- else -%}{%- set g.merged = g.merged + [{'role': role, 'content': text}] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- for m in g.merged -%}"
    "{%- if m.role == 'system' -%}"
    f"{{%- if g.prompt or g.response -%}}{_FLUSH}{_EMPTY}{{%- endif -%}}{{%- set g.system = m.content -%}}"
    f"{{%- elif m.role == 'user' -%}}{{%- if g.response -%}}{_FLUSH}{_EMPTY}{{%- endif -%}}{{%- set g.prompt = m.content -%}}"
    "{%- elif m.role == 'assistant' -%}{%- set g.response = m.content -%}{%- endif -%}"
    "{%- endfor -%}"
)
"""For templates of one turn: each turn's system prompt, prompt and response, and in `g` those of the last, which is open."""


@dataclass(frozen=True, slots=True)
class _Value:
    """An expression in Jinja, and what it is. A `truth` is for conditions only: it is some value of several kinds."""

    code: str
    type: Type

    def __post_init__(self) -> None:
        if len(self.code) > _LONGEST_VALUE:
            raise Untranslatable(f"a value would be longer than {_LONGEST_VALUE} characters")


_NIL: Final = _Value(_MISSING, "nothing")


def translate(text: str) -> str:
    """Raises `Untranslatable`."""
    nodes = parse(text)
    used = {name for pipe in _pipes(nodes) for name in _fields(pipe)}
    thinking = {
        "Think": _Value("(enable_thinking is defined and enable_thinking)", "flag"),
        "IsThinkSet": _Value("(enable_thinking is defined)", "flag"),
    }
    if "Messages" in used:
        root = {
            "Messages": _Value("g.messages", "messages"),
            "System": _Value("g.system", "text"),
            "Tools": _Value("(tools or [])", "tools"),
            **thinking,
        }
        return _bounded(chain([_MESSAGES], _Writer(root).nodes(nodes, None)))
    if "Response" not in used:
        nodes = [*nodes, Action(Pipe((Field(("Response",)),)))]
    names = ("System", "Prompt", "Response")
    before = {name: _Value(f"t.{name.lower()}", "text") for name in names}
    last = {name: _Value(f"g.{name.lower()}", "text") for name in names}
    first = _Writer({**before, **thinking})
    turns = chain(["{%- for t in g.turns -%}"], first.nodes(nodes, None), ["{%- endfor -%}"])
    cut = _Cut().nodes(nodes)
    return _bounded(chain([_TURNS], turns, _Writer({**last, **thinking}).nodes(cut, None)))


def _bounded(pieces: Iterable[str]) -> str:
    """All of them as one, made no further than to where it is too long."""
    found, length = [], 0
    for piece in pieces:
        found.append(piece)
        length += len(piece)
        if length > _LONGEST:
            raise Untranslatable(f"it would be longer than {_LONGEST} characters")
    return "".join(found)


class _Cut:
    """The last turn is open: all that follows the response is left out, as in Ollama."""

    def __init__(self) -> None:
        self._reached = False

    def nodes(self, nodes: list[Node]) -> list[Node]:
        kept: list[Node] = []
        for node in nodes:
            if self._reached:
                break
            if isinstance(node, Branch | Range):
                body = self.nodes(node.body)
                node = replace(node, body=body, otherwise=self.nodes(node.otherwise))
            elif isinstance(node, Action) and "Response" in set(_fields(node.pipe)):
                self._reached = True
            kept.append(node)
        return kept


class _Writer:
    """Nodes to Jinja. One per rendering of the tree."""

    def __init__(self, root: dict[str, _Value]) -> None:
        self._root = root
        self._scopes: list[dict[str, _Value]] = [{}]
        self._made = 0
        self._loops = 0

    def nodes(self, nodes: list[Node], dot: _Value | None) -> Iterator[str]:
        """`dot`: None stands for the root."""
        self._scopes.append({})
        for node in nodes:
            match node:
                case Text():
                    yield f"{{{{- {_quoted(node.text)} -}}}}"
                case Action():
                    yield self._action(node, dot)
                case Branch():
                    yield from self._branch(node, dot)
                case Range():
                    yield from self._range(node, dot)
        self._scopes.pop()

    def _action(self, node: Action, dot: _Value | None) -> str:
        value = self._pipe(node.pipe, dot)
        if not node.variable:
            return f"{{{{- {_printed(value)} -}}}}"
        if node.declares:
            return self._declare(node.variable, value)
        known = self._variable(node.variable)
        if known.type != value.type:
            raise Untranslatable(f"{node.variable} is set to a value of another kind")
        return f"{{%- set {known.code} = {value.code} -%}}"

    def _declare(self, name: str, value: _Value) -> str:
        self._made += 1
        code = f"g.v{self._made}"
        self._scopes[-1][name] = _Value(code, value.type)
        return f"{{%- set {code} = {value.code} -%}}"

    def _branch(self, node: Branch, dot: _Value | None) -> Iterator[str]:
        value = self._pipe(node.pipe, dot)
        self._scopes.append({})
        if node.variable or node.with_dot:
            self._made += 1
            yield f"{{%- set g.v{self._made} = {value.code} -%}}"
            value = _Value(f"g.v{self._made}", value.type)
        if node.variable:
            self._scopes[-1][node.variable] = value
        yield f"{{%- if {_condition(value)} -%}}"
        yield from self.nodes(node.body, value if node.with_dot else dot)
        if node.otherwise:
            yield "{%- else -%}"
            yield from self.nodes(node.otherwise, dot)
        yield "{%- endif -%}"
        self._scopes.pop()

    def _range(self, node: Range, dot: _Value | None) -> Iterator[str]:
        value = self._pipe(node.pipe, dot)
        self._made += 1
        name, key = f"d{self._made}", f"k{self._made}"
        self._loops += 1
        if self._loops > _MOST_LOOPS:
            raise Untranslatable(f"it has more than {_MOST_LOOPS} loops within each other")
        if value.type in _ELEMENTS:
            element, counted = _Value(name, _ELEMENTS[value.type]), _Value("loop.index0", "number")
            yield f"{{%- for {name} in {value.code} -%}}"
        elif value.type in _MAPS:
            element, counted = _Value(name, _MAPS[value.type]), _Value(key, "text")
            yield f"{{%- for {key}, {name} in ({value.code} or {{}}).items() -%}}"
        elif value.type == "nothing":
            element, counted = _NIL, _Value("loop.index0", "number")
            yield f"{{%- for {name} in [] -%}}"
        else:
            raise Untranslatable(f"a range goes over a {value.type}")
        self._scopes.append({})
        if node.key:
            yield self._declare(node.key, counted)
        if node.value:
            yield self._declare(node.value, element)
        yield from self.nodes(node.body, element)
        self._scopes.pop()
        self._loops -= 1
        if node.otherwise:
            yield "{%- else -%}"
            yield from self.nodes(node.otherwise, dot)
        yield "{%- endfor -%}"

    def _pipe(self, pipe: Pipe, dot: _Value | None) -> _Value:
        value: _Value | None = None
        for command in pipe.commands:
            if value is None:
                value = self._operand(command, dot)
            elif isinstance(command, Call):
                value = self._call(command.function, [*(self._operand(one, dot) for one in command.arguments), value])
            else:
                raise Untranslatable("a value is given to what is no function")
        assert value is not None
        return _of(value, pipe.names)

    def _operand(self, operand: Operand, dot: _Value | None) -> _Value:
        match operand:
            case Literal(value=None):
                return _NIL
            case Literal(value=bool() as flag):
                return _Value("true" if flag else "false", "flag")
            case Literal(value=int() as number):
                return _Value(str(number), "number")
            case Literal(value=str() as text):
                return _Value(_quoted(text), "text")
            case Field(names=names, root=root) if root or dot is None:
                if not names:
                    raise Untranslatable("all that the template is given is used as one value")
                return _of(self._root.get(names[0], _NIL), names[1:])
            case Field(names=names):
                assert dot is not None
                return _of(dot, names)
            case Variable(name=name, names=names):
                return _of(self._variable(name), names)
            case Call(function=function, arguments=arguments):
                return self._call(function, [self._operand(one, dot) for one in arguments])
            case Pipe():
                return self._pipe(operand, dot)
        raise Untranslatable("a value is not understood")

    def _variable(self, name: str) -> _Value:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        raise Untranslatable(f"{name} is not declared")

    def _call(self, function: str, given: list[_Value]) -> _Value:
        match function, given:
            case "not", [value]:
                return _Value(f"(not {_condition(value)})", "flag")
            case (("and" | "or"), [first, *_]):
                one_kind = all(value.type == first.type for value in given) and first.type in {"text", "number", "flag"}
                return _Value("(" + f" {function} ".join(_condition(value) for value in given) + ")", first.type if one_kind else "truth")
            case "eq", [first, *others] if others and len(first.code) * len(others) <= _LONGEST_VALUE:
                return _Value("(" + " or ".join(f"{first.code} == {other.code}" for other in others) + ")", "flag")
            case (("ne" | "lt" | "le" | "gt" | "ge"), [first, second]):
                return _Value(f"({first.code} {_COMPARED[function]} {second.code})", "flag")
            case "len", [value] if value.type in {*_ELEMENTS, *_MAPS, "text"}:
                return _Value(f"({value.code} | length)", "number")
            case "len", [value] if value.type == "nothing":
                return _Value("0", "number")
            case "slice", [value, start] if value.type in {*_ELEMENTS, "text"}:
                return _Value(f"{value.code}[{start.code}:]", value.type)
            case "slice", [value, start, end] if value.type in {*_ELEMENTS, "text"}:
                return _Value(f"{value.code}[{start.code}:{end.code}]", value.type)
            case "index", [value, at] if value.type in _ELEMENTS:
                return _Value(f"{value.code}[{at.code}]", _ELEMENTS[value.type])
            case "index", [value, at] if value.type in _MAPS:
                return _Value(f"{value.code}[{at.code}]", _MAPS[value.type])
            case "json", [value] if value.type in {*_JSON, "text", "texts", "number", "flag", "any", "property type"}:
                return _Value(_as_json(value), "text")
            case "print", [_, *_] if all(value.type == "text" for value in given):
                return _Value("(" + " ~ ".join(value.code for value in given) + ")", "text")
            case "printf", [first, *values] if first.type == "text":
                return _formatted(first.code, values)
            case "currentDate", []:
                return _Value("strftime_now('%Y-%m-%d')", "text")
        raise Untranslatable(f"'{function}' is not supported, or not as it is used")


def _of(value: _Value, names: tuple[str, ...]) -> _Value:
    for name in names:
        if value.type == "nothing":
            return _NIL
        try:
            inner, kind = _FIELDS[value.type][name]
        except KeyError:
            raise Untranslatable(f"a {value.type} has no field '{name}' here") from None
        value = _Value(f"{value.code}.{inner}", kind)
    return value


def _condition(value: _Value) -> str:
    """Whether Go takes it for true."""
    if value.type in _STRUCTS:
        return "true"
    return "false" if value.type == "nothing" else value.code


def _printed(value: _Value) -> str:
    match value.type:
        case "text":
            # What is not given is not printed; Jinja would print None.
            return f"({value.code} or '')" if "." in value.code and not value.code.startswith(("g.", "t.")) else value.code
        case "number":
            return value.code
        case "flag":
            return f"('true' if {value.code} else 'false')"
        case "nothing":
            return _MISSING
        case "any" | "property type":
            return f"({value.code} if {value.code} is string else {value.code} | tojson)"
        case kind if kind in _JSON:
            return _as_json(value)
    raise Untranslatable(f"a {value.type} is printed as a whole")


def _as_json(value: _Value) -> str:
    if value.type == "arguments":
        # Clients send them as text that is JSON already.
        return f"({value.code} if {value.code} is string else {value.code} | tojson)"
    return f"({value.code} | tojson)"


def _formatted(pattern: str, values: list[_Value]) -> _Value:
    """printf with %s, %d and %v for texts and numbers."""
    pieces: list[str] = []
    literal, rest = "", pattern[1:-1]
    left = list(values)
    while rest:
        if rest.startswith("%%"):
            literal, rest = literal + "%", rest[2:]
        elif rest.startswith(("%s", "%d", "%v")) and left and left[0].type in {"text", "number"}:
            pieces += [f"'{literal}'", left.pop(0).code]
            literal, rest = "", rest[2:]
        elif rest[0] in "%'":
            raise Untranslatable("'printf' has a pattern that is not supported")
        else:
            taken = 2 if rest[0] == "\\" else 1
            literal, rest = literal + rest[:taken], rest[taken:]
    if left:
        raise Untranslatable("'printf' has a pattern that is not supported")
    return _Value("(" + " ~ ".join([*pieces, f"'{literal}'"]) + ")", "text")


def _quoted(text: str) -> str:
    """A string literal of Jinja."""
    plain = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    if any(ord(character) < 32 for character in plain):
        raise Untranslatable("it holds control characters")
    return f"'{plain}'"


def _pipes(nodes: list[Node]) -> Iterator[Pipe]:
    for node in walk(nodes):
        if not isinstance(node, Text):
            yield node.pipe


def _fields(operand: Operand) -> Iterator[str]:
    """All names of fields in it."""
    match operand:
        case Field(names=names) | Variable(names=names):
            yield from names
        case Pipe(commands=commands, names=names):
            yield from names
            for command in commands:
                yield from _fields(command)
        case Call(arguments=arguments):
            for argument in arguments:
                yield from _fields(argument)
