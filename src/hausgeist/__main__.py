"""`hausgeist` and `python -m hausgeist`: answers `--version` at once and leaves everything else to `cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):  # before anything heavy is imported
        from hausgeist import __version__

        print(f"hausgeist {__version__}")
        return 0
    from hausgeist.cli import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
