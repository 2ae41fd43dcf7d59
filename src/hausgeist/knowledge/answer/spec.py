"""The tool "file_search" in a request, as the SDK's FileSearchToolParam has it: every field checked before anything is searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hausgeist.errors import InvalidRequest, NotSupported

__all__ = ["FileSearchSpec", "parse_spec"]

_DEPTH: Final = 8
"""Of filters within filters."""
_MOST_FILTERS: Final = 100

Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class HybridSearch(_Part):
    embedding_weight: float = Field(ge=0)
    text_weight: float = Field(ge=0)


class RankingOptions(_Part):
    ranker: Literal["auto", "default-2024-11-15"] | None = None
    score_threshold: float | None = Field(None, ge=0, le=1)
    hybrid_search: HybridSearch | None = None


class FileSearchSpec(_Part):
    type: Literal["file_search"]
    vector_store_ids: list[Id] = Field(min_length=1, max_length=100)
    filters: dict[str, Any] | None = None
    max_num_results: int | None = Field(None, ge=1, le=50)
    ranking_options: RankingOptions | None = None

    @property
    def limit(self) -> int:
        return self.max_num_results or 10

    @property
    def threshold(self) -> float:
        return (self.ranking_options.score_threshold if self.ranking_options else None) or 0.0


_FIELDS: Final = {*FileSearchSpec.model_fields, *RankingOptions.model_fields, *HybridSearch.model_fields}


def parse_spec(spec: Mapping[str, Any], param: str) -> FileSearchSpec:
    """Raises `InvalidRequest` that names the place."""
    try:
        found = FileSearchSpec.model_validate(dict(spec))
    except ValidationError as error:
        worst = max(error.errors(include_url=False, include_context=False, include_input=False), key=lambda one: len(one["loc"]))
        place = ".".join([param, *(str(part) for part in worst["loc"] if part in _FIELDS)])
        if worst["type"] == "extra_forbidden":
            raise InvalidRequest(f"{param}: there is no such parameter '{str(worst['loc'][-1])[:60]}'; leave it out", param=param) from error
        if worst["type"] == "missing":
            raise InvalidRequest(f"{place}: this field is required", param=place) from error
        raise InvalidRequest(f"{place}: {worst['msg']}", param=place) from error
    if found.ranking_options is not None and found.ranking_options.hybrid_search is not None:
        place = f"{param}.ranking_options.hybrid_search"
        raise NotSupported(f"'{place}' is not supported here: words and vectors are weighed by what they are worth in each language.", param=place)
    if found.filters is not None:
        _check_filter(found.filters, f"{param}.filters", 0, [0])
    return found


def _check_filter(given: Any, place: str, depth: int, seen: list[int]) -> None:
    seen[0] += 1
    if depth > _DEPTH or seen[0] > _MOST_FILTERS:
        raise InvalidRequest(f"{place}: filters may be {_DEPTH} deep and {_MOST_FILTERS} together; say it with fewer", param=place)
    kind = given.get("type") if isinstance(given, Mapping) else None
    match kind:
        case "and" | "or":
            if set(given) != {"type", "filters"} or not isinstance(given["filters"], list) or not given["filters"]:
                raise InvalidRequest(f"{place}: a filter of type '{kind}' has the field 'filters', a list, and no other", param=place)
            for number, one in enumerate(given["filters"]):
                _check_filter(one, f"{place}.filters.{number}", depth + 1, seen)
        case "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin":
            if set(given) != {"type", "key", "value"} or not isinstance(given["key"], str) or not 0 < len(given["key"]) <= 64:
                raise InvalidRequest(f"{place}: a filter of type '{kind}' has the fields 'key' and 'value', and no other", param=place)
            value = given["value"]
            fits = (
                isinstance(value, list) and all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in value)
                if kind in ("in", "nin")
                else isinstance(value, str | int | float)
            )
            if not fits:
                wanted = "a list of texts or numbers" if kind in ("in", "nin") else "a text, a number or a truth value"
                raise InvalidRequest(f"{place}.value: a filter of type '{kind}' compares with {wanted}", param=f"{place}.value")
        case _:
            raise InvalidRequest(f"{place}.type: one of eq, ne, gt, gte, lt, lte, in, nin, and, or is needed", param=place)
