"""Write an export: a directory with what ranks, what it was made of, and how it compares with the device."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from fedrec.client.ranker import Ranker
from fedrec.errors import ReleaseError
from fedrec.export.parity import Parity, Probe, compared, insist, probes_of
from fedrec.export.parts import RankingParts, parts_of
from fedrec.release import canonical
from fedrec.release.approval import APPROVAL
from fedrec.release.bundle import Release, read_release
from fedrec.release.directory import release_directory
from fedrec.release.manifest import MANIFEST, SIGNATURE
from fedrec.release.packing import CARD, PRIVACY

Format = Literal["onnx", "json", "executorch"]
Precision = Literal["float32", "int8"]

SCHEMA: Final = 1
SOURCE: Final = "source"
LENGTH: Final = 256
"""How many events a graph reads, unless another number is asked for."""
_PAGE: Final = ("rank.js", "arrays.js", "index.html")
_CARRIED: Final = (MANIFEST, SIGNATURE, APPROVAL, CARD, PRIVACY)
_REPEATS: Final = 5


@dataclass(frozen=True)
class WrittenExport:
    """What was written. ``parity``, ``milliseconds`` (the median time to score a history): None where nothing here
    could run the export; ``bytes``: of the file that ranks."""

    directory: Path
    format: str
    items: int
    bytes: int
    parity: Parity | None
    milliseconds: float | None
    unchecked: str = ""


@dataclass(frozen=True, eq=False)
class _Made:
    """An export before it is written: its files, the first of which ranks, and what is said of it."""

    files: Mapping[str, bytes]
    facts: Mapping[str, Any]
    parity: Parity | None
    milliseconds: float | None
    unchecked: str = ""


def write_export(
    source: Path,
    out: Path,
    format: Format,
    *,
    trusted_key: bytes | None = None,
    length: int = LENGTH,
    precision: Precision = "float32",
) -> WrittenExport:
    """Export the release in ``source`` (or of that run) to ``out``, which must not be there or be empty.

    The export is run on `probes_of` first, and not written where it does not rank as a device does; an ``int8`` export
    is approximate, and says by how much.

    Args:
        trusted_key: the publisher's public key, 32 bytes; None: any signer, as `read_release`.
        length: how many events an ONNX or ExecuTorch graph reads, the newest.
        precision: of the tables of a JSON export.

    Raises:
        ReleaseError: the release cannot be used, ``out`` is taken, or the export ranks otherwise.
        MissingExtraError: what makes this format is not installed.
    """
    directory = release_directory(source)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReleaseError("the place of the export is taken", value=str(out), action="Name another with --out")
    if precision == "int8" and format != "json":
        raise ReleaseError("only a JSON export has int8 tables", value=format, action="Leave --precision out")
    release = read_release(directory, trusted_key=trusted_key)
    ranker = Ranker(release)
    parts = parts_of(ranker)
    # A page reads a history of any length; what is tried is the same.
    probes = probes_of(ranker, longest=length)
    makers: dict[Format, Callable[[], _Made]] = {
        "onnx": lambda: _onnx(parts, probes, length),
        "executorch": lambda: _executorch(parts, probes, length),
        "json": lambda: _json(parts, probes, _named(release), precision),
    }
    made = makers[format]()
    if made.parity is not None and precision == "float32":
        insist(made.parity, f"the export to {format}")
    carried = {f"{SOURCE}/{name}": (directory / name).read_bytes() for name in _CARRIED if (directory / name).exists()}
    _write(out, {**made.files, **carried}, _record(format, release, parts, made))
    first = next(iter(made.files.values()))
    return WrittenExport(out, format, len(parts.ids), len(first), made.parity, made.milliseconds, made.unchecked)


def _onnx(parts: RankingParts, probes: Sequence[Probe], length: int) -> _Made:
    from fedrec.export.onnx_export import onnx_bytes, onnx_runner

    return _graph("ranking.onnx", parts, probes, length, onnx_bytes, onnx_runner)


def _executorch(parts: RankingParts, probes: Sequence[Probe], length: int) -> _Made:
    from fedrec.export.executorch_export import executorch_bytes, executorch_runner

    return _graph("ranking.pte", parts, probes, length, executorch_bytes, executorch_runner)


def _graph(name: str, parts: RankingParts, probes: Sequence[Probe], length: int, encode: Any, runner: Any) -> _Made:
    from fedrec.export.graph import facts_of, module_of, padded, parity_of

    model = module_of(parts, probes, length=length)
    encoded: bytes = encode(model)
    run = runner(encoded)
    parity = parity_of(run, probes, parts, length)
    took = [_milliseconds(partial(run, padded(probe.places, length), probe.time)) for probe in probes]
    items = {"ids": list(parts.ids), "titles": list(parts.titles), "order": parts.order.tolist()}
    files = {name: encoded, "items.json": canonical.encode(items, what="items.json")}
    return _Made(files, facts_of(model, parts), parity, median(took))


def _json(parts: RankingParts, probes: Sequence[Probe], named: Mapping[str, Any], precision: Precision) -> _Made:
    from tempfile import TemporaryDirectory

    from fedrec.export.json_export import json_bytes
    from fedrec.export.node import node_command, node_scores

    document = json_bytes(parts, probes, named, precision=precision)
    browser = files("fedrec.export").joinpath("browser")
    made = {"release.json": document, **{name: browser.joinpath(name).read_bytes() for name in _PAGE}}
    facts = {"precision": precision}
    if node_command() is None:
        return _Made(made, facts, None, None, "Node is not installed: open the page, which checks itself")
    with TemporaryDirectory() as folder:
        for name, data in made.items():
            (Path(folder) / name).write_bytes(data)
        scores, took = node_scores(Path(folder), [(probe.places, probe.at) for probe in probes])
    return _Made(made, facts, compared(probes, scores, parts.order), median(took))


def _milliseconds(run: Callable[[], object]) -> float:
    run()
    before = time.perf_counter()
    for _ in range(_REPEATS):
        run()
    return 1000 * (time.perf_counter() - before) / _REPEATS


def _named(release: Release) -> dict[str, Any]:
    return {
        "name": release.name,
        "id": release.id,
        "version": release.version,
        "created_at": release.created_at,
        "signer": release.fingerprint,
    }


def _record(format: str, release: Release, parts: RankingParts, made: _Made) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "format": format,
        "source": {**_named(release), "trusted": release.trusted},
        "items": len(parts.ids),
        "events": parts.positive,
        "reads": {"history": True, "time": parts.reads_time, "notes": False, "photos": False},
        "parity": None if made.parity is None else made.parity.facts(),
        "milliseconds": made.milliseconds,
        **made.facts,
    }


def _write(out: Path, contents: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
    """Whole or not at all: beside it first, then renamed."""
    entries = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    }
    text = json.dumps({**record, "files": entries}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    beside = out.with_name(f"{out.name}.{secrets.token_hex(4)}")
    try:
        (beside / SOURCE).mkdir(parents=True)
        for name, data in {**contents, "export.json": text.encode()}.items():
            (beside / name).write_bytes(data)
        if out.exists():
            out.rmdir()
        beside.rename(out)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
