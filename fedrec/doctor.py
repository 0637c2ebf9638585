"""``fedrec doctor``: what this machine has beside what fedrec needs, each line ok, warn or fail, and what to do."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fedrec.console import show_table, size
from fedrec.extras import TRAIN, TRAINING, checkout, install_command, is_installed, project_of
from fedrec.thread_settings import COUNT, WAITING

Status = Literal["ok", "warn", "fail"]

OLDEST_SQLITE: Final = (3, 35, 0)
LITTLE_DISK: Final = 2_000_000_000
LITTLE_MEMORY: Final = 2_000_000_000


@dataclass(frozen=True)
class MachineCheck:
    """One line: what was looked at, how it is, what was found, and what to do (empty where nothing)."""

    name: str
    status: Status
    found: str
    action: str = ""


def run_checks() -> list[MachineCheck]:
    """Look at everything. Never raises: a check that breaks is itself a ``fail``."""
    looks = (
        *(_python, _packages, _commands, *((_torch, _threads, _torchvision, _opacus) if trains() else (_light,))),
        *(_sqlite, _temporary, _disk, _memory, _extras),
    )
    checks: list[MachineCheck] = []
    for look in looks:
        checks += _guarded(look)
    return checks


def as_tree(checks: Sequence[MachineCheck]) -> dict[str, Any]:
    """The checks as JSON: ``{"ok": bool, "fedrec": version, "checks": [...]}``."""
    return {
        "ok": all(check.status != "fail" for check in checks),
        "fedrec": installed_version(),
        "checks": [asdict(check) for check in checks],
    }


def show(checks: Sequence[MachineCheck]) -> None:
    """Print the checks as a table."""
    rows = [(check.status, check.name, check.found, check.action) for check in checks]
    show_table(f"fedrec {installed_version()}", ("", "check", "found", "what to do"), rows)


def installed_version() -> str:
    """fedrec's version: of the installed distribution, else of the checkout."""
    try:
        return importlib.metadata.version("fedrec")
    except importlib.metadata.PackageNotFoundError:
        return str(_pyproject().get("version", "unknown"))


def requirements() -> tuple[str, list[Requirement]]:
    """The Python range and every requirement, with those of extras marked so, as fedrec declares them."""
    project = _pyproject()
    if project:
        needed = [Requirement(text) for text in project.get("dependencies", [])]
        for extra, texts in project.get("optional-dependencies", {}).items():
            needed += [Requirement(f"{text}; extra == '{extra}'") for text in texts]
        return project.get("requires-python", ""), needed
    metadata = importlib.metadata.metadata("fedrec")
    return metadata["Requires-Python"] or "", [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]


def _pyproject() -> dict[str, Any]:
    """The ``project`` table of the checkout this file lies in; empty where it is installed without one."""
    root = checkout()
    return {} if root is None else project_of(root)


def trains() -> bool:
    """Whether anything of what only training needs is installed; without all of it this is a device's light install."""
    return any(map(is_installed, TRAINING))


def _light() -> list[MachineCheck]:
    found = "a light install: ranks without a content tower, and answers sums that need no training"
    return [MachineCheck("training", "warn", found, f"To train: {install_command(TRAIN)}")]


def _guarded(look: Callable[[], list[MachineCheck]]) -> list[MachineCheck]:
    try:
        return look()
    except Exception as error:  # a broken library may raise anything while it is imported
        found = f"{type(error).__name__}: {error}"
        return [MachineCheck(look.__name__.strip("_"), "fail", found, "Install fedrec afresh, with what it needs")]


def _python() -> list[MachineCheck]:
    found = ".".join(map(str, sys.version_info[:3]))
    wanted, _ = requirements()
    fits = SpecifierSet(wanted).contains(found, prereleases=True)
    return [MachineCheck("python", "ok" if fits else "fail", found, "" if fits else f"Use Python {wanted}")]


