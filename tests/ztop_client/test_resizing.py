"""A terminal that is resized a thousand times: the last size is drawn right, and nothing has grown."""

import fcntl
import os
import random
import select
import struct
import termios

import psutil

from tests.ztop_client.terminal_driver import Driver, scripted

TIMES = 1000


def discard(driver: Driver) -> None:
    """What was drawn for a size that is gone already; to follow it would take longer than to draw it."""
    while select.select([driver.fd], [], [], 0)[0]:
        driver.output = bytearray(os.read(driver.fd, 1 << 16))


def resize_often(driver: Driver, times: int, chosen: random.Random) -> None:
    for _ in range(times):
        columns, lines = chosen.choice([(1, 1), (chosen.randrange(1, 400), chosen.randrange(1, 120))])
        fcntl.ioctl(driver.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        discard(driver)


def test_a_thousand_sizes() -> None:
    with Driver(scripted(), columns=100, lines=30) as driver:
        driver.wait("98.0")
        client, chosen = psutil.Process(driver.pid), random.Random(7)
        # the largest size has its caches, as the others will
        fcntl.ioctl(driver.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 120, 400, 0, 0))
        resize_often(driver, TIMES // 5, chosen)
        before = client.memory_info().rss
        resize_often(driver, TIMES, chosen)
        for columns, lines in ((80, 24), (132, 43)):
            driver.screen.reset()
            driver.resize(columns, lines)
            driver.wait(lambda lines=lines: "Quit" in driver.screen.display[lines - 1])
            driver.wait(lambda: "live" in driver.screen.display[0] and "98.0" in driver.text)
        assert client.memory_info().rss - before < 16 << 20
        assert client.num_fds() < 20
        driver.send("q")
        assert driver.ended() == 0
