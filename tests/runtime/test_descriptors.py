"""The controller may have as many connections as its system allows."""

import resource

from controller.demo.harness.child_processes import Children
from tests.support.controller import ControllerProcess


async def test_the_controller_raises_its_limit_of_open_files(processes: Children) -> None:
    """A shell's usual limit of 1024 would be reached by a thousand proxies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    controller = ControllerProcess(processes)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1, 1024), hard))
    try:
        await controller.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(controller.child.pid, resource.RLIMIT_NOFILE) == (hard, hard)
