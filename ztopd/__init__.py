"""The daemon: measures one machine, remembers what it measured, and serves it."""
