"""`hausgeist eval`: how well search finds, on a set of questions or on one's own documents."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hausgeist.cli.console import err, hint, is_terminal, note, print_json, size, table
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.options import Address, Home, InProject, Json
from hausgeist.cli.terminal import one_line
from hausgeist.errors import InvalidRequest

if TYPE_CHECKING:
    from hausgeist.knowledge.evaluation import Run

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    lines = (
        "hausgeist eval retrieval xquad.en.json",
        "hausgeist eval retrieval ~/contracts --save before.json",
        "hausgeist eval retrieval --store documents --model qwen3:8b",
        "hausgeist eval retrieval --compare before.json after.json",
    )
    group.command("retrieval", cls=Command, short_help="measure how often the right passage is found.", epilog=examples(*lines))(retrieval)
    app.add_typer(group, name="eval", help="measure how well search finds.")


def retrieval(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="questions as SQuAD (JSON) or BEIR (a folder with corpus.jsonl) has them, or a folder of documents to make questions of.",
            show_default=False,
        ),
    ] = None,
    *,
    words_only: Annotated[bool, typer.Option("--words-only", help="without vectors.")] = False,
    most: Annotated[int, typer.Option("--most", min=0, metavar="N", help="ask so many questions at most; 0: all, of a store 200.")] = 0,
    store: Annotated[
        str, typer.Option("--store", metavar="STORE", help="a store of the running server instead, searched as it is.", show_default=False)
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="with --store: a model of the server that writes the questions.", show_default=False)
    ] = "",
    project: InProject = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="keep the run, to compare it with another.", show_default=False)] = None,
    comparing: Annotated[bool, typer.Option("--compare", help="compare two saved runs over the same questions.")] = False,
    as_json: Json = False,
    host: Address = None,
    home: Home = None,
) -> None:
    """ask questions whose passages are known, and measure how often they are found first, among the first five, and how quickly.

    everything is indexed in a temporary folder; no server is needed, and nothing of yours is changed. with --store, search of the running
    server is asked, with the models that it has.
    questions made of your own documents are easier than what people ask: compare runs with each other, before and after a change.
    """
    if comparing:
        _compare(files or [], as_json=as_json)
        return
    if store:
        if files or words_only:
            raise InvalidRequest("--store measures the server's own search: leave out files and --words-only.")
        run = _asked(store, most=most, model=model, project=project, host=host, home=home)
    elif model:
        raise InvalidRequest("--model writes questions about a store: name it with --store.")
    elif not files or len(files) != 1:
        raise InvalidRequest("name one file or folder, a store with --store, or two saved runs with --compare.")
    else:
        with _progress() as progress:
            run = _measured(files[0].expanduser(), words_only=words_only, most=most, progress=progress)
    if save is not None:
        _save(save.expanduser(), run)
    if as_json:
        print_json(run.as_json())
        return
    _show(run)
    if save is not None:
        hint(f"'hausgeist eval retrieval --compare {save} OTHER' compares it with another run")


def _asked(store: str, *, most: int, model: str, project: str | None, host: str | None, home: Path | None) -> Run:
    from hausgeist.cli.client import client_for
    from hausgeist.cli.documents.measuring import measured
    from hausgeist.cli.documents.shelf import Shelf, find_store
    from hausgeist.settings import load_settings

    with client_for(load_settings(home=home), host).within(project) as client, _progress() as progress:
        found = find_store(client, store)
        shelf = Shelf(client, str(found["id"]), str(found.get("name") or ""))
        return measured(client, shelf, most=most, model=model, progress=progress)


def _measured(path: Path, *, words_only: bool, most: int, progress: Callable[[str, int, int], None]) -> Run:
    from hausgeist.knowledge.answer.extracting.extract import extract
    from hausgeist.knowledge.evaluation import evaluate, load
    from hausgeist.knowledge.index.vectors import open_vectors

    embedder = None
    if not words_only:
        from hausgeist.knowledge.embed.installed import Installed

        embedder = Installed()
    questions = load(path, most=most, progress=lambda name: progress(f"reading {one_line(name)}", 0, 0))
    with tempfile.TemporaryDirectory(prefix="hausgeist-eval-") as folder:
        return asyncio.run(
            evaluate(
                questions,
                Path(folder),
                embedder=embedder,
                vectors=open_vectors,
                support=lambda question, hits: [quote.text for quote in extract(question, hits)],
                progress=progress,
            )
        )


def _save(path: Path, run: Run) -> None:
    import json

    try:
        path.write_text(json.dumps(run.as_json(), ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}.") from error


def _show(run: Run) -> None:
    rows = [[part, *(f"{value:.3f}" for value in (its.recall_at_1, its.recall_at_5, its.mrr, its.ndcg_at_10))] for part, its in run.figures.items()]
    note(f"{one_line(run.name)}: {run.questions} questions, {run.passages} passages, {run.embedder or 'words only'}")
    table(["", "recall@1", "recall@5", "mrr", "ndcg@10"], rows, right=["recall@1", "recall@5", "mrr", "ndcg@10"])
    embedding = f", {run.ms_per_embedding:.1f} ms for its vector" if run.ms_per_embedding else ""
    note(
        f"{run.ms_per_query:.2f} ms a question{embedding}" + (f"; {size(run.bytes_per_passage)} a passage for words" if run.bytes_per_passage else "")
    )
    if run.support is not None:
        note(f"the answer stands in one of three quotations: {run.support:.3f}")
    for line in run.notes:
        hint(one_line(line))


def _compare(files: list[Path], *, as_json: bool) -> None:
    from hausgeist.knowledge.evaluation import Run, compare

    if len(files) != 2:
        raise InvalidRequest("--compare wants two saved runs: the one before, and the one after.")
    before, after = (Run.from_file(file.expanduser()) for file in files)
    if before.digest != after.digest or before.questions != after.questions:
        raise InvalidRequest(
            f"{files[0]} and {files[1]} are about different questions. Questions that are made of documents change with the way those are split: "
            "compare over a set of your own (JSON in the shape of SQuAD) then."
        )
    found = {part: compare(before.ranks[part], after.ranks[part]) for part in before.ranks if part in after.ranks}
    if as_json:
        print_json(
            {part: {"difference": one.difference, "low": one.low, "high": one.high, "verdict": one.verdict} for part, one in found.items()}
            | {"before": before.as_json(), "after": after.as_json()}
        )
        return
    rows = []
    for part, one in found.items():
        first, second = before.figures[part].recall_at_1, after.figures[part].recall_at_1
        rows.append([part, f"{first:.3f}", f"{second:.3f}", f"{one.difference:+.3f}", f"{one.low:+.3f} to {one.high:+.3f}", one.verdict])
    table(["recall@1", "before", "after", "change", "95 %", ""], rows, right=["before", "after", "change"])
    if before.support is not None and after.support is not None:
        note(f"the answer stands in one of three quotations: {before.support:.3f} before, {after.support:.3f} after")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err(), transient=True, disable=not is_terminal(sys.stderr)) as progress:
        task = progress.add_task("reading", total=None)

        def told(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield told
