"""Rollouts without a fleet: recorded reports judged, policies played against described canaries in virtual time."""
