"""CPU time of other processes, to the nanosecond (Linux).

`/proc/<pid>/stat` counts in hundredths of a second, which a measurement of a few tenths would drown in; the clock of
a process, which any process may read, does not.
"""

from __future__ import annotations

import ctypes
import time

import psutil

_LIBC = ctypes.CDLL(None, use_errno=True)


def seconds(root: int) -> float:
    """What the process `root` and those it has started have used since they began: user and system time of all
    threads, and of children that have ended and been waited for."""
    process = psutil.Process(root)
    ended = process.cpu_times()
    total = _clock(root) + ended.children_user + ended.children_system
    return total + sum(_clock(child.pid) for child in process.children(recursive=True))


def _clock(pid: int) -> float:
    clock = ctypes.c_int()
    return 0.0 if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)) else time.clock_gettime(clock.value)
