"""`hausgeist doctor`: is everything in order, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict

import typer

from hausgeist.cli.console import Tone, note, paint, print_json
from hausgeist.cli.exits import FAILED, OK
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Home, Json
from hausgeist.cli.terminal import one_line

__all__ = ["register"]

_MARKS: dict[str, tuple[str, Tone]] = {"ok": ("ok", "good"), "warn": ("warn", "careful"), "fail": ("fail", "bad")}


def register(app: typer.Typer) -> None:
    app.command("doctor", cls=Command, epilog=examples("hausgeist doctor", "hausgeist doctor --json"))(doctor)


def doctor(*, as_json: Json = False, home: Home = None) -> int:
    """see whether everything is in order. exits with 1 if something is broken."""
    from hausgeist.cli.checks import examine
    from hausgeist.settings import load_settings

    findings = []
    shown = ""
    for finding in examine(load_settings(home=home)):
        findings.append(finding)
        if as_json:
            continue
        mark, tone = _MARKS[finding.status]
        name = "" if finding.check == shown else finding.check
        shown = finding.check
        print(f"{name:<10} {paint(f'{mark:<5}', tone)} {one_line(finding.found)}")
        if finding.advice:
            print(f"{'':<16} {paint('→ ' + one_line(finding.advice), 'accent')}")
    failed = sum(finding.status == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        warned = sum(finding.status == "warn" for finding in findings)
        print()
        parts = [f"{failed} broken"] * bool(failed) + [f"{warned} to look at"] * bool(warned)
        note(", ".join(parts) if parts else "everything is in order")
    return FAILED if failed else OK
