"""What can be done here, as data: each action, what it means, and the least right that it takes.

House actions concern the whole server and look at the caller's `house_role`; project actions look at the role in the project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hausgeist.identity import Role

__all__ = ["ACTIONS", "Action"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done. `audited`: each time leaves a row, allowed or not (refusals always do)."""

    name: str
    meaning: str
    scope: Literal["house", "project"]
    least: Role
    audited: bool = True
    flushed: bool = True
    """Its rows survive a power cut, not only the death of the process. Asking a model happens too often to wait for the disk each time."""


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("model.use", "ask a model for an answer, embeddings or a ranking", "project", "reader", flushed=False),
        Action("tool.use", "let a model call the tools of an MCP server", "project", "member", flushed=False),
        Action("model.list", "see which models are installed and loaded", "project", "reader", audited=False),
        Action("model.load", "load a model into memory, or unload it", "project", "member"),
        Action("model.create", "install a model or make one from another", "house", "owner"),
        Action("model.adopt", "use a model that another tool has brought onto this machine", "house", "owner"),
        Action("model.update", "upgrade a model, go back to an older version or pin it", "house", "owner"),
        Action("model.outdated", "ask the sources of models for newer versions", "house", "owner"),
        Action("model.verify", "read the files of a model again, or fetch damaged ones anew", "house", "owner"),
        Action("model.export", "copy a model out as a file", "house", "owner"),
        Action("model.push", "send a model to a registry", "house", "owner"),
        Action("model.collect", "remove files that no model needs", "house", "owner"),
        Action("model.delete", "remove a model", "house", "owner"),
        Action("completion.read", "read chat completions that were stored for oneself", "project", "reader", audited=False),
        Action("completion.update", "change the metadata of such completions", "project", "reader", audited=False),
        Action("completion.delete", "remove such completions", "project", "reader"),
        Action("file.read", "see and read the files of a project", "project", "reader", audited=False),
        Action("file.create", "upload a file", "project", "member"),
        Action("file.delete", "remove a file", "project", "member"),
        Action("vector_store.read", "see the vector stores of a project and what is in them", "project", "reader", audited=False),
        Action("vector_store.search", "search the documents of a project", "project", "reader", flushed=False),
        Action("vector_store.create", "make a vector store", "project", "member"),
        Action("vector_store.update", "change a vector store, put files into it or take them out", "project", "member"),
        Action("vector_store.delete", "remove a vector store", "project", "member"),
        Action("batch.read", "see one's batches", "project", "reader", audited=False),
        Action("batch.create", "have a file of requests answered", "project", "member"),
        Action("batch.cancel", "stop a batch", "project", "member"),
        Action("conversation.read", "read one's own conversations and responses", "project", "reader", audited=False),
        Action("conversation.write", "keep, change or stop one's own conversations and responses", "project", "reader", audited=False),
        Action("conversation.delete", "delete one's own conversations, items and responses", "project", "reader"),
        Action("persona.read", "see one's own personas and those of the project", "project", "reader", audited=False),
        Action("persona.write", "keep and change one's own personas", "project", "reader", audited=False),
        Action("persona.share", "share a persona with the project", "project", "member"),
        Action("persona.delete", "remove a persona", "project", "reader"),
        Action("prompt.read", "see one's own prompts and those of the project", "project", "reader", audited=False),
        Action("prompt.write", "keep and change one's own prompts", "project", "reader", audited=False),
        Action("prompt.share", "share a prompt with the project", "project", "member"),
        Action("prompt.delete", "remove a prompt", "project", "reader"),
        Action("key.list", "see the keys of a project", "project", "member", audited=False),
        Action("key.create", "make an API key", "project", "owner"),
        Action("key.delete", "revoke an API key", "project", "owner"),
        Action("project.list", "see projects", "project", "reader", audited=False),
        Action("project.create", "make a project", "house", "owner"),
        Action("project.update", "rename a project, or change its members", "project", "owner"),
        Action("project.delete", "remove a project", "house", "owner"),
        Action("user.list", "see who is here", "house", "owner", audited=False),
        Action("user.create", "invite a person", "house", "owner"),
        Action("user.update", "change what a person may do here, or how they sign in", "house", "owner"),
        Action("user.delete", "remove a person", "house", "owner"),
        Action("password.update", "choose a new password for oneself", "project", "reader"),
        Action("session.create", "sign in", "project", "reader"),
        Action("session.read", "see who one is signed in as", "project", "reader", audited=False),
        Action("session.delete", "sign out", "project", "reader"),
        Action("server.enter", "reach the server with this request", "project", "reader"),
        Action("conversation.export", "take a copy of one's own conversations away", "project", "reader"),
        Action("conversation.import", "bring conversations from a file", "project", "reader"),
        Action("retention.read", "see how long a project keeps what is said", "project", "reader", audited=False),
        Action("retention.update", "say how long a project keeps what is said", "project", "owner"),
        Action("retention.apply", "remove what a project keeps no longer", "house", "owner"),
        Action("erasure.own", "erase all that one has said", "project", "reader"),
        Action("erasure.create", "erase what a person or a project has said", "house", "owner"),
        Action("metrics.read", "read the server's metrics", "house", "owner", audited=False),
        Action("audit.read", "read the audit table", "house", "owner"),
        Action("usage.read", "see what everybody's calls took", "house", "owner", audited=False),
        Action("usage.own", "see what one's own calls took", "project", "reader", audited=False),
        Action("settings.read", "see the settings of the server", "house", "owner", audited=False),
        Action("machine.read", "see what the machine has, and what is in its memory", "project", "reader", audited=False),
        Action("webhook.list", "see which addresses are told of what happens in a project", "project", "owner", audited=False),
        Action("webhook.create", "have an address told of what happens in a project", "project", "owner"),
        Action("webhook.update", "change such an address, what it is told, or its secret", "project", "owner"),
        Action("webhook.delete", "have an address told no more", "project", "owner"),
        Action("webhook.test", "try such an address", "project", "owner"),
        Action("webhook.deliver", "tell an address of what happened", "project", "owner"),
        Action("egress.connect", "connect to a host outside", "house", "owner"),
    )
}
