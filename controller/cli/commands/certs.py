"""`certs`: certificates for a first day and for tests."""

import re
from pathlib import Path

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, output_option
from controller.cli.output import print_json

OPERATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
HOST = re.compile(r"\*?[A-Za-z0-9.:-]{1,253}")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--fleet", "fleets", multiple=True, metavar="F", help="A fleet of proxies. Repeatable.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="The controller's host name or IP. Repeatable.")
@click.option("--operator", "operators", multiple=True, metavar="NAME", help="A person or program. Repeatable.")
@output_option
@click.pass_obj
def certs(
    invocation: Invocation, folder: Path, fleets: tuple[str, ...], hosts: tuple[str, ...], operators: tuple[str, ...]
) -> None:
    """Make a CA and certificates for a first day and for tests: the controller's, each fleet's, each
    operator's.

    A folder each, with tls.crt, tls.key and ca.crt. Nothing is overwritten. To renew one, move its
    folder away and call this again: the CA in DIR is used as long as it is there.
    """
    from controller.identity.first_certificates import issue_all, wanted_certificates  # slow to load

    _check(fleets, hosts, operators)
    wanted = list(wanted_certificates(hosts, fleets, operators))
    if not hosts and (fleets or operators) and (folder / "controller").exists():  # more, for the same controller
        wanted = [each for each in wanted if each.name != "controller"]
    try:
        issue_all(folder, wanted)
    except FileExistsError as error:
        raise Failure(Exit.NOT_POSSIBLE, str(error), code="ALREADY_THERE") from None
    except (OSError, ValueError) as error:
        raise Failure(Exit.FAILED, f"{folder}: {getattr(error, 'strerror', '') or error}") from None
    folders = [str(folder / each.name) for each in wanted]
    settings = _settings(folder.absolute(), operators)
    if invocation.json:
        print_json({"ca": str(folder / "ca.crt"), "folders": folders, "settings": settings})
        return
    for line in (*(f"wrote {each}" for each in folders), "", *settings.splitlines()):
        click.echo(line)
    click.echo(
        "note: this is for a first day and for tests: ca.key is on this disk, and nothing renews the certificates, "
        "which expire in 90 days. In production let cert-manager, SPIRE or your own CA issue them.",
        err=True,
    )


def _check(fleets: tuple[str, ...], hosts: tuple[str, ...], operators: tuple[str, ...]) -> None:
    from controller.core.base.value import NAME

    for option, pattern, values in (("fleet", NAME, fleets), ("host", HOST, hosts), ("operator", OPERATOR, operators)):
        wrong = next((value for value in values if not re.fullmatch(pattern, value)), None)
        if wrong is not None:
            raise click.UsageError(f"--{option}: {wrong!r} is no name")


def _settings(folder: Path, operators: tuple[str, ...]) -> str:
    """What the settings file needs to use them."""
    bindings = [f'\n[[access]]\nsubject = "{operator}"\nrole = "admin"\n' for operator in operators]
    return f"""\
# For the controller's settings file (HALDANE_CONFIG):
[tls]
certificate_file = "{folder}/controller/tls.crt"
key_file = "{folder}/controller/tls.key"
client_ca_file = "{folder}/ca.crt"
{"".join(bindings)}"""
