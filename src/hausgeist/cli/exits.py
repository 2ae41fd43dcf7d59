"""Exit codes, and which error ends a command with which of them."""

from __future__ import annotations

from hausgeist.errors import EgressRefused, HausgeistError, InvalidRequest, NotAllowed, NotAuthenticated, NotFound

__all__ = ["EXIT_CODES", "FAILED", "INTERRUPTED", "NOT_FOUND", "OK", "REFUSED", "UNREACHABLE", "USAGE", "ServerUnreachable", "exit_code"]

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
REFUSED = 4
UNREACHABLE = 5
INTERRUPTED = 130

EXIT_CODES: dict[int, str] = {
    OK: "done",
    FAILED: "failed; the message says why",
    USAGE: "the command line or a setting is not valid",
    NOT_FOUND: "no such model, user, key, project or file",
    REFUSED: "not allowed, or an API key is needed",
    UNREACHABLE: "the server cannot be reached",
    INTERRUPTED: "interrupted with Ctrl-C",
}


class ServerUnreachable(HausgeistError):
    """The server cannot be reached."""


def exit_code(error: HausgeistError) -> int:
    """The code for an error raised on purpose."""
    match error:
        case ServerUnreachable():
            return UNREACHABLE
        case NotFound():
            return NOT_FOUND
        case NotAuthenticated() | NotAllowed() | EgressRefused():
            return REFUSED
        case InvalidRequest():
            return USAGE
        case _:
            return FAILED