def _packages() -> list[MachineCheck]:
    needed = [need for need in requirements()[1] if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [_package(need) for need in needed if trains() or need.name not in TRAINING]


def _package(need: Requirement) -> MachineCheck:
    try:
        found = importlib.metadata.version(need.name)
    except importlib.metadata.PackageNotFoundError:
        return MachineCheck(need.name, "fail", "not installed", f"pip install '{need.name}{need.specifier}'")
    # "2.13.0+cpu" is a local build of 2.13.0, and specifiers without a local part accept it.
    if need.specifier.contains(found, prereleases=True):
        return MachineCheck(need.name, "ok", found)
    return MachineCheck(
        need.name, "fail", found, f"fedrec needs {need.specifier}: pip install '{need.name}{need.specifier}'"
    )


def _commands() -> list[MachineCheck]:
    from fedrec.cli.groups import find_groups

    found, missing = find_groups()
    if not missing:
        return [MachineCheck("commands", "ok", f"{len(found)} groups")]
    action = "Install what they need, or remove the package that brings them"
    return [MachineCheck("commands", "warn", " ".join(missing), action)]


def _torch() -> list[MachineCheck]:
    import torch

    product = float((torch.ones(8, 8) @ torch.ones(8, 8)).sum())
    if product != 512.0:
        return [
            MachineCheck(
                "torch works", "fail", f"a product of ones summed to {product}, not 512", "Install torch afresh"
            )
        ]
    return [MachineCheck("torch works", "ok", f"on {_devices()}")]


def _devices() -> str:
    from fedrec.accelerator import CPU, device_name, devices_there

    cards = [device_name(device) for device in devices_there() if device != CPU]
    return f"the processor; with speed.device=auto on {cards[0]}" if cards else "the processor"


def _threads() -> list[MachineCheck]:
    import torch

    from fedrec.process_start import ADDED, FOUND

    limit = "" if FOUND.quota is None else f", {FOUND.quota:g} of them granted"
    chosen = "chosen by what is free" if COUNT in ADDED else f"as {COUNT} or another variable says"
    asleep = all(os.environ.get(name) == value for name, value in WAITING.items())
    found = (
        f"{torch.get_num_threads()}, {chosen}; {FOUND.usable} of {FOUND.online} cores usable{limit}, "
        f"{FOUND.busy:g} busy threads of others; they wait {'asleep' if asleep else 'as the environment says'}"
    )
    if asleep or FOUND.busy < FOUND.online:
        return [MachineCheck("threads", "ok", found)]
    action = f"Unset {', '.join(WAITING)}: threads that spin hold each other up where cores are shared"
    return [MachineCheck("threads", "warn", found, action)]


def _torchvision() -> list[MachineCheck]:
    from fedrec.content import torchvision_shim

    torchvision_shim.prepare()
    import torchvision.models

    torchvision.models.resnet18(weights=None)
    return [MachineCheck("torchvision works", "ok", "its models load")]


def _opacus() -> list[MachineCheck]:
    import torch
    from opacus import GradSampleModule

    layer = GradSampleModule(torch.nn.Linear(2, 1, bias=False), loss_reduction="sum")
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    layer(rows).sum().backward()
    found = next(iter(layer.parameters())).grad_sample
    fits = bool(torch.equal(found.reshape(2, 2), rows))
    action = "" if fits else "Install the opacus that fedrec asks for"
    return [MachineCheck("opacus works", "ok" if fits else "fail", "a gradient for each row", action)]


def _sqlite() -> list[MachineCheck]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return [MachineCheck("sqlite", "fail", version, "Use a Python built with SQLite 3.35 or newer")]
    with tempfile.TemporaryDirectory() as directory:
        connection = sqlite3.connect(Path(directory) / "check.sqlite")
        try:
            mode = str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        finally:
            connection.close()
    if mode != "wal":
        action = "Keep stores on a local disk: this one has no write-ahead log"
        return [MachineCheck("sqlite", "warn", f"{version}, journal mode {mode}", action)]
    return [MachineCheck("sqlite", "ok", f"{version}, write-ahead log")]


def _temporary() -> list[MachineCheck]:
    directory = tempfile.gettempdir()
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"fedrec")
        file.flush()
        written = Path(file.name).stat().st_size
    if written == 6:
        return [MachineCheck("temporary files", "ok", directory)]
    return [MachineCheck("temporary files", "fail", directory, "Set TMPDIR to a directory that can be written")]


def _disk() -> list[MachineCheck]:
    free = shutil.disk_usage(Path.cwd()).free
    few = free < LITTLE_DISK
    return [
        MachineCheck("free disk", "warn" if few else "ok", size(free), "Make room, or use another --out" if few else "")
    ]


def _memory() -> list[MachineCheck]:
    free = _free_memory()
    if free is None:
        return [MachineCheck("free memory", "ok", "this system does not tell")]
    few = free < LITTLE_MEMORY
    action = "Close other programs, or use fewer users" if few else ""
    return [MachineCheck("free memory", "warn" if few else "ok", size(free), action)]


def _free_memory() -> int | None:
    """Bytes that can be had without swapping, or None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def _extras() -> list[MachineCheck]:
    checks = []
    needs = requirements()[1]
    names = sorted({extra for need in needs for extra in _extra_of(need)})
    for extra in names:
        lines = [_package(part) for need in needs if extra in _extra_of(need) for part in _parts(need)]
        lacking = [line.name for line in lines if line.found == "not installed"]
        wrong = [f"{line.name} {line.found}" for line in lines if line.status == "fail" and line.name not in lacking]
        install = install_command(extra)
        if wrong:
            checks.append(MachineCheck(f"extra {extra}", "warn", f"of another version: {', '.join(wrong)}", install))
        elif lacking:
            checks.append(MachineCheck(f"extra {extra}", "ok", f"not here (optional): {', '.join(lacking)}", install))
        else:
            checks.append(MachineCheck(f"extra {extra}", "ok", "installed"))
    return checks


def _extra_of(need: Requirement) -> list[str]:
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        return []
    return [extra for extra in _extra_names() if need.marker.evaluate({"extra": extra})]


def _extra_names() -> list[str]:
    project = _pyproject()
    if project:
        return list(project.get("optional-dependencies", {}))
    return importlib.metadata.metadata("fedrec").get_all("Provides-Extra") or []


def _parts(need: Requirement) -> list[Requirement]:
    """The requirement, and what the extras it asks for bring: ``flwr[simulation]`` without Ray is not there."""
    try:
        inner = [Requirement(text) for text in importlib.metadata.requires(need.name) or []]
    except importlib.metadata.PackageNotFoundError:
        return [need]
    brought = [one for one in inner if one.marker is not None and not one.marker.evaluate({"extra": ""})]
    return [
        need,
        *(one for one in brought if one.marker and any(one.marker.evaluate({"extra": e}) for e in need.extras)),
    ]
