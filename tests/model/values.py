"""The small world that the model plays in: two services of three versions."""

from controller.core.model.service import Policy
from controller.core.servicefile.service_file import read_service

FREE, ASKED = "free", "asked"
NAMES = (FREE, ASKED)
"""`FREE` climbs by itself; `ASKED` needs a person's yes before a quarter and before half."""

FILE = """\
service: {name}
listen: {{port: {port}}}
versions:
  v1: {{endpoints: ["127.0.0.1:{first}"]}}
  v2: {{endpoints: ["127.0.0.1:{second}"]}}
{third}stable: v1
policy:
  steps: [5%, 25%, 50%]
  approve: [{approve}]
  dwell: 10s
  warmup: 0s
  bake: 20s
  deadline: 30d
"""


def declared(name: str, *, third: bool = True, moved: bool = False) -> str:
    """A service's file. Each has a port, so a route table, of its own. `third`: with v3; `moved`: v2 is elsewhere."""
    port = 10_000 + NAMES.index(name)
    return FILE.format(
        name=name,
        port=port,
        first=port + 100,
        second=port + (250 if moved else 200),
        third=f'  v3: {{endpoints: ["127.0.0.1:{port + 300}"]}}\n' if third else "",
        approve="" if name == FREE else "25%, 50%",
    )


def _policy() -> Policy:
    read = read_service(declared(FREE)).service
    assert read
    return read.policy


POLICY = _policy()
"""That of `FREE`."""
