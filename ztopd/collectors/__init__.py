"""One file per source of truth: a reader beside a pure parser. No socket, no asyncio, nothing of the server."""
