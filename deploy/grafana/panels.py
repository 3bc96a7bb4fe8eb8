"""Panels and dashboards by Grafana's classic JSON model. Panels fill rows of 24 columns from left to right."""

from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS, HEIGHT = 24, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"

Json = dict[str, Any]
Queries = Mapping[str, str]
"""Legend -> expression."""


def panel(kind: str, title: str, queries: Queries, *, unit: str = "short", width: int = 8, **more: Any) -> Json:
    """A panel. `text` describes it; `options` and `custom` are those of its kind, by Grafana's own names."""
    targets: list[Json] = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for number, (legend, expression) in enumerate(queries.items())
    ]
    if kind in ("stat", "table"):
        shape: Json = {"instant": True, "format": "table" if kind == "table" else "time_series"}
        targets = [target | shape for target in targets]
    return {
        "type": kind,
        "title": title,
        "description": more.get("text", ""),
        "datasource": SOURCE,
        "targets": targets,
        "gridPos": {"w": width, "h": more.get("height", HEIGHT), "x": 0, "y": 0},
        "fieldConfig": {
            "defaults": {"unit": unit, "custom": more.get("custom", {}), **more.get("defaults", {})},
            "overrides": [],
        },
        "options": more.get("options", {}),
    }


def graph(title: str, queries: Queries, **more: Any) -> Json:
    """Lines over time, from 0."""
    more.setdefault("defaults", {"min": 0})
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return panel("timeseries", title, queries, options={"legend": legend, "tooltip": {"mode": "multi"}}, **more)


def states(title: str, queries: Queries, **more: Any) -> Json:
    """What holds over time, one bar for each series."""
    options = {"mergeValues": True, "showValue": "never", "rowHeight": 0.8}
    more.setdefault("defaults", {})["thresholds"] = steps((None, "transparent"), (1, "blue"))
    return panel("state-timeline", title, queries, options=options, **more)


def number(title: str, expression: str, *, bad: bool = False, **more: Any) -> Json:
    """One number; a `bad` one is red above 0."""
    thresholds = steps((None, "green"), (1, "red")) if bad else steps((None, "blue"))
    options = {"colorMode": "background" if bad else "value", "reduceOptions": {"calcs": ["lastNotNull"]}}
    shown = {"defaults": {"thresholds": thresholds}, "options": options, "width": 4, "height": 4, **more}
    return panel("stat", title, {"": expression}, **shown)


def steps(*levels: tuple[float | None, str]) -> Json:
    """Thresholds: from each value on, that colour."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in levels]}


def quantiles(metric: str, by: str, selector: str = "", **shares: float) -> Queries:
    """Quantiles of a histogram, by legend."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", ")) if by else ""
    labels = f"{by}, le" if by else "le"
    rates = f"sum by ({labels}) (rate({metric}_bucket{selector}{RATE}))"
    return {f"{legend} {name}".strip(): f"histogram_quantile({share}, {rates})" for name, share in shares.items()}


def variable(name: str, query: str) -> Json:
    """A choice at the top of the dashboard."""
    asked = {"datasource": SOURCE, "query": {"query": query, "refId": name}}
    return {"type": "query", "name": name, "label": name, **asked, "refresh": 2, "sort": 1, "multi": False}


def annotation(name: str, color: str, expression: str, title: str) -> Json:
    """Marks on every graph, wherever the expression has a value."""
    more = {"expr": expression, "titleFormat": title, "step": "15s", "useValueForTime": False}
    return {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color, **more}


def dashboard(
    uid: str,
    title: str,
    panels: Iterable[Json],
    variables: Iterable[Json] = (),
    annotations: Iterable[Json] = (),
) -> Json:
    """A dashboard by Grafana's classic JSON model."""
    link = {"type": "dashboards", "title": "Haldane", "tags": ["haldane"], "keepTime": True, "icon": "", "tooltip": ""}
    plain = {"targetBlank": False, "includeVars": False, "asDropdown": False}
    source = {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1}
    return {
        "uid": uid,
        "title": title,
        "tags": ["haldane"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "annotations": {"list": list(annotations)},
        "links": [link | plain],
        "panels": list(placed(panels)),
    }


def placed(panels: Iterable[Json]) -> Iterable[Json]:
    """Each panel with its id and its place."""
    x = y = row = 0
    for identifier, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > COLUMNS:
            x, y, row = 0, y + row, 0
        yield {"id": identifier, **each, "gridPos": {**place, "x": x, "y": y}}
        x, row = x + place["w"], max(row, place["h"])
