"""What the end-to-end tests stand on: a real PostgreSQL, the real binaries, a real nginx."""
