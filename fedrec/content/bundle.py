"""Arrays and JSON in one safetensors file with a checksum: how features, encoders and cached results are kept."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedrec.errors import ContentError

HEADER = "__json__"
REBUILD = "Build it again from the content"


def pack(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> bytes:
    """A safetensors file: ``arrays``, the JSON of ``meta``, and a SHA-256 over both. Same input, same bytes."""
    text = json.dumps(meta, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    tensors = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    tensors[HEADER] = np.frombuffer(_checksum(tensors, text) + text.encode(), np.uint8)
    return save(tensors)


def unpack(data: bytes, *, what: str = "a saved file") -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The inverse of `pack`.

    Raises:
        ContentError: the bytes are not such a file, or its checksum does not match; the message names ``what``.
    """
    try:
        tensors = load(data)
        header = tensors.pop(HEADER).tobytes()
        text = header[32:].decode()
        meta = json.loads(text)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ContentError(f"{what} is damaged: {type(error).__name__}", action=REBUILD) from None
    tensors = {name: np.array(tensors[name]) for name in sorted(tensors)}
    if not isinstance(meta, dict) or _checksum(tensors, text) != header[:32]:
        raise ContentError(f"{what} is damaged: its checksum does not match", action=REBUILD)
    return tensors, meta


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside ``path``, then rename: a reader sees the old file or the new one, never half of one.

    Raises:
        ContentError: the directory cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ContentError(
            f"cannot write {path.name}: {error.strerror}", value=str(path), action="Give a writable directory"
        ) from None


def _checksum(tensors: Mapping[str, NDArray[Any]], text: str) -> bytes:
    digest = hashlib.sha256(f"{len(text)}:{text}".encode())
    for name, array in tensors.items():
        digest.update(f"|{len(name)}:{name}:{array.dtype.str}:{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.digest()
