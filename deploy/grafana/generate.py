"""Write the dashboards beside this file. With --check, only compare.

Each panel is one call: what it shows, its unit, and its queries with the legend of each.
"""

import json
import sys
from pathlib import Path

from panels import RATE, Json, annotation, dashboard, graph, number, panel, quantiles, states, variable

FOLDER = Path(__file__).parent
RUNNING = "WARMING|PROGRESSING|PAUSED|AWAITING_APPROVAL|PROMOTING|BAKING|ROLLING_BACK"
FAILED, ANSWERED = 'outcome=~"5xx|broken"', 'outcome!="cancelled"'


def fleet() -> Json:
    """Every service and every proxy at a glance."""
    return dashboard(
        "haldane-fleet",
        "Haldane / Fleet",
        [
            number("Services", "count(count by (service) (haldane_phase))"),
            number("Rollouts under way", f'sum(max by (service, phase) (haldane_phase{{phase=~"{RUNNING}"}}))'),
            number("Suppressed rollbacks", "sum(max by (service) (haldane_rollback_suppressed))", bad=True),
            number("Blind rollouts", "sum(max by (service) (haldane_blind))", bad=True),
            number("Freezes and holds", "sum(max by (scope) (haldane_frozen))"),
            number("Proxies out of sync", 'sum(haldane_proxies{state=~"STALE|ERROR"})', bad=True),
            panel(
                "table",
                "Rollouts",
                {"": 'max by (service, phase) (haldane_phase{phase!="IDLE"}) == 1'},
                width=6,
                text="The phase of each service that has had a rollout.",
            ),
            panel(
                "table",
                "What blocks",
                {"": "max by (service, blocker) (haldane_rollout_blocked)"},
                width=6,
                text="What keeps each running rollout from its next move.",
            ),
            graph(
                "Traffic off the largest version",
                {"{{service}}": "1 - max by (service) (haldane_weight_ratio)"},
                unit="percentunit",
                width=12,
                text="0 while one version has everything.",
            ),
            graph("Requests", {"{{service}}": f"sum by (service) (rate(haldane_requests_total{RATE}))"}, unit="reqps"),
            graph("Server errors", {"{{service}}": share(FAILED, "service")}, unit="percentunit"),
            graph(
                "Latency, p99",
                quantiles("haldane_request_duration_seconds", "service", p99=0.99),
                unit="s",
            ),
            graph("Proxies", {"{{fleet}} {{state}}": "sum by (fleet, state) (haldane_proxies)"}),
            graph("NACKs", {"{{type}}": f"sum by (type) (rate(haldane_xds_rejects_total{RATE}))"}, unit="cps"),
            graph(
                "Healthy endpoints",
                {"{{service}} {{version}}": 'min by (service, version) (haldane_endpoints{state="healthy"})'},
                text="For the proxy that has the fewest.",
            ),
            graph(
                "Rollbacks in an hour",
                {"{{service}} {{reason}}": "sum by (service, reason) (increase(haldane_rollbacks_total[1h]))"},
            ),
            graph(
                "Stable versions that break their limits",
                {"{{service}}": "max by (service) (haldane_stable_unhealthy)"},
            ),
            graph(
                "Reports that do not count",
                {"{{reason}}": f"sum by (reason) (rate(haldane_reports_ignored_total{RATE}))"},
                unit="cps",
            ),
        ],
    )


def rollout() -> Json:
    """One service: where its rollout is, what was seen, and what was decided."""
    one = 'service="$service"'
    requests = f"sum by (version) (rate(haldane_requests_total{{{one}}}{RATE}))"
    return dashboard(
        "haldane-rollout",
        "Haldane / Rollout",
        [
            states("Phase", {"{{phase}}": f"max by (phase) (haldane_phase{{{one}}})"}, width=12),
            states(
                "What blocks",
                {"{{blocker}}": f"max by (blocker) (haldane_rollout_blocked{{{one}}})"},
                width=12,
                text="What keeps the rollout from its next move: `dwell`, `bake` and `evidence` are its usual course.",
            ),
            graph(
                "Share",
                {"{{version}}": f"max by (version) (haldane_weight_ratio{{{one}}})"},
                unit="percentunit",
                custom={"lineInterpolation": "stepAfter", "fillOpacity": 20},
                defaults={"min": 0, "max": 1},
                text="What was decided. What proxies send is among the requests.",
            ),
            graph("Requests", {"{{version}}": requests}, unit="reqps"),
            graph(
                "Errors",
                {
                    "{{version}} server": share(FAILED, "version", one),
                    "{{version}} client": share('outcome="4xx"', "version", one),
                },
                unit="percentunit",
                text="Of the answered requests. Server: 5xx, and responses that broke after their headers.",
            ),
            graph(
                "Evidence of harm",
                {
                    "all channels": f"max(haldane_evidence_combined{{{one}}})",
                    "limit": f"max(haldane_evidence_limit{{{one}}})",
                },
                custom={"scaleDistribution": {"type": "log", "log": 10}},
                defaults={},
                text="An e-value: 1 says nothing, and at the limit the canary is rolled back.",
            ),
            graph(
                "Evidence by channel",
                {"{{channel}}": f"max by (channel) (haldane_evidence{{{one}}})"},
                custom={"scaleDistribution": {"type": "log", "log": 10}},
                defaults={},
                text="What the evidence would be if all of it were staked on that channel.",
            ),
            graph(
                "Healthy endpoints",
                {"{{version}}": f'min by (version) (haldane_endpoints{{{one}, state="healthy"}})'},
                text="For the proxy that has the fewest.",
            ),
            graph(
                "Latency",
                quantiles("haldane_request_duration_seconds", "version", f"{{{one}}}", p50=0.5, p99=0.99),
                unit="s",
                text="To the last byte. Each edge is one of Envoy's; between two, Prometheus interpolates.",
            ),
            graph(
                "Time to the first token",
                quantiles("haldane_time_to_first_token_seconds", "version", f"{{{one}}}", p50=0.5, p99=0.99),
                unit="s",
                text="Of services with `streaming: true`.",
            ),
            graph(
                "Rollbacks",
                {
                    "{{reason}}": f"sum by (reason) (increase(haldane_rollbacks_total{{{one}}}[1h]))",
                    "suppressed": f"sum(increase(haldane_rollbacks_suppressed_total{{{one}}}[1h]))",
                },
                text="In an hour.",
            ),
        ],
        variables=[variable("service", "label_values(haldane_phase, service)")],
        annotations=[
            annotation("phases", "blue", change("haldane_phase", "phase", one), "{{phase}}"),
            annotation(
                "shares",
                "green",
                f"max by (version) (changes(haldane_weight_ratio{{{one}}}[1m])) > 0",
                "the share of {{version}} changes",
            ),
            annotation(
                "freezes", "purple", 'max by (scope) (haldane_frozen{scope=~"$service|\\\\*"}) == 1', "{{scope}} frozen"
            ),
            annotation(
                "suppressed rollback", "red", f"max(haldane_rollback_suppressed{{{one}}}) == 1", "rollback suppressed"
            ),
        ],
    )


