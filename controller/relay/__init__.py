"""Passes what the proxies of one controller report on to the controller that decides."""
