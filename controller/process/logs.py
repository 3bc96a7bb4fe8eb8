"""Logs: one line an event, with its facts; readable on a terminal, JSON lines otherwise."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Readable lines on a terminal, one JSON object a line otherwise; on standard error."""
    terminal = sys.stderr.isatty()
    # No local variables in tracebacks: they are long, and may hold what a log must not.
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    traceback = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if terminal else [traceback]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
