"""JSON Schemas that callers send: bounded before the engine makes a grammar of them, and honest where `strict` promises more than it keeps.

llama.cpp turns a schema into a grammar. What the grammar does not express it drops without a word; under `strict` that is refused here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.grammars import check_grammar

__all__ = ["check_plain", "check_schema"]

_NODES = 20_000
_DEPTH = 64
_LOCAL = re.compile(r"#/")
_UUID = re.compile(r"uuid[1-5]?")
_FORMATS = {"date", "time", "date-time"}
_ENFORCED = {
    *("$ref", "type", "const", "enum", "anyOf", "oneOf", "allOf", "properties", "required", "additionalProperties"),
    *("items", "prefixItems", "minItems", "maxItems", "pattern", "minLength", "maxLength", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_NOTES = {
    *("$defs", "definitions", "$schema", "$id", "$comment", "$anchor", "title", "description", "default", "examples", "example"),
    *("deprecated", "readOnly", "writeOnly", "discriminator", "nullable"),
}
"""Say nothing about which values are valid."""
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def check_plain(value: Any, param: str) -> None:
    """Raise `InvalidRequest` unless a free-form JSON value is of reasonable size and finite."""
    left = _NODES
    level: list[Any] = [value]
    for _ in range(_DEPTH):
        deeper: list[Any] = []
        for item in level:
            left -= 1
            if isinstance(item, Mapping):
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
            elif _too_large(item):
                raise InvalidRequest(f"'{param}' contains a number that is too large.", param=param)
        if left < 0:
            raise InvalidRequest(f"'{param}' is too large: at most {_NODES} values are accepted.", param=param)
        if not deeper:
            return
        level = deeper
    raise InvalidRequest(f"'{param}' is nested more than {_DEPTH} levels deep.", param=param)


def _too_large(item: Any) -> bool:
    return not math.isfinite(item) if isinstance(item, float) else isinstance(item, int) and abs(item) >= 2**63


def check_schema(schema: Mapping[str, Any], param: str, *, strict: bool) -> None:
    """Raise `InvalidRequest` for a schema that no engine could use, `NotSupported` for one that `strict` could not keep."""
    check_plain(schema, param)
    check_grammar(schema, param)
    for place, node in _schemas(schema, "", _DEPTH):
        where = f"{param}{place}"
        if isinstance(node, bool):
            if node is False:
                raise NotSupported(f"'{where}': the schema 'false' cannot be turned into a grammar; leave it out.", param=param)
            continue
        if not isinstance(node, Mapping):
            raise InvalidRequest(f"'{where}' is not a JSON Schema: an object is needed.", param=param)
        reference = node.get("$ref")
        if reference is not None and not (isinstance(reference, str) and _LOCAL.match(reference) and _resolves(schema, reference)):
            raise InvalidRequest(
                f"'{where}': the $ref {str(reference)[:80]!r} does not lead to a place in this schema, such as '#/$defs/NAME'.", param=param
            )
        if strict:
            _demand_enforced(node, where, param)


def _demand_enforced(node: Mapping[str, Any], where: str, param: str) -> None:
    loose = sorted(node.keys() - _ENFORCED - _NOTES)
    kinds = node.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "number" in kinds:
        loose += [name for name in _BOUNDS if name in node]
    form = node.get("format")
    if isinstance(form, str) and form not in _FORMATS and not _UUID.fullmatch(form):
        loose.append(f"format: {form}")
    if "pattern" in node:
        pattern = str(node["pattern"])
        if not (pattern.startswith("^") and pattern.endswith("$")):
            loose.append("pattern without ^ and $")
        loose += [name for name in ("minLength", "maxLength", "format") if name in node]
    if loose:
        raise NotSupported(
            f"'{where}': with strict = true the answer must keep '{loose[0][:60]}', which this engine's grammars cannot promise. "
            "Leave it out of the schema, or set strict to false.",
            param=param,
        )


def _schemas(node: Any, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Every schema within a schema, with its place. `depth` was checked before; it bounds the recursion all the same."""
    yield place, node
    if not isinstance(node, Mapping) or depth == 0:
        return
    for name in ("properties", "$defs", "definitions"):
        inner = node.get(name)
        if isinstance(inner, Mapping):
            for key, value in inner.items():
                yield from _schemas(value, f"{place}.{name}.{key[:60]}", depth - 1)
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inner = node.get(name)
        if isinstance(inner, list):
            for number, value in enumerate(inner):
                yield from _schemas(value, f"{place}.{name}.{number}", depth - 1)
    items = node.get("items")
    for number, value in enumerate(items if isinstance(items, list) else [] if items is None else [items]):
        yield from _schemas(value, f"{place}.items.{number}", depth - 1)
    if isinstance(node.get("additionalProperties"), Mapping):
        yield from _schemas(node["additionalProperties"], f"{place}.additionalProperties", depth - 1)


def _resolves(root: Any, reference: str) -> bool:
    """As the engine resolves it: keys taken as they stand, without JSON Pointer's escapes."""
    target = root
    for step in reference[2:].split("/"):
        if isinstance(target, Mapping) and step in target:
            target = target[step]
        elif isinstance(target, list) and step.isdigit() and int(step) < len(target):
            target = target[int(step)]
        else:
            return False
    return True
