"""The pages' scripts, read as text: what no script may contain, and what each has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hausgeist.web

SCRIPTS = sorted((Path(hausgeist.web.__file__).parent / "static" / "js").rglob("*.js"))
FORBIDDEN = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment", "eval(", "new Function", "srcdoc",
    "https://",
)  # fmt: skip
_IMPORT = re.compile(r'^import \{([^}]*)\} from "[^"]+";', re.MULTILINE)


def named(path: Path) -> str:
    return path.relative_to(SCRIPTS[0].parents[1]).as_posix()


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_a_script(path: Path) -> None:
    text = path.read_text("utf-8")
    code = re.sub(r"/\*.*?\*/|^\s*//[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not [word for word in FORBIDDEN if word in code], "pages make elements, and ask nobody but their server"
    assert text.startswith("/**") or path.parent.name == "pages", "the first lines say what a module owns"
    assert len(text.splitlines()) <= 600
    for found in _IMPORT.finditer(code):
        rest = code.replace(found[0], "")
        names = [one.split(" as ")[-1].strip() for one in found[1].split(",") if one.strip()]
        assert not [name for name in names if not re.search(rf"(?<![\w$])(?:(?<=\.\.\.)|(?<!\.)){re.escape(name)}(?![\w$])", rest)], (
            "imported for nothing"
        )
