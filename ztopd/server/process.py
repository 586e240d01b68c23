"""The server process from its start to its end."""

import argparse
import asyncio
import errno
import grp
import logging
import os
import signal
import socket
from functools import partial
from typing import Any, BinaryIO

from ztop_protocol.garbage import collect_seldom
from ztopd.feed import TAKEN, FeedDecoder
from ztopd.history import ring
from ztopd.history.command_lines import CommandLines
from ztopd.history.keeper import StoreSettings
from ztopd.history.retention import Limits
from ztopd.history.state import StoreState
from ztopd.history.store import Store
from ztopd.privileges import drop_privileges
from ztopd.server.hub import Hub, Settings
from ztopd.server.listener import Listener

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
            messages = self._decoder.frames(data)
            for message in messages:
                self._hub.take(message)
            if messages:
                self._hub.answer(TAKEN)
            if (between := self._decoder.take_between()) is not None:
                self._hub.take_between(between)
        except ValueError:
            _log.exception("the feed cannot be followed")
            _end(self._ended, 1)

    def connection_lost(self, error: Exception | None) -> None:
        _end(self._ended, 0)


def _end(ended: "asyncio.Future[int]", status: int) -> None:
    if not ended.done():
        ended.set_result(status)


class _Unhandled:
    """What nothing else took, in the event loop."""

    def __init__(self, ended: "asyncio.Future[int]") -> None:
        self._ended = ended
        self._is_full = False

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, MemoryError):
            # the loop would fail at the same reading for ever: a new process begins without a ring
            if not self._ended.done():
                _log.error("there is no memory left")
                _end(self._ended, 1)
        elif isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            # who comes waits, and is let in a second after there are some again
            if not self._is_full:
                self._is_full = True
                _log.warning("there is no descriptor for another client: %s", error.strerror)
        else:
            loop.default_exception_handler(context)


async def serve(
    settings: Settings,
    feed: BinaryIO,
    clients: socket.socket,
    *,
    is_private: bool,
    store_settings: StoreSettings | None = None,
) -> int:
    """Serves until the feed ends, or the private client is gone; returns the exit status.

    ``clients`` is the listening socket, or the one connection to the private client.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    loop.set_exception_handler(_Unhandled(ended))
    store: Store | None = None
    if store_settings is not None:
        tell = partial(_tell, settings.wish_fd)
        store = Store(store_settings, settings.interval_ns, call_soon=loop.call_soon_threadsafe, tell=tell)
    hub = Hub(settings, store)
    loop.add_signal_handler(signal.SIGTERM, _end, ended, 0)
    pipe, _ = await loop.connect_read_pipe(lambda: _Feed(hub, ended), feed)
    if is_private:
        listener = Listener(hub, is_private=True, ended=lambda: _end(ended, 0))
        await loop.create_unix_connection(listener.connection, sock=clients)
    else:
        listener = Listener(hub)
        # this asyncio server is never closed: newer ones would remove the socket's file, which is the sampler's
        await loop.create_unix_server(listener.connection, sock=clients, backlog=BACKLOG)
    status = await ended
    pipe.close()
    await listener.close()
    if store is not None:
        store.close()
    return status


def _tell(wish_fd: int | None, state: StoreState) -> None:
    """Tells the sampler how the store is."""
    if wish_fd is None:
        return
    try:
        os.write(wish_fd, state.value)
    except BlockingIOError:
        # full of wishes and answers, which are many and short-lived
        asyncio.get_running_loop().call_later(1.0, _tell, wish_fd, state)
    except BrokenPipeError:
        # the end of the feed will say that the sampler is gone
        pass


def main() -> int:
    """The server process."""
    # a terminal's Ctrl-C and hang-up are for the sampler to judge: it closes the feed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(format="ztopd: server: %(levelname)s: %(message)s")
    parser = argparse.ArgumentParser("ztopd.server", description="Started by ztopd; not to be run by hand.")
    parser.add_argument("--feed-fd", type=int, required=True)
    parser.add_argument("--wish-fd", type=int)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--listen-fd", type=int)
    where.add_argument("--private-fd", type=int)
    parser.add_argument("--interval-ns", type=int, required=True)
    parser.add_argument("--sampler-pid", type=int, required=True)
    parser.add_argument("--group", default="")
    parser.add_argument("--proc", default="/proc")
    parser.add_argument("--ring-frames", type=int, default=ring.FRAMES)
    parser.add_argument("--ring-bytes", type=int, default=ring.SIZE_BYTES)
    parser.add_argument("--command-lines", type=CommandLines, default=CommandLines.FULL)
    parser.add_argument("--store", help="a directory, with all of the following")
    parser.add_argument("--run", help="names this run of the sampler")
    parser.add_argument("--store-bytes", type=int)
    parser.add_argument("--store-age-ns", type=int)
    options = parser.parse_args()
    if problem := drop_privileges():
        _log.warning("%s", problem)
    gid = _gid(options.group)
    settings = Settings(
        *(options.interval_ns, options.sampler_pid, gid, None if gid is None else options.group),
        *(options.proc, options.wish_fd),
        *(options.ring_frames, options.ring_bytes, options.command_lines),
    )
    store = None
    if options.store is not None:
        store = StoreSettings(options.store, options.run, Limits(options.store_age_ns, options.store_bytes))
    is_private = options.listen_fd is None
    # whoever asks for a frame of the past makes thousands of tuples, and none in a cycle
    collect_seldom()
    feed = os.fdopen(options.feed_fd, "rb", buffering=0)
    with socket.socket(fileno=options.private_fd if is_private else options.listen_fd) as clients:
        return asyncio.run(serve(settings, feed, clients, is_private=is_private, store_settings=store))


def _gid(group: str) -> int | None:
    """The group's number, looked up this once: name services may block."""
    if not group:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        _log.warning("there is no group %s: nobody but root sees everything", ascii(group))
        return None
