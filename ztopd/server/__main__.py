"""``python -m ztopd.server``: started by the sampler, which feeds it frames; nobody else has a use for it."""

import argparse
import asyncio
import grp
import logging
import os
import signal
import socket
import sys

from ztopd.feed import FeedDecoder
from ztopd.server.hub import Hub, Settings
from ztopd.server.listener import Listener
from ztopd.server.privileges import drop_privileges

_log = logging.getLogger("ztopd.server")

BACKLOG = 64


class _Feed(asyncio.Protocol):
    """The sampler's pipe. Its end is ours."""

    def __init__(self, hub: Hub, ended: "asyncio.Future[int]") -> None:
        self._hub = hub
        self._ended = ended
        self._decoder = FeedDecoder()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.frames(data):
                self._hub.take(message)
        except ValueError:
            _log.exception("the feed cannot be followed")
            _end(self._ended, 1)

    def connection_lost(self, error: Exception | None) -> None:
        _end(self._ended, 0)


def _end(ended: "asyncio.Future[int]", status: int) -> None:
    if not ended.done():
        ended.set_result(status)


async def serve(settings: Settings, feed_fd: int, listen_fd: int | None, private_fd: int | None) -> int:
    """Serves until the feed ends, or the private client is gone; returns the exit status."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    hub = Hub(settings)
    loop.add_signal_handler(signal.SIGTERM, _end, ended, 0)
    feed, _ = await loop.connect_read_pipe(lambda: _Feed(hub, ended), os.fdopen(feed_fd, "rb", buffering=0))
    if listen_fd is not None:
        # never closed by us: newer asyncio would remove the socket's file, which is the sampler's
        await loop.create_unix_server(Listener(hub).connection, sock=socket.socket(fileno=listen_fd), backlog=BACKLOG)
    else:
        listener = Listener(hub, is_private=True, ended=lambda: _end(ended, 0))
        await loop.create_unix_connection(listener.connection, sock=socket.socket(fileno=private_fd))
    status = await ended
    feed.close()
    return status


def main() -> int:
    """The server process."""
    # a terminal's Ctrl-C and hang-up are for the sampler to judge: it closes the feed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(format="ztopd: server: %(levelname)s: %(message)s")
    parser = argparse.ArgumentParser("ztopd.server", description="Started by ztopd; not to be run by hand.")
    parser.add_argument("--feed-fd", type=int, required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--listen-fd", type=int)
    where.add_argument("--private-fd", type=int)
    parser.add_argument("--interval-ns", type=int, required=True)
    parser.add_argument("--sampler-pid", type=int, required=True)
    parser.add_argument("--group", default="")
    options = parser.parse_args()
    if problem := drop_privileges():
        _log.warning("%s", problem)
    settings = Settings(options.interval_ns, options.sampler_pid, _gid(options.group))
    return asyncio.run(serve(settings, options.feed_fd, options.listen_fd, options.private_fd))


def _gid(group: str) -> int | None:
    """The group's number, looked up this once: name services may block."""
    if not group:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        _log.warning("there is no group %s: nobody but root sees everything", ascii(group))
        return None


if __name__ == "__main__":
    sys.exit(main())
