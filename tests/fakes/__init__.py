"""Stand-ins for the ports of the controller: a clock, proxies, a store, meters and hooks that a test controls."""
