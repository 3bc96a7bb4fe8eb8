"""Several controllers over etcd, for real: one is killed in the middle of a rollout, and clients notice nothing."""
