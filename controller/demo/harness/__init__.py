"""What the demo shares with the tests: child processes, free ports, the Envoy binary and a load
over HTTP.

Nothing here knows the demo or the tests; docs/demo.md lists the modules.
"""
