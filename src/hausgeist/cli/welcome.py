"""The screen of a server that has just started: where it is, what it offers, and a line to copy for each way of using it. Text only."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hausgeist.cli.console import paint
from hausgeist.cli.invocation import command
from hausgeist.cli.terminal import one_line
from hausgeist.library.guide import is_guide

if TYPE_CHECKING:
    from hausgeist.app import App
    from hausgeist.model import InstalledModel
    from hausgeist.settings import Settings

__all__ = ["network_addresses", "welcome"]

_MOST_MODELS = 12


def welcome(app: App, addresses: Sequence[str], files: Sequence[Path]) -> list[str]:
    """The lines, painted for stdout."""
    from hausgeist import __version__
    from hausgeist.http.advice import advice
    from hausgeist.http.reach import reach
    from hausgeist.http.rules import BindingRules
    from hausgeist.settings import default_home

    settings = app.settings
    main = [one for one in addresses if _port(one) == _port(addresses[0])]
    network = network_addresses(settings, addresses[0])
    address = next(iter(network), addresses[0])
    stems = {file.stem for file in files}
    models = sorted(app.library.models(), key=lambda model: (model.id.removesuffix(":latest") not in stems, model.id))
    keys = BindingRules.of(settings).keys_demanded
    lines = [paint(f"hausgeist {__version__} is ready", "strong"), ""]
    lines += _row("address", [paint(one, "accent") for one in main])
    lines += _row("network", [paint(one, "accent") for one in network])
    lines += _row("ollama", [paint(one, "accent") for one in addresses if one not in main])
    lines += _row("home", [str(settings.home)])
    if settings.offline:
        lines += _row("offline", ["every outbound connection is refused"])
    ours = command()
    lines += ["", *_row("models", list(_models(models, ours))), ""]
    example = _example(models)
    trust = " --cacert hausgeist-ca.crt" if settings.tls_on and settings.tls_certificate is None else ""
    key = ' -H "authorization: Bearer $HAUSGEIST_API_KEY"' if keys else ""
    body = f'{{"model": "{example}", "messages": [{{"role": "user", "content": "hello"}}]}}'
    home = "" if settings.home == default_home().absolute() else f" --home {shlex.quote(str(settings.home))}"
    lines += _row("terminal", [f"{ours} run {shlex.quote(example)}{home}"])
    lines += _row("curl", [f"curl{trust} {address}/v1/chat/completions{key} -d {shlex.quote(body)}"])
    secret = 'os.environ["HAUSGEIST_API_KEY"]' if keys else '"none"'
    lines += _row("python", [f'OpenAI(base_url="{address}/v1", api_key={secret})  # model="{example}"'])
    people = sum(user.id != "local" for user in app.workspace.users())
    said = advice(settings, keys=len(app.workspace.keys()), users=people, uncovered=reach(settings)[1], command=ours)
    if said:
        lines += ["", *(paint("note:", "careful") + " " + one for one in said)]
    return [*lines, "", paint("Ctrl-C ends it", "quiet")]


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def network_addresses(settings: Settings, address: str) -> list[str]:
    """How other machines reach a server that listens on all addresses; only what its certificate covers."""
    from hausgeist.http.reach import reach

    scheme, port = address.partition("://")[0], _port(address)
    return [f"{scheme}://{host}:{port}" for host in reach(settings)[0]]


def _row(title: str, values: Sequence[str]) -> list[str]:
    titles = [title, *[""] * len(values)]
    return [f"  {paint(f'{one:<9}', 'quiet')} {value}" for one, value in zip(titles, values, strict=False)]


def _example(models: Sequence[InstalledModel]) -> str:
    """The model to try first: one that answers; one that somebody chose rather than the guide, and any real one rather than a fake."""
    able = [model for model in models if "generate" in model.tasks]
    real = [model.id for model in able if model.engine != "fake"]
    fake = [model.id for model in able if model.id == "fake:echo"]
    return next(iter([*(one for one in real if not is_guide(one)), *real, *fake]), "MODEL").removesuffix(":latest")


def _models(models: Sequence[InstalledModel], ours: str) -> Iterator[str]:
    if not models:
        yield f"none yet; '{ours} serve FILE.gguf' offers one"
        return
    width = min(40, max(len(model.id) for model in models[:_MOST_MODELS]))
    for model in models[:_MOST_MODELS]:
        notice = one_line(model.notice)
        yield f"{one_line(model.id):<{width}}  {paint(notice, 'careful')}".rstrip() if notice else one_line(model.id)
    if all(is_guide(model.id) for model in models):
        yield f"no other is installed yet: '{ours} run gemma3:4b' gets one, '{ours} catalog' lists what there is"
    if len(models) > _MOST_MODELS:
        yield f"and {len(models) - _MOST_MODELS} more: '{ours} list'"
