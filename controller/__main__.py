"""Where `haldane` and `python -m controller` begin. Loads nothing before Ctrl-C is sure to end it in peace."""

import sys

INTERRUPTED = 130
"""`Exit.INTERRUPTED`, which would have to be loaded to be asked."""


def main(args: list[str] | tuple[str, ...] | None = None) -> int:
    """Run one command: its exit code."""
    try:
        from controller.cli.main import run

        return run(sys.argv[1:] if args is None else args)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
