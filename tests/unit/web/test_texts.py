"""What the pages say: complete in every language, really translated, nothing asked for that is not there and nothing kept that nobody asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import hausgeist.web
from hausgeist.governance.actions import ACTIONS
from hausgeist.web.pages.strings import LANGUAGES, Text, area, areas

WEB = Path(hausgeist.web.__file__).parent
OTHERS = [language for language in LANGUAGES if language != "en"]

SAME = {
    "common.nav_chat", "common.code", "common.no", "common.nav_documents", "common.nav_server", "common.name",
    "citations.citations", "citations.number", "citations.place", "citations.page_short", "citations.pages", "citations.zoom",
    "documents.collections", "documents.column_name", "documents.column_pages", "documents.kind_passages", "documents.question",
    "server.by_user", "server.median", "personas.personas", "personas.prompts",
    "models.can_embedding", "models.can_vision", "models.catalogue", "models.download", "models.engine", "models.licence", "models.name",
    "models.tokens", "models.use_chat", "models.use_code", "models.use_embedding", "models.use_vision", "models.version", "models.versions",
    "plan.engine", "plan.gigabytes", "plan.litres", "plan.exchange", "plan.tokens", "plan.kv_usual", "plan.tokens_per_second",
}  # fmt: skip
"""Keys whose text is rightly the English one in some language: "Chat", "Code", "Name"."""
_LETTERS = re.compile(r"[^\W\d_]{4,}")
_FILLED = re.compile(r"\{(\w+)\}")


def forms(text: Text) -> Mapping[str, str]:
    return text if isinstance(text, dict) else {"other": text}


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", areas())
def test_nothing_is_missing(name: str, language: str) -> None:
    english, here = area("en", name), area(language, name)
    assert set(here) == set(english)
    for key, text in english.items():
        assert isinstance(here[key], dict) == isinstance(text, dict), key
        wanted = set().union(*(_FILLED.findall(form) for form in forms(text).values()))
        said = set().union(*(_FILLED.findall(form) for form in forms(here[key]).values()))
        assert said == wanted, f"{key}: {said ^ wanted}"
        assert all(form.strip() == form and form for form in forms(here[key]).values()), key
        if isinstance(here[key], dict):
            assert "other" in here[key], key


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", areas())
def test_texts_are_translated(name: str, language: str) -> None:
    english, here = area("en", name), area(language, name)
    same = [
        key
        for key, text in english.items()
        if key not in SAME and forms(text) == forms(here[key]) and any(_LETTERS.search(_FILLED.sub("", form)) for form in forms(text).values())
    ]
    assert not same


def test_the_short_list_has_only_what_needs_it() -> None:
    english = {key: text for name in areas() for key, text in area("en", name).items()}
    elsewhere = [{key: text for name in areas() for key, text in area(language, name).items()} for language in OTHERS]
    assert not [key for key in SAME if key not in english or all(english[key] != here[key] for here in elsewhere)]


def test_every_action_of_the_audit_has_words() -> None:
    assert set(area("en", "actions")) == {f"actions.{name}" for name in ACTIONS}


def sources() -> dict[Path, str]:
    found = [*(WEB / "templates").rglob("*.html"), *(WEB / "static" / "js").rglob("*.js")]
    return {path: path.read_text("utf-8") for path in found}


def test_every_text_that_is_asked_for_is_there() -> None:
    known = {key for name in areas() for key in area("en", name)}
    missing = [
        f"{path.name}: {key}"
        for path, text in sources().items()
        for key in re.findall(r"""\bt\(\s*["'`]([a-z][a-z_-]*\.[a-z0-9_.]+)["'`]\s*[,)]""", text)
        if key not in known
    ]
    assert not missing


def test_every_text_is_asked_for_somewhere() -> None:
    everything = "\n".join([*sources().values(), *(path.read_text("utf-8") for path in (WEB / "pages").glob("*.py"))])
    prefixes = set(re.findall(r"""["'`]([a-z][a-z_-]*\.[a-z0-9_.]*)(?:["'`]\s*[~+]|\$\{)""", everything))
    unused = [
        key
        for name in areas()
        for key in area("en", name)
        if not re.search(rf"""["'`]{re.escape(key)}["'`]""", everything) and not any(key.startswith(prefix) for prefix in prefixes)
    ]
    assert not unused
