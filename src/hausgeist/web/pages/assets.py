"""The files that pages load: styles, scripts, the modules from elsewhere that are served from here. Their addresses name their content.

All addresses begin with a digest over all files, so browsers keep each one for as long as it is right, and never a mixture of two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from hausgeist.errors import NotFound
from hausgeist.http.packing import unpacks

__all__ = ["Assets"]

_IMPORT: Final = re.compile(rb"""^\s*(?:import|export)\b[^'"();]*?['"](\.{1,2}/[^'"]+)['"]""", re.MULTILINE)
"""Of what is imported always. What is imported when it is needed, `import(...)`, is not."""
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".woff2": "font/woff2", ".svg": "image/svg+xml"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_SMALL: Final = 200


class Assets:
    """Reads them when the first page is asked for."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    @cached_property
    def _files(self) -> Mapping[str, bytes]:
        with as_file(files("hausgeist.web") / "static") as folder:
            return dict(_read(folder))

    @cached_property
    def base(self) -> str:
        """Where they are: /static/<digest>/"""
        digest = hashlib.sha256()
        for name, content in sorted(self._files.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        return f"/static/{digest.hexdigest()[:12]}/"

    def graph(self, script: str) -> list[str]:
        """A script and all that it imports, so that the browser can ask for them at once. Raises `KeyError` for one that is not there."""
        found: dict[str, None] = {}
        waiting = [script]
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found[name] = None
                beside = posixpath.dirname(name)
                waiting += [posixpath.normpath(posixpath.join(beside, other.decode())) for other in _IMPORT.findall(self._files[name])]
        return list(found)

    def answer(self, request: Request) -> Response:
        """One file. Raises `NotFound`."""
        name = request.path_params["path"]
        content = self._files.get(name)
        if content is None:
            raise NotFound("There is no such file.")
        # A page that was loaded before an upgrade still asks for the old ones: it gets what there is now, and is told not to keep it.
        lasting = request.url.path.startswith(self.base)
        headers = {"cache-control": _FOR_EVER if lasting else "no-cache", "vary": "Accept-Encoding"}
        suffix = posixpath.splitext(name)[1]
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        if suffix != ".woff2" and len(content) > _SMALL and unpacks(request):
            packed = self._packed.get(name)
            if packed is None:
                packed = self._packed[name] = gzip.compress(content, 9, mtime=0)
            return Response(packed, media_type=kind, headers={**headers, "content-encoding": "gzip"})
        return Response(content, media_type=kind, headers=headers)


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path.read_bytes()
