"""The CPU time of other processes, in nanoseconds (Linux only).

`/proc/<pid>/stat` counts in hundredths of a second, too coarse for measurements of a few tenths of a second. A process'
CPU clock, which any process may read, is fine enough.
"""

from __future__ import annotations

import ctypes
import time

import psutil

_LIBC = ctypes.CDLL(None, use_errno=True)


def seconds(root: int) -> float:
    """The CPU seconds, user and system, that the process `root` and its descendants have used since they started,
    including children of `root` that have ended and been waited for."""
    process = psutil.Process(root)
    ended = process.cpu_times()
    total = _clock(root) + ended.children_user + ended.children_system
    return total + sum(_clock(child.pid) for child in process.children(recursive=True))


def _clock(pid: int) -> float:
    clock = ctypes.c_int()
    return 0.0 if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)) else time.clock_gettime(clock.value)
