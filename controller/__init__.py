"""Haldane: a canary traffic controller for ML model servers behind Envoy."""

__version__ = "0.1.0"
