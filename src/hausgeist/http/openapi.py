"""The OpenAPI 3.1 document, made from the endpoints when somebody asks for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hausgeist import __version__
from hausgeist.http.endpoint import Endpoint

__all__ = ["document"]

_PARAMETER = re.compile(r"{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<kind>[a-z]+))?}")
_KINDS = {"int": "integer", "float": "number"}
_TAGS = {"openai": "OpenAI", "anthropic": "Anthropic", "ollama": "Ollama", "house": "Hausgeist"}
_SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"key": []}, {"session": []}]


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """All of them. Where several tongues share a method and path, the one operation names them all."""
    from pydantic.json_schema import models_json_schema

    bodies = list(dict.fromkeys(endpoint.body for endpoint in endpoints if endpoint.body is not None))
    references, definitions = models_json_schema([(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        at = paths.setdefault(_PARAMETER.sub(lambda match: f"{{{match['name']}}}", endpoint.path), {})
        method = endpoint.method.lower()
        if method in at:
            at[method]["tags"].append(_TAGS[endpoint.dialect.name])
            at[method]["summary"] += f"; {endpoint.summary}"
            continue
        at[method] = _operation(endpoint, None if endpoint.body is None else references[(endpoint.body, "validation")])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hausgeist",
            "version": __version__,
            "description": "The OpenAI platform API, Anthropic's Messages and Ollama's API, on your own machine.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "session": {"type": "apiKey", "in": "cookie", "name": "hausgeist_session"},
            },
        },
    }


def _operation(endpoint: Endpoint, body: dict[str, Any] | None) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": match["name"], "in": "path", "required": True, "schema": {"type": _KINDS.get(match["kind"] or "", "string")}}
        for match in _PARAMETER.finditer(endpoint.path)
    ]
    parameters += [{"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in endpoint.query]
    name = endpoint.operations[0] if endpoint.operations else _PARAMETER.sub(r"\g<name>", endpoint.path).strip("/") or "root"
    operation: dict[str, Any] = {
        "operationId": re.sub(r"[^A-Za-z0-9]+", "_", f"{endpoint.dialect.name}_{endpoint.method.lower()}_{name}"),
        "summary": endpoint.summary,
        "tags": [_TAGS[endpoint.dialect.name]],
        "responses": {"default": {"description": "The result, or an error in the shape of this API."}},
        "security": [] if endpoint.open else _SECURITY,
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    elif endpoint.upload:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    return operation
