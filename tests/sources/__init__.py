"""Sources of endpoints."""
