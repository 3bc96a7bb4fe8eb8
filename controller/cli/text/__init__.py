"""What people read: pure functions from API messages to lines, tables and the screen of `watch`."""
