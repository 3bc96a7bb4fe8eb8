"""A custom metric as the settings define it. {service} and {version} are filled in only as label values."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.core.base.value import Value

MAX_QUERY = 4096
_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`|#[^\n]*')
_MATCHER = re.compile(r"[{,]\s*[a-zA-Z_][a-zA-Z0-9_]*\s*=\s*\Z")
_PLACEHOLDERS = ("{service}", "{version}")


def validate_query(text: str) -> str:
    """The query, if its placeholders stand as values of labels and nowhere else. Raises ValueError."""
    if not text.strip() or len(text) > MAX_QUERY:
        raise ValueError(f"a query of at most {MAX_QUERY} characters is needed")
    outside = _STRINGS.sub("", text)
    if any(name in outside for name in _PLACEHOLDERS) or any(quote in outside for quote in "\"'`"):
        raise ValueError('{service} and {version} stand in quotes, as the value of a label: {version="{version}"}')
    for found in _STRINGS.finditer(text):
        if not any(name in found[0] for name in _PLACEHOLDERS):
            continue
        if found[0][0] not in "\"'" or not _MATCHER.search(_STRINGS.sub('""', text[: found.start()])):
            raise ValueError(
                f'{found[0]}: {{service}} and {{version}} fill the value of a label alone, after "=" (after "=~" a dot '
                "in a name would match anything)"
            )
    if "{version}" not in text:
        raise ValueError('without {version} both versions would have the same figures: {version="{version}"}')
    return text


Query = Annotated[str, AfterValidator(validate_query)]
"""PromQL with {service} and {version} as values of labels."""


class CustomMetric(Value):
    """One `[metrics.NAME]` of the settings; services use it by its name under `policy.metrics`."""

    kind: Literal["rate", "gauge"]
    events: Query | None = None
    """Of a rate: the cumulative counter of bad events, one series."""
    total: Query | None = None
    """Of a rate: the cumulative counter of all events, one series."""
    value: Query | None = None
    """Of a gauge: the value, one series."""
    worse: Literal["higher", "lower"] = "higher"
    """Of a gauge: which way it is worse."""
    worse_in: Annotated[int, Field(ge=1, le=100)] = 3
    """Of a gauge: it is harm if it is worse in this many of the last `readings`."""
    readings: Annotated[int, Field(ge=1, le=100)] = 5
    slack: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of a gauge: smaller differences are ignored, however small stable's value is. In the unit of the gauge."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = {name for name in ("events", "total", "value") if getattr(self, name) is not None}
        if given != ({"events", "total"} if self.kind == "rate" else {"value"}):
            raise ValueError("a rate has `events` and `total`, a gauge has `value`, and neither has the other's")
        if self.worse_in > self.readings:
            raise ValueError("`worse_in` is at most `readings`")
        return self

    @property
    def queries(self) -> tuple[str, ...]:
        """Events and total, or the value."""
        return tuple(query for query in (self.events, self.total, self.value) if query is not None)


def fill_query(query: str, service: str, version: str) -> str:
    """The query for one version. Names are escaped, although no valid name of Haldane needs it."""
    for placeholder, name in zip(_PLACEHOLDERS, (service, version), strict=True):
        query = query.replace(placeholder, name.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'"))
    return query
