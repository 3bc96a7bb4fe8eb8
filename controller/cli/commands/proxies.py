"""`proxies`: the connected proxies and their state."""

import time
from collections.abc import Iterable, Iterator, Sequence

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, act_options
from controller.cli.output import plain, print_json, print_table
from controller.cli.text.values import NONE, format_actor, format_span, format_time
from controller.core.base.text import clean
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

REASONS = {
    "no_xds_stream": "it has no xDS stream",
    "other_connection": "the xDS stream of that node is another client's",
    "not_acknowledged": "it has not ACKed the clusters that it reports on, or its fleet is not served them",
}
"""Why reports do not count, by the word that the API has for it."""


@click.command()
@click.option("--wide", is_flag=True, help="Show each resource type: its state, the version wanted and the one ACKed.")
@click.option("--exclude", default="", metavar="NODE", help="Neither judge it nor wait for it; needs --reason.")
@click.option("--include", default="", metavar="NODE", help="Judge it and wait for it again; needs --reason.")
@act_options
@click.pass_obj
def proxies(invocation: Invocation, wide: bool, exclude: str, include: str) -> None:
    """List the connected proxies, whether they are in sync, and who reports without being one.

    An excluded proxy is served as before. What it reported until then stays in the evidence.
    """
    if exclude and include:
        raise click.UsageError("--exclude or --include, not both")
    if exclude or include:
        _act(invocation, exclude, include)
        return
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("Fleet/ListProxies", pb.ListProxiesRequest(), pb.ListProxiesResponse)
    if invocation.json:
        print_json(plain(response))
        return
    if not response.proxies:
        click.echo(
            "no proxy is connected: start one with `haldane bootstrap --fleet FLEET > envoy.yaml; envoy -c envoy.yaml`"
        )
    elif wide:
        header = ["NODE", "FLEET", "TYPE", "STATE", "SINCE", "WANTED", "ACKNOWLEDGED", "ERROR"]
        print_table(header, [_type_row(p, t, time.time()) for p in response.proxies for t in p.types])
    else:
        _print_proxies(response.proxies, time.time())
    if response.HasField("paced"):
        click.echo(_paced(response.paced))
    for line in _unknown(response):
        click.echo(f"error: {line}", err=True)
    for exclusion in response.exclusions:
        since = format_time(exclusion.since, time.time())
        click.echo(clean(f"{exclusion.node} excluded by {format_actor(exclusion)} since {since}: {exclusion.reason}"))
    for stranger in response.strangers:
        click.echo(_stranger_line(stranger, time.time()))


def _print_proxies(proxies: Sequence[pb.Proxy], now: float) -> None:
    """A line each, with its controller where there are several, and what is to be said of some of them."""
    header = ["NODE", "FLEET", "CLIENT", "STATE", "CONNECTED", "REQUESTS", "FAILED", "ERROR"]
    rows = [_proxy_row(proxy, now) for proxy in proxies]
    if any(proxy.controller for proxy in proxies):
        header.insert(2, "CONTROLLER")
        for row, proxy in zip(rows, proxies, strict=True):
            row.insert(2, proxy.controller or NONE)
    print_table(header, rows)
    for line in _blocking(proxies, now):
        click.echo(line)


def _unknown(response: pb.ListProxiesResponse) -> Iterator[str]:
    """Which controllers' proxies are not known now."""
    if response.judged.problem:
        yield clean(response.judged.problem)
    for each in response.unseen:
        reason = "" if each.reason == response.judged.problem else f": {each.reason}"
        yield clean(f"{counted(each.proxies, 'proxy', 'proxies')} of {each.controller} not known{reason}")


def _act(invocation: Invocation, exclude: str, include: str) -> None:
    """Exclude a proxy, or include one again."""
    fields = {"node": exclude or include, "reason": invocation.reason, "request_id": invocation.request_id}
    with AdminClient(invocation.endpoint()) as client:
        response: pb.ExcludeProxyResponse | pb.IncludeProxyResponse
        if exclude:
            response = client.call("Fleet/ExcludeProxy", pb.ExcludeProxyRequest(**fields), pb.ExcludeProxyResponse)
        else:
            response = client.call("Fleet/IncludeProxy", pb.IncludeProxyRequest(**fields), pb.IncludeProxyResponse)
    if invocation.json:
        print_json(plain(response))
    elif exclude:
        click.echo(clean(f"{exclude} is excluded: it is served, and neither judged nor waited for"))
    else:
        click.echo(clean(f"{include} is judged and waited for again"))


def _proxy_row(proxy: pb.Proxy, now: float) -> list[str]:
    errors = "; ".join(sorted({t.error for t in proxy.types if t.error}))
    since = format_span(now - proxy.connected_at) if proxy.connected_at else NONE
    reported = [str(proxy.requests), _failed(proxy)]
    return [proxy.node, proxy.fleet, proxy.client, proxy.state, since, *reported, errors or NONE]


def _failed(proxy: pb.Proxy) -> str:
    return f"{proxy.failed / proxy.requests:.2%}" if proxy.requests else NONE


def _paced(paced: pb.ReportsPaced) -> str:
    """How often proxies report to a controller that has not enough CPU for all of it."""
    often = f"proxies with a canary report every {paced.interval:g} s"
    flushes = f"one flush of metrics in {paced.flushes} is read"
    return f"the controller takes in reports more slowly than they come: {often}, {flushes}"


def _stranger_line(stranger: pb.Stranger, now: float) -> str:
    who = f"{stranger.node} (fleet {stranger.fleet or NONE}, {stranger.peer})"
    last = format_time(stranger.last_report, now)
    reason = REASONS.get(stranger.reason, stranger.reason)
    return clean(f"{who} reports and is no proxy: {reason}; {stranger.reports} not counted, the last at {last}")


def _blocking(proxies: Iterable[pb.Proxy], now: float) -> Iterator[str]:
    """Which rollout waits for which proxy, what each proxy cannot report, and its last NACK."""
    for proxy in proxies:
        for wait in proxy.waits:
            since = f"{format_time(wait.since, now)} ({format_span(now - wait.since)})"
            yield clean(f"{wait.service} waits for {proxy.node} since {since}: {wait.reason}")
    for proxy in proxies:
        if proxy.cut_off:
            yield clean(f"{proxy.node} is unseen: {proxy.controller} is cut off from the controller that decides")
    for proxy in proxies:
        if proxy.blind:
            yield clean(f"{proxy.node} cannot report {proxy.blind}")
    for proxy in proxies:
        if proxy.HasField("refused"):
            nack = proxy.refused
            what = nack.type_url.rpartition(".")[2]
            yield clean(f"{proxy.node} last NACKed a {what} at {format_time(nack.at, now)}: {nack.error}")


def _type_row(proxy: pb.Proxy, item: pb.ProxyType, now: float) -> list[str]:
    name = item.type_url.rpartition(".")[2]
    since = format_time(item.since, now)
    versions = [_short(item.wanted), _short(item.acknowledged)]
    return [proxy.node, proxy.fleet, name, item.state, since, *versions, item.error or NONE]


def _short(version: str) -> str:
    """A version without the store's id and leading zeros: which revision, which content."""
    return version.rpartition(".")[2].lstrip("0") or NONE
