"""Files that are read whole, gzipped or not, and written whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

from actbench.catalog.errors import InputFileError, OutputError

_GZIP = b"\x1f\x8b"


def text_of(source: Path) -> str:
    """The text of a file, gzipped or not; raises InputFileError where it is missing, broken or no text."""
    try:
        content = source.read_bytes()
        return (gzip.decompress(content) if content.startswith(_GZIP) else content).decode()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputFileError(f"{source} cannot be read: it is a broken gzip file") from error
    except OSError as error:
        raise InputFileError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{source} cannot be read: it is not text") from error


def parsed(text: str, source: Path) -> Any:
    """What a JSON text from a file holds; raises InputFileError where it is none."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputFileError(f"{source} is not JSON: {error}") from error


def write_whole(content: bytes, path: str | os.PathLike[str]) -> None:
    """Write a file, making its folder, by way of one that takes its place; raises OutputError."""
    # A link stays a link, and what is no regular file (/dev/null, a pipe) is written to, not replaced.
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(content)
            return
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            partial.write_bytes(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
