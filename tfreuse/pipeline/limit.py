"""Stops a pass that does not come back: it runs in a thread of its own, which is given up when its time is over.

A thread, and no signal or exception sent to the caller's own: an interrupt that comes late would hit whatever runs by
then, signals reach the main thread only, and a pass may catch everything or sleep in foreign code. The thread that is
given up is sent an exception, so that a loop in Python ends; where even that does not help, it goes on beside the rest,
with nothing in its hands that anybody still uses, and ends with the process. A pass in foreign code that holds Python's
lock cannot be stopped from within the process.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable

from tfreuse.errors import InputError


class OutOfTime(Exception):
    """A step did not come back in time."""


class _GivenUp(BaseException):
    """Ends the thread of a step that is waited for no more."""


def check_time_limit(seconds: float | None) -> None:
    """Check a limit that a user gave.

    Raises:
        InputError: if it is no positive number.
    """
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise InputError(f"the time limit is {seconds!r}; give a positive number of seconds")


def within(seconds: float | None, step: Callable[[], None]) -> None:
    """Run `step`, for no longer than that.

    Raises:
        OutOfTime: if it takes longer; and whatever the step raises.
    """
    if seconds is None:
        step()
        return
    raised: list[BaseException] = []

    def work() -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits
            raised.append(error)

    thread = threading.Thread(target=work, name="tfreuse-pass", daemon=True)
    thread.start()
    try:
        thread.join(min(max(seconds, 0), threading.TIMEOUT_MAX))
        if thread.is_alive():
            raise OutOfTime
    finally:
        if thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_GivenUp))
    if raised:
        raise raised[0]
