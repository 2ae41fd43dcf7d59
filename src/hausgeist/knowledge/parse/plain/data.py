"""JSON and lines of JSON: lists of like objects become tables, everything else lines of `name: value` under headings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

_MOST_COLUMNS = 60
_DEEPEST = 40
_LONG = 200


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The data."""
    draft = Draft(limits)
    text = decode(content(source, limits)).lstrip("\ufeff")
    media_type = "application/json"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        records = list(_records(draft, text))
        if not records:
            draft.code(text)
            draft.warn("The file is not valid JSON; its text was taken as it is.")
            return draft.parsed("application/json")
        media_type, value = "application/x-ndjson", records
    _Data(draft).add(value)
    return draft.parsed(media_type, guess=False)


def _records(draft: Draft, text: str) -> Iterator[object]:
    broken = 0
    found = False
    for number, line in enumerate(re.split(r"\r\n?|\n", text), 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
            found = True
        except (ValueError, RecursionError):
            broken += 1
            if found and broken <= 5:
                draft.warn(f"Line {number} is not valid JSON and was left out.")
            if not found and broken > 20:
                return


class _Data:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._cells = draft.limits.cells

    def add(self, value: object, path: tuple[str, ...] = ()) -> None:
        """A value at a place in the whole; `path` are the names that lead there."""
        if self._draft.full:
            return
        if len(path) > _DEEPEST:
            self._draft.code(_compact(value))
        elif isinstance(value, Mapping):
            self._object(value, path)
        elif isinstance(value, list):
            self._list(value, path)
        else:
            self._draft.paragraph(_shown(value))

    def _object(self, value: Mapping[str, object], path: tuple[str, ...]) -> None:
        lines: list[str] = []
        nested: list[tuple[str, object]] = []
        for key, one in value.items():
            if _is_plain(one):
                lines.append(f"{key}: {_shown(one)}")
            elif isinstance(one, list) and all(map(_is_plain, one)) and sum(len(_shown(item)) for item in one) < _LONG:
                lines.append(f"{key}: {', '.join(map(_shown, one))}")
            else:
                nested.append((key, one))
        for start in range(0, len(lines), 40):
            self._draft.paragraph("\n".join(lines[start : start + 40]))
        for key, one in nested:
            inner = (*path, key)
            self._draft.heading(" › ".join(inner[-4:]), min(len(inner), 6))
            self.add(one, inner)

    def _list(self, values: list[object], path: tuple[str, ...]) -> None:
        columns = _columns(values)
        if columns is not None:
            self._draft.table(self._rows(columns, values), header=1)
        elif values and all(isinstance(one, list) and all(map(_is_plain, one)) for one in values):
            self._draft.table(self._grid(values))
        else:
            for number, one in enumerate(values, 1):
                if self._draft.full:
                    return
                if _is_plain(one):
                    self._draft.item("• " + _shown(one))
                else:
                    if len(values) > 1:
                        self._draft.heading(" › ".join((*path, str(number))[-4:]), min(len(path) + 1, 6))
                    self.add(one, (*path, str(number)))

    def _rows(self, columns: Sequence[str], values: list[object]) -> Iterator[list[str]]:
        yield list(columns)
        for one in values:
            if isinstance(one, Mapping):
                if not self._room(len(columns)):
                    return
                yield [
                    _shown(one[column]) if column in one and _is_plain(one[column]) else _compact(one[column]) if column in one else ""
                    for column in columns
                ]

    def _grid(self, values: list[object]) -> Iterator[list[str]]:
        for one in values:
            if isinstance(one, list):
                if not self._room(len(one)):
                    return
                yield list(map(_shown, one))

    def _room(self, cells: int) -> bool:
        self._cells -= cells
        if self._cells < 0:
            self._draft.warn(f"The data has more than {self._draft.limits.cells} values in tables; the rest was left out.")
        return self._cells >= 0


def _columns(values: list[object]) -> list[str] | None:
    """The names of the columns, where the values are objects that are alike and nearly flat."""
    if len(values) < 2 or not all(isinstance(one, Mapping) for one in values):
        return None
    names: dict[str, int] = {}
    plain = total = 0
    for one in values:
        assert isinstance(one, Mapping)
        for key, inner in one.items():
            names[key] = names.get(key, 0) + 1
            total += 1
            plain += _is_plain(inner) and len(_shown(inner)) <= _LONG
        if len(names) > _MOST_COLUMNS:
            return None
    alike = total >= 0.5 * len(names) * len(values)
    return list(names) if names and alike and plain >= 0.9 * total else None


def _is_plain(value: object) -> bool:
    return not isinstance(value, dict | list)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _compact(value)


def _compact(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return ""
