"""Open WebUI's export: a list of chats, of which each has a tree of messages in `history`, or, in older files, a plain list of them.

Texts, thoughts and pictures that are in the file come along; calls of tools, sources and files that lie on that server do not.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hausgeist.conversations.content import message
from hausgeist.conversations.drafts import Draft
from hausgeist.conversations.exchange.foreign import Leaf, Unknown, grow, moment, text_of

__all__ = ["decode", "is_chat"]

_FOLD: Final = re.compile(r'<details type="([a-z_]{1,40})"')
_END: Final = "</details>"
_LARGEST_PICTURE: Final = 8 * 2**20


def is_chat(value: Mapping[str, Any]) -> bool:
    chat = _inner(value)
    return isinstance(_dict(chat.get("history")).get("messages"), dict) or isinstance(chat.get("messages"), list)


def decode(value: Mapping[str, Any], left_out: Counter[str]) -> Draft:
    """One chat. `left_out`: counts what did not come along. Raises `Unknown`."""
    chat = _inner(value)
    created = moment(value.get("created_at"), moment(chat.get("timestamp"), 0.0))
    history = _dict(chat.get("history"))
    models: Counter[str] = Counter()
    leaves: dict[str, Leaf] = {}
    for name, parent, said in _messages(chat, history):
        leaf = leaves[name] = Leaf(parent, moment(said.get("timestamp"), created))
        leaf.bodies = list(_items(said, left_out))
        if leaf.bodies and (model := text_of(said.get("model"))):
            models[model] += 1
    nodes, head = grow(leaves, text_of(history.get("currentId")) or None)
    if not nodes:
        raise Unknown("It holds no message.")
    chosen = chat.get("models")
    model = text_of(chosen[0]) if isinstance(chosen, list) and chosen else ""
    model = model or (models.most_common(1)[0][0] if models else "")
    newest = max(node.created for node in nodes)
    system = text_of(chat.get("system")) or text_of(_dict(chat.get("params")).get("system"))
    name = text_of(value.get("id")) or text_of(chat.get("id"))
    return Draft(
        nodes=nodes, head=head, created=created or min(node.created for node in nodes), changed=moment(value.get("updated_at"), newest),
        title=(text_of(value.get("title")) or text_of(chat.get("title"))).strip()[:500], origin=f"openwebui:{name[:200]}" if name else "",
        settings={"instructions": system} if system else {}, archived=value.get("archived") is True, pinned=value.get("pinned") is True,
        metadata={"imported_from": "Open WebUI", **({"imported_model": model[:512]} if model else {})},
    )  # fmt: skip


def _inner(value: Mapping[str, Any]) -> Mapping[str, Any]:
    chat = value.get("chat")
    return chat if isinstance(chat, dict) else value


def _messages(chat: Mapping[str, Any], history: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """Name, parent and message of each."""
    tree = history.get("messages")
    if isinstance(tree, dict) and tree:
        for name, said in tree.items():
            if isinstance(said, dict):
                yield name, text_of(said.get("parentId")) or None, said
        return
    before: str | None = None
    plain = chat.get("messages")
    for number, said in enumerate(plain if isinstance(plain, list) else ()):
        if isinstance(said, dict):
            yield str(number), before, said
            before = str(number)


def _items(said: Mapping[str, Any], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    role, content = text_of(said.get("role")), said.get("content")
    if role not in ("user", "assistant", "system"):
        if role:
            left_out["messages between a model and its tools"] += 1
        return
    if isinstance(content, list):
        content = "\n".join(text_of(_dict(part).get("text")) for part in content)
    text = text_of(content)
    if role == "assistant":
        thoughts: list[str] = []
        text = _unfolded(text, thoughts, left_out).strip()
        if thoughts:
            yield {"type": "reasoning", "summary": [{"type": "summary_text", "text": thought} for thought in thoughts]}
    parts: list[str | Mapping[str, Any]] = [text] if text.strip() else []
    parts += _pictures(said, role, left_out)
    if parts:
        yield message(role, *parts)


def _unfolded(text: str, thoughts: list[str], left_out: Counter[str]) -> str:
    """The text without the folds that the pages of Open WebUI draw. Looks at each character once: the text may be anything."""
    kept: list[str] = []
    position = 0
    while (fold := _FOLD.search(text, position)) is not None:
        inside = text.find(">", fold.end()) + 1
        end = text.find(_END, inside) if inside else -1
        if end < 0:
            break
        kept.append(text[position : fold.start()])
        if fold[1] == "reasoning":
            thoughts += [thought] if (thought := _thought(text[inside:end])) else []
        else:
            left_out["calls of tools"] += 1
        position = end + len(_END)
    return "".join([*kept, text[position:]])


def _thought(inside: str) -> str:
    text = inside.strip()
    if text.startswith("<summary>"):
        text = text.partition("</summary>")[2].strip()
    return "\n".join(html.unescape(line).removeprefix(">").removeprefix(" ") for line in text.splitlines()).strip()


def _pictures(said: Mapping[str, Any], role: str, left_out: Counter[str]) -> Iterator[str | Mapping[str, Any]]:
    files = said.get("files")
    for file in files if isinstance(files, list) else ():
        url, kind = text_of(_dict(file).get("url")), text_of(_dict(file).get("type"))
        if kind == "image" and role == "user" and url.startswith("data:image/") and len(url) <= _LARGEST_PICTURE:
            yield {"type": "input_image", "image_url": url, "detail": "auto"}
        else:
            what = "picture" if kind == "image" else "attachment"
            left_out[f"{what}s"] += 1
            yield f"[{what}]"


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
