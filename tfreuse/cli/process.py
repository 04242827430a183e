"""What surrounds a command: streams that may be closed or full, signals, and errors that become one line."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tfreuse.errors import TfreuseError, VerificationError, printable

FAILED = 1
NOT_PROVED = 3
"""A rewrite was not proved, or its result was run and differs."""
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

ESCAPED = "backslashreplace"
"""What becomes of characters that a stream's encoding lacks."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is to end the command in the same order as Ctrl-C."""


def say(text: str) -> None:
    """One line on standard error, as far as anybody listens."""
    try:
        print(f"tfreuse: {printable(text)}", file=sys.stderr, flush=True)
    except OSError:
        _discard(2)


def code_of(interrupt: KeyboardInterrupt) -> int:
    """The exit code of a command that was interrupted."""
    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def exit_code(command: Callable[[], object]) -> int:
    """Run a command; errors on purpose and output that cannot be written are told in one line."""
    _prepare_streams()
    with _terminable():
        try:
            try:
                command()
                code = 0
            except SystemExit as done:
                code = int(done.code or 0)
            sys.stdout.flush()
            return code
        except TfreuseError as error:
            say(f"error: {error}")
            if isinstance(error, VerificationError):
                return NOT_PROVED
        except KeyboardInterrupt as interrupt:
            return code_of(interrupt)
        except BrokenPipeError:  # who reads has seen enough
            _discard(1)
        except OSError as error:
            _discard(1)
            what = f"cannot use {error.filename}" if error.filename else "cannot write to standard output"
            say(f"error: {what}: {error.strerror or error}")
    return FAILED


def _prepare_streams() -> None:
    """Closed streams lead nowhere (else a model's file would take their number); no character stops the others."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", errors=ESCAPED, closefd=False)  # noqa: SIM115  # as long as the process
    sys.stderr = sys.stderr or open(2, "w", errors=ESCAPED, closefd=False)  # noqa: SIM115  # likewise
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPED)


def _discard(number: int) -> None:
    """Lead a stream nowhere, so that what is left in its buffer fails no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


@contextmanager
def _terminable() -> Iterator[None]:
    """Turns SIGTERM into an exception, unless it is handled or ignored already."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
