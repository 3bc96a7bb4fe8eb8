"""Logs: one line an event, with its facts; readable on a terminal, JSON lines otherwise."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from controller.core.base.text import clean, clean_values


def _clean(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The facts of a line with clean texts: each on one line, but for tracebacks."""
    return {key: _clean_fact(key, fact) for key, fact in event.items()}


def _clean_fact(key: str, fact: Any) -> Any:
    return clean(fact) if isinstance(fact, str) and key != "exception" else clean_values(fact)


def configure_logs(level: str, **facts: object) -> None:
    """Readable lines on a terminal, one JSON object a line otherwise; on standard error. Each line has the `facts`."""
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
            lambda _logger, _method, event: {**event, **facts},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if terminal else traceback,
            _clean,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
