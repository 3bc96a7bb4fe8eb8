"""Load on a model server or on Envoy, by hand.

`python -m controller.demo.load http://127.0.0.1:10000/v2/models/fraud-scorer/infer --rate 50`
"""

import asyncio
import random

import click

from controller.demo.digit_models import held_out
from controller.demo.harness.flow import Flow, flows
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.inference_protocol import write_request

REPORT_EVERY = 2.0
"""Seconds between two reports."""


def held_out_requests(seed: int = 1) -> list[bytes]:
    """Requests for every held-out image of the data set, in an order that the seed gives."""
    images, _ = held_out()
    bodies = [write_request(image) for image in images]
    random.Random(seed).shuffle(bodies)  # noqa: S311  (an order, no secret)
    return bodies


def flow_line(source: str, flow: Flow) -> str:
    """A flow in one line."""
    rate, times = f"{flow.per_second:6.1f}/s", f"p50 {flow.p50_ms:6.1f} ms  p99 {flow.p99_ms:6.1f} ms"
    return f"{source:12} {rate}  {flow.errors:4d} errors  {times}"


async def _report(load: LoadGenerator) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY)
        for source, flow in load.last(REPORT_EVERY).items():
            click.echo(flow_line(source, flow))


async def _run(load: LoadGenerator, seconds: float) -> None:
    reporting = asyncio.create_task(_report(load))
    try:
        await load.run(seconds)
    finally:
        reporting.cancel()


@click.command()
@click.argument("url")
@click.option("--rate", type=click.FloatRange(0.1, 1000), default=50.0, show_default=True, help="Requests a second.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True)
def main(url: str, rate: float, seconds: float) -> None:
    """Send real images to URL (.../v2/models/NAME/infer), and print what each version responds."""
    load = LoadGenerator(url, held_out_requests(), rate=rate)
    asyncio.run(_run(load, seconds))
    click.echo("in all")
    for source, flow in flows(load.results, seconds).items():
        click.echo(flow_line(source, flow))


if __name__ == "__main__":
    main()
