"""Traces of decisions by OpenTelemetry: from the report that led to one to the ACKs of the proxies."""
