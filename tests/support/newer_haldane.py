"""`haldane` as a later version would be: its records have the next schema, which this one cannot read."""

import sys

from controller.core.model import service_state

service_state.SCHEMA += 1

from controller.store import records  # noqa: E402  (it takes the schema over when it is imported)

if __name__ == "__main__":
    assert isinstance(records.UPGRADES, dict)
    records.UPGRADES[service_state.SCHEMA - 1] = dict

    from controller.__main__ import main

    sys.exit(main(sys.argv[sys.argv.index("controller") + 1 :]))
