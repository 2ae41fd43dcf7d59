"""Every page there is, with something on each."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.acceptance.support import ServerProcess, until

__all__ = ["filled", "settled"]


def filled(server: ServerProcess) -> dict[str, str]:
    """Addresses of pages by name, with something on each: a chat, a store of papers, a persona, a key, a person."""
    with server.client(timeout=120) as client:
        chat = client.post("/house/v1/chats", json={"model": "guide"}).raise_for_status().json()["id"]
        asked = {"model": "guide", "conversation": chat, "input": "How do I install a model?"}
        client.post("/v1/responses", json=asked).raise_for_status()
        store = client.post("/house/v1/stores/demo").raise_for_status().json()["id"]
        done = lambda: client.get(f"/v1/vector_stores/{store}").json()["file_counts"]["in_progress"] == 0  # noqa: E731
        until(done, 90, "the papers are read", pause=0.3)
        client.post("/house/v1/personas", json={"name": "Editor", "instructions": "You shorten texts and keep their meaning.", "shared": True})
        client.post("/house/v1/prompts", json={"name": "Translate", "text": "Translate into {{language}}: {{text}}"})
        client.post("/house/v1/keys", json={"name": "laptop"}).raise_for_status()
        client.post("/house/v1/users", json={"name": "Anna", "role": "member"}).raise_for_status()
    return {
        "chat": f"/chat/{chat}",
        "chat-new": "/",
        "documents": "/documents",
        "store": f"/documents/{store}",
        "models": "/models",
        "plan": "/plan?model=gemma3:12b&gpu=RTX+4060+Ti+16GB",
        "personas": "/personas",
        "server": "/server",
        "usage": "/server/usage",
        "people": "/server/people",
        "audit": "/server/audit",
        "settings": "/server/settings",
        "welcome": "/welcome",
    }


def settled(page: Page, path: str) -> None:
    """Open a page, and wait until it has what it asks the server for."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("heading").first).to_be_attached()
    page.wait_for_timeout(300)
