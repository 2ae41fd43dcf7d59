"""The pages: what this server is and how to reach it (/), and signing in (/sign-in). Nothing is loaded from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from hausgeist import __version__
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.web.parts import Parts

__all__ = ["endpoints"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
    "code{font-family:ui-monospace,monospace}td{padding:.1rem 1rem .1rem 0}label{display:block;margin:.6rem 0}"
    "input{font:inherit;width:100%;box-sizing:border-box}button{font:inherit}"
)

_SCRIPT = """
const form = document.querySelector("form"), said = document.querySelector("#said"), link = location.hash.slice(1);
if (link) document.querySelector("#name").remove();
form.addEventListener("submit", async event => {
  event.preventDefault();
  const fields = new FormData(form), password = fields.get("password");
  const body = link ? {link, password} : {name: fields.get("name"), password};
  const reply = await fetch("/house/v1/session", {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
  if (reply.ok) { location.replace("/"); return; }
  const problem = await reply.json().catch(() => null);
  said.textContent = problem?.error?.message ?? "That did not work.";
});
"""

_SIGN_IN = """<h1>Sign in</h1>
<form><div id="name"><label>Name <input name="name" autocomplete="username"></label></div>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form><p id="said" role="status"></p>"""


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes."""

    async def root(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            # What clients of Ollama look for to tell whether it is there.
            return PlainTextResponse("Ollama is running", headers={"vary": "Accept"})
        return _page("Hausgeist", _about(f"{request.url.scheme}://{request.url.netloc}"))

    async def sign_in(request: Request) -> Response:
        return _page("Sign in", _SIGN_IN, script=_SCRIPT)

    return [
        Endpoint(method="GET", path="/", handle=root, dialect=HOUSE, summary="That the server runs, and how to reach it", open=True),
        Endpoint(method="GET", path="/sign-in", handle=sign_in, dialect=HOUSE, summary="The page for signing in", open=True),
    ]


def _about(base: str) -> str:
    rows = (("OpenAI", f"{base}/v1"), ("Anthropic", base), ("Ollama", base), ("this API described", f"{base}/openapi.json"))
    lines = "".join(f"<tr><td>{escape(name)}</td><td><code>{escape(address)}</code></td></tr>" for name, address in rows)
    what = "A private AI server. It speaks three APIs; give your client the base address of the one it knows."
    return f"<h1>Hausgeist {escape(__version__)}</h1><p>{what}</p><table>{lines}</table>"


def _page(title: str, body: str, *, script: str = "") -> Response:
    """A page that may load nothing and do nothing but what is in it."""
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{body}{f'<script>{script}</script>' if script else ''}</html>"
    )
    policy = ["default-src 'none'", f"style-src {_digest(_STYLE)}", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    if script:
        policy += [f"script-src {_digest(script)}", "connect-src 'self'"]
    return HTMLResponse(text, headers={"content-security-policy": "; ".join(policy), "x-frame-options": "DENY", "vary": "Accept"})


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