def controllers() -> Json:
    """Whether the controllers are well."""
    return dashboard(
        "haldane-controllers",
        "Haldane / Controllers",
        [
            number("Leading", "sum(max by (controller) (haldane_controller_leads))"),
            number("Term", "max(haldane_term)"),
            number("Stores down", "sum(1 - haldane_store_up)", bad=True),
            number("Tick errors in an hour", "sum(increase(haldane_tick_errors_total[1h]))", bad=True),
            number(
                "First certificate expires in",
                "min(haldane_certificate_expiry_timestamp_seconds - time())",
                unit="s",
                width=8,
                text="Nothing without `[tls]`.",
            ),
            panel("table", "Versions", {"": "count by (instance, version, python) (haldane_build_info)"}),
            states("Who decides", {"{{controller}}": "max by (controller) (haldane_controller_leads)"}),
            graph("Revisions behind", {"{{controller}}": "max by (controller) (haldane_controller_behind)"}),
            graph(
                "Cycles",
                {"{{instance}}": f"rate(haldane_cycles_total{RATE})"},
                unit="cps",
                text="Rounds over the services.",
            ),
            graph(
                "Ticks",
                {"{{instance}}": f"rate(haldane_tick_seconds_count{RATE})"},
                unit="cps",
                text="Of one rollout each.",
            ),
            graph("Duration of a tick", quantiles("haldane_tick_seconds", "", p50=0.5, p99=0.99), unit="s"),
            graph(
                "From a revision to a proxy's ACK",
                quantiles("haldane_proxy_convergence_seconds", "", p50=0.5, p99=0.99),
                unit="s",
            ),
            graph(
                "Notifications",
                {"{{target}} {{outcome}}": f"sum by (target, outcome) (rate(haldane_notifications_total{RATE}))"},
                unit="cps",
                text="Ledger lines. Nothing without `[notify]`.",
            ),
            graph(
                "Hooks",
                {"{{hook}} {{outcome}}": f"sum by (hook, outcome) (rate(haldane_hooks_total{RATE}))"},
                unit="cps",
                text="Nothing without `[hooks]`.",
            ),
            graph(
                "Refused requests",
                {"{{door}} {{code}}": f"sum by (door, code) (rate(haldane_denied_total{RATE}))"},
                unit="cps",
                text="Because of who called.",
            ),
        ],
    )


def share(outcomes: str, by: str, selector: str = "") -> str:
    """The share of the answered requests that ended in one of these outcomes."""
    more = f", {selector}" if selector else ""
    ended = [f"sum by ({by}) (rate(haldane_requests_total{{{each}{more}}}{RATE}))" for each in (outcomes, ANSWERED)]
    return " / ".join(ended)


def change(metric: str, label: str, selector: str) -> str:
    """What holds now and did not a minute ago."""
    now, before = (f"max by ({label}) ({metric}{{{selector}}}{offset}) == 1" for offset in ("", " offset 1m"))
    return f"({now}) unless ({before})"


DASHBOARDS = {"fleet.json": fleet, "rollout.json": rollout, "controllers.json": controllers}


def main() -> None:
    """Write the files, or check that what is there is what would be written."""
    fresh = {name: json.dumps(make(), indent=1) + "\n" for name, make in DASHBOARDS.items()}
    files = {name: FOLDER / name for name in fresh}
    stale = [n for n, text in fresh.items() if not files[n].exists() or files[n].read_text(encoding="utf-8") != text]
    if sys.argv[1:] == ["--check"] and stale:
        raise SystemExit(f"not fresh: {', '.join(stale)}. Run python deploy/grafana/generate.py")
    for name in stale:
        files[name].write_text(fresh[name], encoding="utf-8")


if __name__ == "__main__":
    main()
