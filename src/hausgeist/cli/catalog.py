"""`hausgeist catalog`: which models there are, what they need, what may be done with them, and how to get them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hausgeist.cli.console import hint, note, print_json, size, table
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Json

if TYPE_CHECKING:
    from hausgeist.library.catalog import Catalog, Entry, Question, Use

__all__ = ["register"]

_SHOWN: Final = 24
"""Models, over all groups."""
_LEAST: Final = 4
"""Models of each group."""


def register(app: typer.Typer) -> None:
    usual = examples("hausgeist catalog", "hausgeist catalog code 8gb", "hausgeist catalog qwen --use vision --json", "hausgeist catalog gemma3:4b")
    app.command("catalog", cls=Command, epilog=usual)(catalog)


def catalog(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS", help="a model's name, or what to look for: a maker, a family, a use, a size such as 8gb.", show_default=False
        ),
    ] = None,
    *,
    use: Annotated[
        str | None, typer.Option("--use", metavar="USE", help="chat, code, vision, embedding, rerank or speech.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="NAME", help="part of a licence's name, or 'commercial'.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all that were found, not a few of each use.")] = False,
    as_json: Json = False,
) -> None:
    """search the models that are known, installed or not. a size means: the weights at the usual precision fit into it."""
    from hausgeist.library.catalog import Question, facts, load

    known = load()
    asked = Question.of(words or [], use=use or "", licence=licence or "")
    exact = asked.exact(known)
    entries = [exact] if exact else asked.answer(known)
    if as_json:
        print_json({"models": [facts(entry) for entry in entries]})
    elif exact:
        _print_one(exact)
    elif entries:
        _print_all(entries, asked, everything=everything)
    else:
        _print_none(known, list(asked.words), asked.use, asked.fits)


def _count(number: int) -> str:
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= scale * 0.9995:
            return f"{number / scale:.3g}{unit}"
    return str(number)


def _parameters(entry: Entry) -> str:
    return f"{_count(entry.parameters)} ({_count(entry.active)})" if entry.experts else _count(entry.parameters)


def _context(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def _command(entry: Entry) -> str:
    return f"hausgeist pull {entry.install[0]}"


def _licence(entry: Entry) -> str:
    """With its mark in front, where a narrow terminal cannot cut it off."""
    return {"yes": "", "conditions": "* ", "no": "! ", "unknown": "? "}[entry.commercial] + entry.licence


def _grouped(entries: list[Entry], asked: Question, *, everything: bool) -> dict[Use, list[Entry]]:
    """By what they are mainly for, in the order of `USES`; all are one group where a use is asked for. In a group the order is the search's."""
    from hausgeist.library.catalog import USES

    groups = {use: [entry for entry in entries if (asked.use or entry.use[0]) == use] for use in USES}
    found = {use: group for use, group in groups.items() if group}
    share = len(entries) if everything else max(_LEAST, _SHOWN // len(found))
    return {use: group[:share] for use, group in found.items()}


def _print_all(entries: list[Entry], asked: Question, *, everything: bool) -> None:
    rows: list[list[str]] = []
    headings: dict[int, str] = {}
    shown: list[Entry] = []
    for use, group in _grouped(entries, asked, everything=everything).items():
        headings[len(rows)] = use.capitalize()
        rows += [[entry.name, _parameters(entry), _context(entry.context), size(entry.size), _licence(entry)] for entry in group]
        shown += group
    table(["name", "parameters", "context", "size", "licence"], rows, right=["parameters", "context", "size"], flexible="licence", groups=headings)
    if len(entries) > len(shown):
        hint(f"{len(entries) - len(shown)} more with --all; fewer with a use or a size, such as 'code 8gb'")
    marks = {"conditions": "* business under conditions", "no": "! not for business", "unknown": "? unclear for business"}
    if told := [text for mark, text in marks.items() if any(entry.commercial == mark for entry in shown)]:
        hint(", ".join(told) + "; read the licence")
    hint("newest year first, then the largest; get one with 'hausgeist pull NAME'")


def _print_one(entry: Entry) -> None:
    from hausgeist.cli.console import paint, say

    facts = {
        "made by": f"{entry.maker}, {entry.released}",
        "parameters": f"{entry.parameters:,}" + (f", {_count(entry.active)} of them for each token" if entry.experts else ""),
        "size": f"{size(entry.weights_bytes())} at {entry.precision}"
        + (f", and {size(entry.projector_bytes)} to {_sense(entry)} with" if entry.projector_bytes else ""),
        "context": f"{entry.context:,} tokens",
        "for": ", ".join(entry.use),
        "licence": entry.licence + {"yes": "", "conditions": ", with conditions", "no": ", not for business", "unknown": ""}[entry.commercial],
        "also called": ", ".join(entry.aliases),
        "from": ", ".join(entry.install),
    }
    say(entry.name, "strong")
    for name, value in facts.items():
        if value:
            print(f"  {paint(f'{name:<13}', 'quiet')} ", end="")
            say(value)
    hint(f"get it with '{_command(entry)}'" if entry.served else "no engine of hausgeist runs it yet")


def _sense(entry: Entry) -> str:
    return " and ".join(verb for modality, verb in (("image", "see"), ("audio", "hear")) if modality in entry.modalities)


def _print_none(known: Catalog, names: list[str], use: str | None, fits: int | None) -> None:
    from hausgeist.library.catalog import USES

    asked = " ".join([*names, *([use] if use else []), *([f"within {size(fits)}"] if fits is not None else [])])
    note(f"no model in the catalogue is described by '{asked[:100]}'")
    near = _near(known, names)
    if near:
        hint(f"did you mean {', '.join(near)}?")
    smallest = min(known.search(names, use=use), key=lambda entry: entry.size, default=None) if fits is not None else None  # type: ignore[arg-type]
    if smallest:
        hint(f"the smallest of them is {smallest.name} with {size(smallest.size)}")
    elif not near:
        hint(f"try a use ({', '.join(USES)}), a size (8gb), a maker or a family: {', '.join(list(known.families)[:12])}, ...")
    hint("what the catalogue does not know can be installed all the same, by the name of a repository: hausgeist pull hf.co/OWNER/REPO")


def _near(known: Catalog, names: list[str]) -> list[str]:
    from difflib import get_close_matches

    families = list(known.families)
    return [match for name in names for match in get_close_matches(name.lower(), families, n=2, cutoff=0.7)]
