"""`python -m hausgeist.cli.health`: exit code 0 while the server of this home answers. For health checks of containers."""

from __future__ import annotations

import sys

from hausgeist.cli.client import local_client
from hausgeist.cli.exits import OK, UNREACHABLE
from hausgeist.cli.running import find
from hausgeist.errors import HausgeistError
from hausgeist.settings import default_home

__all__ = ["main"]


def main() -> int:
    """Ask the server of the home folder whether it is well."""
    try:
        running = find(default_home())
        if running is None:
            return UNREACHABLE
        with local_client(running) as client:
            client.ask("GET", "/health")
    except HausgeistError as error:
        print(error.message, file=sys.stderr)
        return UNREACHABLE
    return OK


if __name__ == "__main__":
    sys.exit(main())
