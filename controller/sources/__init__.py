"""Sources of endpoints: Kubernetes, files, DNS."""
