"""The process that measures: the tick, the reader child, and the pipe to the server."""
