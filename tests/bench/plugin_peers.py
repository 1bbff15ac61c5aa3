"""Peers as a third party would register them, some of which do what no library should."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from actbench.peers.base import Description, Peer, Prepared, Request, Tables


class Good(Peer):
    """Computes relu."""

    name = "good"
    packages = ()
    extra = "good"
    vice: Callable[[], object] = staticmethod(lambda: None)

    def _describe(self) -> Description:
        return Description("1", "none", "one", "none")

    def set_threads(self, count: int) -> int:
        return count

    def _tables(self) -> Tables:
        return Tables(forward={"relu": lambda p: lambda x: np.maximum(x, 0)})

    def _bind(self, request: Request, body: Any) -> Prepared:
        (x,) = request.operands
        if x.size == 1000:
            type(self).vice()
        return Prepared(lambda: body(x), lambda: body(x))


class Crashing(Good):
    name = "crashing"
    vice = staticmethod(lambda: os.kill(os.getpid(), signal.SIGSEGV))


class Leaving(Good):
    name = "leaving"
    vice = staticmethod(lambda: os._exit(3))


class Quitting(Good):
    name = "quitting"
    vice = staticmethod(lambda: sys.exit(1))


class Gone(Good):
    """Is there in the parent alone."""

    name = "gone"

    def __init__(self) -> None:
        if multiprocessing.parent_process() is not None:
            raise ImportError("no such library")


class Hanging(Good):
    name = "hanging"
    vice = staticmethod(lambda: time.sleep(3600))


class Greedy(Good):
    name = "greedy"
    taken: list[bytearray] = []  # noqa: RUF012

    @staticmethod
    def vice() -> None:
        while True:
            Greedy.taken.append(bytearray(os.urandom(1) * 2**24))


class Telling(Good):
    """Says what the environment of its process is, and leaves a process behind."""

    name = "telling"

    def _describe(self) -> Description:
        left = subprocess.Popen(["sleep", "600"])
        return Description(str(left.pid), os.environ.get("GLIBC_TUNABLES", ""), "one", "none")


class Mute(Good):
    name = "mute"

    def _describe(self) -> Description:
        os.abort()
