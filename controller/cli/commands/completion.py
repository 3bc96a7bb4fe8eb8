"""`completion`: the script that teaches a shell to complete `haldane`."""

import click
from click.shell_completion import get_completion_class

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, output_option
from controller.cli.output import print_json

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HALDANE_COMPLETE"
"""The environment variable by which the script asks `haldane` for completions."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@output_option
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: commands, options, and the names of services,
    versions and fleets.

    For bash: eval "$(haldane completion bash)" in ~/.bashrc.
    """
    scripts = get_completion_class(shell)
    if scripts is None:  # click drops a shell
        raise Failure(Exit.FAILED, f"this version of click does not support {shell}")
    script = scripts(ctx.find_root().command, {}, "haldane", VARIABLE).source()
    if ctx.ensure_object(Invocation).json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script, nl=False)
