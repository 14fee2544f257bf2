"""Work in a process of its own: what it loads leaves memory when it ends, and it can be ended at any time.

The child is a fresh interpreter, not a fork: threads and CUDA do not survive one. It is given a function and its
arguments once, over its standard input, which then stays open: where that closes, the parent is gone, and the child
ends itself and whatever it has started. What it has to say comes back as JSON, so nothing that a library or a model
made in there is unpickled here. It has its own session, so Ctrl-C reaches the parent alone, which ends it.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from language_packs import PackError
from stages.artifacts import Record
from stages.errors import DubwrightError, InputError, MayPassError, MissingEngineError, is_transient
from stages.progress import Progress

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from stages.child import main; main(int(sys.argv[2]))"
_LENGTH_BYTES = 8
_LOOK_S = 0.5
"""How often it is looked after a child that says nothing."""
_LEAVE_S = 10.0
"""A child that has given its result may take as long to tidy up."""
_EXPECTED = (DubwrightError, PackError)
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_FIRST_TO_GO = "500"


class ChildError(Exception):
    """Something unexpected went wrong in a child process; the traceback in there is its cause."""


class PassingChildError(ChildError, MayPassError):
    """The same, of a kind that may pass by itself (:func:`stages.errors.is_transient`)."""


class _TracebackError(Exception):
    """A traceback of another process, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def run(
    function: Callable[..., Record],
    arguments: tuple[Any, ...],
    progress: Progress,
    what: str,
    keep_open: Collection[int] = (),
    time_limit_s: float | None = None,
    wait: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Call ``function(*arguments, progress)`` in a process of its own.

    What it prints, logs and reports as progress arrives here as if it had been called here.

    Args:
        function: of a module, so that the other process can import it.
        arguments: what can be pickled.
        progress: told what the function tells.
        what: who works, for messages: ``"transcribe.engine whisper"``.
        keep_open: descriptors that the child holds as well: a lock stays taken until both processes are gone.
        time_limit_s: after this the child is ended; None: never.
        wait: called in the child before the function; the time it takes does not count.

    Returns:
        What it returned, as ``model_dump(mode="json")``.

    Raises:
        DubwrightError: the function raised it.
        PackError: the function raised it.
        MissingEngineError: the system ended the child, or it crashed.
        InputError: the time limit is over.
        ChildError: the function raised anything else.
    """
    read_end, write_end = os.pipe()
    reader = Connection(read_end, writable=False)
    clock = _Clock(time_limit_s)
    command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path), str(write_end)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, pass_fds=(write_end, *keep_open), start_new_session=True
        )
    except BaseException:
        reader.close()
        raise
    finally:
        os.close(write_end)
    assert process.stdin is not None
    try:
        request = pickle.dumps((function, arguments, wait, logging.getLogger("stages").getEffectiveLevel()))
        with suppress(BrokenPipeError):  # it has gone already: its end says why
            process.stdin.write(len(request).to_bytes(_LENGTH_BYTES) + request)
            process.stdin.flush()
        while (message := _next(reader, process, clock)) is not None:
            if "result" in message:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LEAVE_S)
                return message["result"]
            if "waits" not in message:
                _take(message, progress)
            elif message["waits"]:
                clock.stop()
            else:
                clock.go_on()
        if clock.left_s() == 0:
            raise InputError(
                f"{what} did not end within its time limit of {time_limit_s:g} s and was stopped; raise it with "
                "limits.stage_s and run the same command again: finished stages are kept."
            )
        raise _ended(process.wait(), what)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # macOS: the latter, of one that has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        reader.close()


class _Clock:
    """The time that a child has left."""

    def __init__(self, limit_s: float | None) -> None:
        self._left_s = math.inf if limit_s is None else limit_s
        self._since: float | None = time.monotonic()

    def left_s(self) -> float:
        """Return the seconds that are left, at least 0."""
        spent_s = 0.0 if self._since is None else time.monotonic() - self._since
        return max(0.0, self._left_s - spent_s)

    def stop(self) -> None:
        self._left_s, self._since = self.left_s(), None

    def go_on(self) -> None:
        self._since = time.monotonic()


def _next(reader: Connection, process: subprocess.Popen[bytes], clock: _Clock) -> dict[str, Any] | None:
    """Return what the child says next; None: it has ended, or its time is over."""
    while True:
        if reader.poll(min(_LOOK_S, clock.left_s())):
            try:
                return json.loads(reader.recv_bytes())
            except EOFError:
                return None
        # A process that the child forked may hold the pipe open longer than the child lives.
        if clock.left_s() == 0 or (process.poll() is not None and not reader.poll(0)):
            return None


def _take(message: dict[str, Any], progress: Progress) -> None:
    if "progress" in message:
        progress(message["progress"])
    elif "printed" in message:
        stream = sys.stdout if message["to"] == "stdout" else sys.stderr
        stream.write(message["printed"])
        stream.flush()
    elif "log" in message:
        record = logging.makeLogRecord(message["log"])
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    else:
        raise _raised(message)


def _raised(message: dict[str, Any]) -> Exception:
    """Return the exception that the child raised."""
    cause = _TracebackError(message["traceback"])
    if message["is_expected"]:
        kind = getattr(importlib.import_module(message["module"]), message["kind"])
        assert issubclass(kind, _EXPECTED)
        error: Exception = kind(message["error"])
    else:
        kind = PassingChildError if message["is_transient"] else ChildError
        error = kind(f"{message['kind']}: {message['error']}")
    error.__cause__ = cause
    return error


def _ended(code: int, what: str) -> Exception:
    """Return the error for a child that ended without a word."""
    if code == -signal.SIGKILL:
        return MissingEngineError(
            f"{what} was ended by the system (signal 9), most likely out of memory; close other programs, or choose a "
            "smaller model or another engine, and run the same command again: finished stages are kept."
        )
    if code < 0:
        return MissingEngineError(
            f"{what} crashed ({signal.Signals(-code).name}, signal {-code}); choose another engine or device, and run "
            "the same command again: finished stages are kept."
        )
    return ChildError(f"{what}: its process ended with code {code} and without a result.")


class _Telling:
    """The child's way to say something; of many threads, one after the other."""

    def __init__(self, descriptor: int) -> None:
        self._connection = Connection(descriptor, readable=False)
        self._lock = threading.RLock()

    def __call__(self, **message: Any) -> None:
        with self._lock:
            self._connection.send_bytes(json.dumps(message).encode())


class _Stream(io.TextIOBase):
    """Standard output or error of the child's Python code."""

    encoding = "utf-8"

    def __init__(self, name: str, descriptor: int, tell: _Telling) -> None:
        self.name = name
        self._descriptor = descriptor
        self._tell = tell

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        self._tell(printed=text, to=self.name)
        return len(text)


class _Records(logging.Handler):
    """Passes log records on."""

    def __init__(self, tell: _Telling) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # with the traceback of an exception, which cannot be passed on as it is
        self._tell(log={"name": record.name, "levelno": record.levelno, "levelname": record.levelname, "msg": text})


def main(descriptor: int) -> None:
    """Do what the parent asks (the child's side); ``descriptor`` is where it is told about it."""
    tell = _Telling(descriptor)
    asked = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout, sys.stderr = _Stream("stdout", 1, tell), _Stream("stderr", 2, tell)
    if _OOM_SCORE.exists():  # where memory ends, Linux is to end this process rather than its parent
        with suppress(OSError):
            _OOM_SCORE.write_text(_FIRST_TO_GO)
    try:
        with os.fdopen(asked, "rb", closefd=False) as stream:
            request = stream.read(int.from_bytes(stream.read(_LENGTH_BYTES)))
        threading.Thread(target=_end_with_parent, args=(asked,), daemon=True).start()
        # From the parent, over its own pipe.
        function, arguments, wait, log_level = pickle.loads(request)  # noqa: S301
        logging.getLogger().addHandler(_Records(tell))
        logging.getLogger().setLevel(log_level)
        if wait is not None:
            tell(waits=True)
            wait()
            tell(waits=False)
        made = function(*arguments, lambda share_done: tell(progress=float(share_done)))
        tell(result=made.model_dump(mode="json"))
    except BaseException as error:
        tell(
            is_expected=isinstance(error, _EXPECTED),
            is_transient=is_transient(error),
            module=type(error).__module__,
            kind=type(error).__qualname__,
            error=str(error),
            traceback=traceback.format_exc(),
        )


def _end_with_parent(asked: int) -> None:
    """End this process, and all that it started, as soon as nobody holds the other end any more."""
    os.read(asked, 1)
    os.killpg(0, signal.SIGKILL)
