"""The small world that the model plays in: two services of three versions."""

from controller.core.model.service import Policy
from controller.core.servicefile.service_file import read_service
from tests.builders import service_file

FREE, ASKED = "free", "asked"
NAMES = (FREE, ASKED)
"""`FREE` climbs by itself, from a shadow step on; `ASKED` needs a person's yes before a quarter and before half."""

TESTER, VETERAN = "x-tester", "x-veteran"
"""Headers of pinned requests: to the canary, and to stable."""

TRAFFIC = f"""\
match: [{{headers: {{{TESTER}: "yes"}}, to: canary}}, {{headers: {{{VETERAN}: "yes"}}, to: stable}}]
"""
MORE = {FREE: TRAFFIC + "shield: true\n", ASKED: TRAFFIC + "sticky: {header: x-user-id}\n"}
MIRROR = "mirror: {to: v3, share: 10%}\n"

RULES = """\
  steps: [{shadow}5%, 25%, 50%]
  approve: [{approve}]
  dwell: 10s
  warmup: 0s
  bake: 20s
  deadline: 30d
"""


def declared(name: str, *, third: bool = True, moved: bool = False) -> str:
    """A service file, on a port of its own. `third`: with v3, which gets copies; `moved`: v2 has another endpoint."""
    port = 10_000 + NAMES.index(name)
    endpoints = {"v1": port + 100, "v2": port + (250 if moved else 200)} | ({"v3": port + 300} if third else {})
    return service_file(
        name,
        port,
        endpoints={version: f"127.0.0.1:{place}" for version, place in endpoints.items()},
        more=MORE[name] + (MIRROR if third else ""),
        policy=RULES.format(shadow="shadow 10s, ", approve="")
        if name == FREE
        else RULES.format(shadow="", approve="25%, 50%"),
    )


def _policy() -> Policy:
    read = read_service(declared(FREE)).service
    assert read
    return read.policy


POLICY = _policy()
"""That of `FREE`."""
