"""Every error that Hausgeist raises on purpose. HTTP status codes and each dialect's shape belong to the HTTP layer.

HausgeistError
├── InvalidRequest          the caller sent something wrong (``param`` says which part)
│   ├── ContextExceeded     the prompt is longer than the context
│   └── NotSupported        a known feature that is not there (yet, or for this model)
├── NotAuthenticated        nobody we know
├── NotAllowed              somebody we know, who may not
├── NotFound                no such thing, or none the caller may see
│   └── ModelNotFound
├── Conflict                it exists already, or changed meanwhile
│   └── Locked              somebody else is at work there at this moment
├── TooLarge                a body or file above its limit
├── Busy                    the queue is full; ``retry_after`` seconds
├── Unavailable             cannot be done now, may be later
│   ├── NotEnoughMemory     a model does not fit beside what is loaded and in use
│   ├── LoadFailed          the engine could not load the model
│   ├── EngineCrashed       the worker died while it answered
│   ├── EngineFailed        the worker answered with an error of its own
│   └── Unresolved          no name server knows the host
├── EgressRefused           an outbound connection that the settings do not allow
└── StoreError              the home folder or database cannot be used
    ├── SchemaTooNew        written by a newer Hausgeist
    └── DiskFull
"""

from __future__ import annotations

__all__ = [
    "Busy",
    "Conflict",
    "ContextExceeded",
    "DiskFull",
    "EgressRefused",
    "EngineCrashed",
    "EngineFailed",
    "HausgeistError",
    "InvalidRequest",
    "LoadFailed",
    "Locked",
    "ModelNotFound",
    "NotAllowed",
    "NotAuthenticated",
    "NotEnoughMemory",
    "NotFound",
    "NotSupported",
    "SchemaTooNew",
    "StoreError",
    "TooLarge",
    "Unavailable",
    "Unresolved",
    "shown",
]


def shown(text: str, limit: int = 100) -> str:
    """Foreign text as a message may quote it: cut to `limit` characters, unprintable ones as question marks."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(character if character.isprintable() else "?" for character in short)


class HausgeistError(Exception):
    """Something went wrong inside Hausgeist; the log has the details."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)


class InvalidRequest(HausgeistError):
    """The request is not valid."""

    def __init__(self, message: str | None = None, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextExceeded(InvalidRequest):
    """The prompt is longer than the context of the model."""

    def __init__(self, prompt_tokens: int, context: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens, but the context of this model is {context} tokens per request. "
            "Shorten the prompt, or load the model with a larger context.",
            param="messages",
        )
        self.prompt_tokens = prompt_tokens
        self.context = context


class NotSupported(InvalidRequest):
    """This is not supported here."""


class NotAuthenticated(HausgeistError):
    """A valid API key is needed: send it as 'Authorization: Bearer hg-...' or 'x-api-key: hg-...'."""


class NotAllowed(HausgeistError):
    """You may not do this."""


class NotFound(HausgeistError):
    """There is no such thing here."""


class ModelNotFound(NotFound):
    """There is no such model here."""

    def __init__(self, model: str) -> None:
        super().__init__(f"The model '{model}' is not installed. 'hausgeist list' shows the models that are.")
        self.model = model


class Conflict(HausgeistError):
    """This exists already."""


class Locked(Conflict):
    """Something else is being done there at this moment; wait until it has ended."""


class TooLarge(HausgeistError):
    """The request body is too large."""


class Busy(HausgeistError):
    """The server is busy; try again shortly."""

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(HausgeistError):
    """This is not available at the moment."""


class NotEnoughMemory(Unavailable):
    """The model does not fit into the memory that is left."""


class LoadFailed(Unavailable):
    """The engine could not load the model."""


class EngineCrashed(Unavailable):
    """The engine stopped while it was answering; the next request gets a fresh one."""


class EngineFailed(Unavailable):
    """The engine answered with an error."""


class Unresolved(Unavailable):
    """The name of a host is not known here; is this machine connected to the network?"""


class EgressRefused(HausgeistError):
    """Outbound connections are not allowed by the settings of this server."""


class StoreError(HausgeistError):
    """The home folder of Hausgeist cannot be used."""


class SchemaTooNew(StoreError):
    """The database was written by a newer Hausgeist; install that version or restore a backup."""


class DiskFull(StoreError):
    """The disk is full; free some space and try again."""
