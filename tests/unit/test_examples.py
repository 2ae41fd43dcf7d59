"""Every command line in the README, the docs and the help pages is one that this program understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from hausgeist.cli.entry import build

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^```(?:sh|text)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:\.venv/bin/)?hausgeist(?: [^`\n]+)?)`")
_BEGUN = re.compile(r"\s*(?:\$ |[A-Z_]+=\S+ |.*\| |export .*\()?(?:\.venv/bin/)?hausgeist (?!\d)")
_CALL = re.compile(r"(?:^|[\s(|])(?:\.venv/bin/)?hausgeist(?= |$)")
_REMARK = re.compile(r"\s+#\s.*|(?<=\S) {3,}\S.*")
_END = {"|", ">", "&&", ";", ")"}


@cache
def commands() -> Any:
    return typer.main.get_command(build())


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
    for child, one in (below or {}).items():
        yield from leaves(one, f"{name} {child}")


def called(line: str) -> list[str] | None:
    """The arguments of `hausgeist` in a line as people type it, with what is behind it for them; `None` where it is not called."""
    line = _REMARK.sub("", line.strip().removeprefix("$ "))
    found = _CALL.search(line)
    if found is None or "=hausgeist " in line:
        return None
    lexer = shlex.shlex(line[found.end() :].replace("...", ""), posix=True, punctuation_chars="|>&;()")
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    return words[: next((place for place, word in enumerate(words) if word in _END), len(words))]


def written() -> Iterator[tuple[str, str]]:
    """Where, and a line in which the program seems to be called."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in _FENCED.findall(text):
            yield from ((page.name, line) for line in block.splitlines() if _BEGUN.match(line))
        yield from ((page.name, line) for line in _INLINE.findall(text))
    for name, command in leaves(commands(), "hausgeist"):
        yield from ((f"{name} --help", line) for line in (command.epilog or "").splitlines() if "hausgeist" in line)


def misunderstood(arguments: list[str]) -> str:
    """What the program would say to them; empty: it understands. Something that is left out is no mistake in a text."""
    if arguments in (["--install-completion"], ["--show-completion"]):
        return ""  # reading it does it: the first writes to the home folder
    command, name, context = commands(), "hausgeist", None
    while True:
        try:
            with command.make_context(name, list(arguments), parent=context) as made:
                if not hasattr(command, "commands"):
                    return ""
                rest = [*made._protected_args, *made.args]
                if not rest:
                    return ""
                name, command, arguments = command.resolve_command(made, rest)
                context = made
        except SystemExit as end:  # of an option that does all there is to do
            return "" if not end.code else f"ended with {end.code}"
        except Exception as error:
            if type(error).__name__ in {"MissingParameter", "NoArgsIsHelpError", "Exit"}:
                return ""
            return getattr(error, "message", str(error))


def test_every_command_has_examples() -> None:
    for name, command in leaves(commands(), "hausgeist"):
        assert (command.epilog or "").startswith("\b\nexamples:\n"), name


def test_what_is_wrong_is_found() -> None:
    assert called("cat x | .venv/bin/hausgeist run m 'a b' --yes > file  # so") == ["run", "m", "a b", "--yes"]
    assert called("hausgeist pull gemma3:4b      from the registry") == ["pull", "gemma3:4b"]
    assert called("KEY=$(hausgeist key create --json)") == ["key", "create", "--json"]
    assert called("the hausgeister") is None
    for wrong in (["lst"], ["list", "--nope"], ["user", "creat", "ada"], ["run", "m", "--temperature", "hot"], ["rm", "a", "--all"]):
        assert misunderstood(wrong), wrong
    assert misunderstood(["run", "m", "--temperature", "0.5"]) == misunderstood(["show"]) == misunderstood(["ls"]) == ""
    assert len(LINES) > 100


def test_the_commands_that_the_readme_lists() -> None:
    listed = re.search(r"^`hausgeist serve`(.*?);", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert listed is not None
    there = {name for name, command in commands().commands.items() if not command.hidden}
    assert set(re.findall(r"`([a-z]+)`", listed[1])) | {"serve"} == there


LINES = sorted({(where, line.strip()) for where, line in written()})


@pytest.mark.parametrize(("where", "line"), LINES, ids=[f"{where}: {line[:60]}" for where, line in LINES])
def test_it_is_understood(where: str, line: str) -> None:
    arguments = called(line)
    if arguments is not None:
        assert misunderstood(arguments) == "", f"{where}: {line}"
