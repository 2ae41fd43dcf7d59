"""The generated pages say what is true now: `make docs` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from hausgeist.cli.entry import build
from hausgeist.cli.reference import catalogue_page, claims_page, cli_page, main, settings_page
from hausgeist.settings import McpSection, ModelSection, Settings, UpstreamSection

DOCS = Path(__file__).parents[2] / "docs"


def test_settings_are_documented() -> None:
    page = settings_page()
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page, "run 'make docs'"
    lines = page.splitlines()
    for name, field in Settings.model_fields.items():
        assert f"## `{name}`" in lines
        assert field.description
    for section, model in (("models", ModelSection), ("upstreams", UpstreamSection), ("mcp", McpSection)):
        for name, field in model.model_fields.items():
            assert f"### `{section}.*.{name}`" in lines
            assert field.description


def test_commands_are_documented() -> None:
    page = cli_page()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run 'make docs'"
    assert "\x1b" not in page

    def look(command: object, name: str) -> None:
        assert f"`{name}`" in page
        assert getattr(command, "help", None)
        for child, below in getattr(command, "commands", {}).items():
            if below.hidden:  # another word for one that is shown, which says so
                assert f"'{child}' is the same" in page
                continue
            look(below, f"{name} {child}")

    look(typer.main.get_command(build()), "hausgeist")


def test_the_catalogue_is_documented() -> None:
    assert (DOCS / "catalogue.md").read_text(encoding="utf-8") == catalogue_page(), "run 'make docs'"


def test_what_people_are_told_is_answered() -> None:
    page = claims_page()
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == page, "run 'make docs'"
    assert len([line for line in page.splitlines() if "| **" in line]) == 9 + 15 + 3, "each rule, model and card has a verdict"


def test_pages_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"settings.md", "cli.md", "catalogue.md", "claims.md"}
    assert main([]) == 2
    capsys.readouterr()


def test_terminal_width_and_colours_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cli_page()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli_page() == before
