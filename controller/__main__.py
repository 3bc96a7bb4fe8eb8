"""The entry point of `haldane` and `python -m controller`; `main` imports the rest, so that Ctrl-C ends it quietly."""

import sys

INTERRUPTED = 130
"""`Exit.INTERRUPTED`, without importing it."""


def main(args: list[str] | tuple[str, ...] | None = None) -> int:
    """Run one command: its exit code."""
    try:
        from controller.cli.main import run

        return run(sys.argv[1:] if args is None else args)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
