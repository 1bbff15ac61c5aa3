"""stdout as a shell hands it over: full, closed, read by nobody any more, or of an encoding without box characters."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from actbench.catalog.errors import OutputError


class _Guarded(io.RawIOBase):
    """What stdout writes to: it swallows what no reader wants, and raises OutputError where nothing can be written."""

    def __init__(self, raw: io.RawIOBase | None) -> None:
        self._raw, self._deaf = raw, False

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw is not None and self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno() if self._raw is not None else super().fileno()

    def write(self, content: Any, /) -> int | None:
        size = memoryview(content).nbytes
        if self._deaf:
            return size
        try:
            if self._raw is None:
                raise OSError(0, "it is closed")
            return self._raw.write(content)
        except BrokenPipeError:
            # The reader has gone (as with head): there is nobody to tell, and the command goes on to its exit code.
            self._deaf = True
            return size
        except OSError as error:
            self._deaf = True  # or the interpreter would try again when it ends
            raise OutputError(f"cannot write to stdout: {error.strerror or error}") from error


@contextmanager
def guarded() -> Iterator[None]:
    """Within the body stdout is guarded; at its end everything is written. Raises OutputError."""
    plain: Any = sys.stdout  # None where the shell has closed it
    binary = getattr(plain, "buffer", None)
    raw = binary if isinstance(binary, io.RawIOBase) else getattr(binary, "raw", None)
    if plain is not None and raw is None:  # no file of the system's: a test's
        yield
        return
    encoding = plain.encoding if plain else "utf-8"
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Guarded(raw)),
        encoding,
        # What an encoding lacks becomes a question mark: a page with one is better than none.
        errors=plain.errors if plain and encoding.lower().startswith("utf") else "replace",
        line_buffering=bool(plain and (plain.line_buffering or plain.write_through)),
    )
    try:
        if plain is not None:
            plain.flush()
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = plain
