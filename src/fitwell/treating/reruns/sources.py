"""Run another text in the place of a file, as if it stood there: nothing is written."""

from __future__ import annotations

import io
import linecache
import os
import sys
import tokenize
import traceback
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any


def replace_sources(sources: Mapping[str, str]) -> None:
    """Let the program, and whatever it imports in this process, be compiled from these texts.

    Args:
        sources: by the absolute path of the file.
    """
    texts = {os.path.realpath(path): text for path, text in sources.items()}
    names = {os.path.basename(path) for path in [*texts, *sources]}
    get_data, get_code = SourceFileLoader.get_data, SourceFileLoader.get_code

    def replaced(path: str) -> str | None:
        return texts.get(os.path.realpath(path)) if os.path.basename(path) in names else None

    def data_of(self: SourceFileLoader, path: Any) -> bytes:
        text = replaced(path)
        if text is None:
            return get_data(self, path)
        linecache.cache[path] = len(text), None, text.splitlines(keepends=True), path  # for tracebacks
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text.encode()).readline)
        return text.encode(encoding)

    def code_of(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        if replaced(path) is None:
            return get_code(self, fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)  # not what __pycache__ has
        return code

    SourceFileLoader.get_data = data_of  # type: ignore[method-assign, assignment]
    SourceFileLoader.get_code = code_of  # type: ignore[method-assign, assignment]
    sys.excepthook = traceback.print_exception  # Python's own reads the file
