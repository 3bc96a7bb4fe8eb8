"""`list`, `get`, `proxies`: how things stand."""

import time
from collections.abc import Iterable, Iterator

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json, print_table, service_document
from controller.cli.text.lines import NONE, awaited, clean, clock, conditions, freeze_line, scope, span, synced, weights
from controller.core.base.units import format_weight
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command("list")
@client_options
@click.pass_obj
def list_services(call: Invocation) -> None:
    """Show every service in a row."""
    with AdminClient(call.admin) as client:
        answer = client.ask("Catalog/ListServices", pb.ListServicesRequest(), pb.ListServicesResponse)
    if call.json:
        print_json({"services": [service_document(s) for s in answer.services], "broken": dict(answer.broken)})
        return
    head = ["SERVICE", "PHASE", "STABLE", "CANARY", "WEIGHTS", "PROXIES", "VERDICT", "FROZEN"]
    if answer.services:
        print_table(head, [_row(service) for service in answer.services])
    else:
        click.echo("there are no services: declare one with `haldane apply -f FILE`")
    for service in answer.services:
        if service.problem:
            click.echo(f"error: {clean(service.name)} is served as it was: {clean(service.problem)}", err=True)
    for name, problem in sorted(answer.broken.items()):
        click.echo(f"error: the record of {clean(name)} cannot be read: {clean(problem)}", err=True)


@click.command()
@click.argument("service")
@client_options
@click.pass_obj
def get(call: Invocation, service: str) -> None:
    """Show a service: its rollout, its freezes, and what was declared."""
    with AdminClient(call.admin) as client:
        answer = client.ask("Catalog/GetService", pb.GetServiceRequest(service=service), pb.Service)
    if call.json:
        print_json(service_document(answer))
    else:
        for line in _told(answer, time.time()):
            click.echo(line)


@click.command()
@click.option("--wide", is_flag=True, help="Also each type of resource: wanted, acknowledged, refused.")
@client_options
@click.pass_obj
def proxies(call: Invocation, wide: bool) -> None:
    """Show the connected proxies, and whether they serve what was decided."""
    with AdminClient(call.admin) as client:
        answer = client.ask("Fleet/ListProxies", pb.ListProxiesRequest(), pb.ListProxiesResponse)
    if call.json:
        print_json(plain(answer))
    elif not answer.proxies:
        click.echo(
            "no proxy is connected: start one with `haldane bootstrap --fleet FLEET > envoy.yaml; envoy -c envoy.yaml`"
        )
    elif wide:
        head = ["NODE", "FLEET", "TYPE", "STATE", "SINCE", "WANTED", "ACKNOWLEDGED", "ERROR"]
        print_table(head, [_type_row(p, t, time.time()) for p in answer.proxies for t in p.types])
    else:
        now = time.time()
        head = ["NODE", "FLEET", "CLIENT", "STATE", "CONNECTED", "ERROR"]
        print_table(head, [_proxy_row(p, now) for p in answer.proxies])
        for line in _held_up(answer.proxies, now):
            click.echo(line)


def _row(service: pb.Service) -> list[str]:
    rollout = service.rollout
    return [
        service.name,
        rollout.phase or "IDLE",
        service.stable,
        rollout.canary or NONE,
        weights(service.weights, service.stable),
        synced(rollout) if rollout.phase else NONE,
        "stable: harm" if rollout.stable_verdict == "harm" else _verdict(rollout),
        "; ".join(f"{f.mode}: {scope(f)}, {f.who}" for f in service.freezes) or NONE,
    ]


def _verdict(rollout: pb.Rollout) -> str:
    """The judge's word, and what stands in its way, so that a blind rollout does not look like a quiet one."""
    return ": ".join([rollout.verdict or NONE, *(condition.code for condition in conditions(rollout)[:1])])


def _told(service: pb.Service, now: float) -> list[str]:
    facts = [
        ("service", service.name),
        ("stable", service.stable),
        ("traffic", weights(service.weights, service.stable)),
        ("versions", ", ".join(service.versions)),
        ("listen", service.listen),
        ("fleets", ", ".join(service.fleets) or "every fleet"),
        ("revision", str(service.revision)),
        *([("PROBLEM", f"served as it was, not as it stands: {service.problem}")] if service.problem else []),
        *([("fallback", f"ON THE FALLBACK: {service.diverted}")] if service.diverted else []),
        *(("frozen", freeze_line(freeze, now)) for freeze in service.freezes),
    ]
    if service.HasField("rollout"):
        facts += _rollout_facts(service.rollout, now)
    lines = [f"{name + ':' if name else '':<10}{clean(value)}" for name, value in facts]
    return [*lines, "", "declared:", *(f"  {clean(line)}" for line in service.yaml.splitlines())]


def _rollout_facts(rollout: pb.Rollout, now: float) -> list[tuple[str, str]]:
    steps = ", ".join(format_weight(weight) for weight in rollout.steps)
    return [
        (
            "rollout",
            f"{rollout.canary}: {rollout.phase}" + (f", {rollout.phase_reason}" if rollout.phase_reason else ""),
        ),
        ("started", f"{clock(rollout.started_at, now)} ({span(now - rollout.started_at)} ago)"),
        ("step", f"{rollout.step + 1} of {len(rollout.steps)}: {steps}"),
        ("verdict", rollout.verdict or NONE),
        *(("", ground.text) for ground in rollout.details),
        *(("next", reason) for reason in awaited(rollout)),
        *([("watch", f"stable {rollout.stable_verdict}")] if rollout.stable_verdict else []),
        *(("", reason) for reason in rollout.stable_reasons),
        ("proxies", f"{synced(rollout)} in sync"),
    ]


def _proxy_row(proxy: pb.Proxy, now: float) -> list[str]:
    errors = "; ".join(sorted({t.error for t in proxy.types if t.error}))
    since = span(now - proxy.connected_at) if proxy.connected_at else NONE
    return [proxy.node, proxy.fleet, proxy.client, proxy.state, since, errors or NONE]


def _held_up(proxies: Iterable[pb.Proxy], now: float) -> Iterator[str]:
    """Which rollout waits for whom, and what was refused last."""
    for proxy in proxies:
        for wait in proxy.waits:
            since = f"{clock(wait.since, now)} ({span(now - wait.since)})"
            yield clean(f"{wait.service} waits for {proxy.node} since {since}: {wait.reason}")
    for proxy in proxies:
        if proxy.HasField("refused"):
            last = proxy.refused
            what = last.type_url.rpartition(".")[2]
            yield clean(f"{proxy.node} last refused a {what} at {clock(last.at, now)}: {last.error}")


def _type_row(proxy: pb.Proxy, item: pb.ProxyType, now: float) -> list[str]:
    name = item.type_url.rpartition(".")[2]
    since = clock(item.since, now)
    versions = [_short(item.wanted), _short(item.acknowledged)]
    return [proxy.node, proxy.fleet, name, item.state, since, *versions, item.error or NONE]


def _short(version: str) -> str:
    """A version without the store's id and leading zeros: which revision, which content."""
    return version.rpartition(".")[2].lstrip("0") or NONE
