"""The server process: clients, access, the newest frames. It holds no privilege."""
