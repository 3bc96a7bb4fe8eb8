"""Further processes of one controller (`workers`): they follow the first one, which has the store and decides, and
serve proxies at the same port."""
