"""The distributed store: etcd, by a client of our own."""
