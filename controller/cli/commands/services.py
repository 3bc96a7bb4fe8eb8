"""`list`, `get`: the services and their rollouts."""

import time

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import print_json, print_table, service_document
from controller.cli.shell_completion import service_argument
from controller.cli.text.service_lines import SERVICE_HEADER, broken_lines, service_cells, service_lines
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command("list")
@client_options
@click.pass_obj
def list_services(invocation: Invocation) -> None:
    """List the services, one in a row."""
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("Catalog/ListServices", pb.ListServicesRequest(), pb.ListServicesResponse)
    if invocation.json:
        services = [service_document(service) for service in response.services]
        broken, problem = dict(response.broken), response.store_problem
        print_json({"services": services, "broken": broken, "store_problem": problem})
        return
    if response.services:
        print_table(SERVICE_HEADER, [service_cells(service) for service in response.services])
    else:
        click.echo("there are no services: declare one with `haldane apply -f FILE`")
    for line in broken_lines(response):
        click.echo(f"error: {line}", err=True)


@click.command()
@service_argument
@client_options
@click.pass_obj
def get(invocation: Invocation, service: str) -> None:
    """Show a service: its rollout, its freezes and its service file."""
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("Catalog/GetService", pb.GetServiceRequest(service=service), pb.Service)
    if invocation.json:
        print_json(service_document(response))
    else:
        for line in service_lines(response, time.time()):
            click.echo(line)
