"""The linters of what a server is deployed with: Dockerfile, compose file, chart, units. `make deploy-lint` runs it.

hadolint reads the Dockerfile, the compose specification's schema the compose file, Helm's own linter the chart,
Kubernetes's schemas what the chart makes, for a server that serves and for one in maintenance; ``systemd-analyze
verify`` the units, where it is installed.  No engine and no cluster is asked: what is built or started with these files
is not shown by this.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import helm_python.chart as helm
import kubernetes_validate
import yaml

HERE: Final = Path(__file__).resolve().parent
UNITS: Final = (HERE / "fedrec-server.service", HERE.parents[1] / "client" / "fedrec-device.service")
_CHART: Final = HERE / "helm" / "fedrec"
# Releases of Kubernetes whose schemas the chart is held to: the oldest that it names, and a new one.
_KUBERNETES: Final = ("1.27", "1.34")
_VALUES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"maintenance": True, "storage": {"className": "fast"}, "networkPolicy": {"enabled": False}},
)
_ERROR: Final = 3  # Helm's severities: 1 is advice, 2 a warning


def findings() -> Iterator[str]:
    """All that a linter says against a file, as lines."""
    yield from _said("hadolint", str(HERE / "Dockerfile"))
    yield from _said("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(HERE / "compose.yaml"))
    yield from _chart()
    yield from _units()


def _said(command: str, *arguments: str) -> Iterator[str]:
    beside = Path(sys.executable).with_name(command)
    done = subprocess.run([str(beside), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"{command}: {(done.stdout + done.stderr).strip()}"


def _chart() -> Iterator[str]:
    found = helm.lint(str(_CHART), strict=True)
    for message in found["messages"]:
        if message["severity"] >= _ERROR - 1:
            yield f"helm: {message['path']}: {message['error']}"
    yield from (f"helm: {error}" for error in found["errors"])
    with helm.Chart.load(str(_CHART)) as chart:
        for values in (
            {},
            {"maintenance": True, "storage": {"className": "fast"}, "networkPolicy": {"enabled": False}},
        ):
            for path, text in chart.render(values, name="trial").items():
                for manifest in filter(None, yaml.safe_load_all(text)):
                    yield from _manifest(path, manifest)


def _manifest(path: str, manifest: dict[str, Any]) -> Iterator[str]:
    for version in _KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"kubernetes {version}: {path}: {error.message}"


def _units() -> Iterator[str]:
    if (verify := shutil.which("systemd-analyze")) is None:
        print("systemd-analyze is not here: the units are not verified")
        return
    with tempfile.TemporaryDirectory() as directory:
        for unit in UNITS:
            # What the unit names is on the server only: the command and the user.
            text = unit.read_text(encoding="utf-8").replace("/opt/fedrec/bin/fedrec", "/bin/true")
            copy = Path(directory) / unit.name
            copy.write_text(text.replace("User=fedrec\n", "User=root\n"), encoding="utf-8")
            done = subprocess.run([verify, "verify", str(copy)], capture_output=True, text=True, check=False)
            if done.returncode or done.stderr:
                yield f"systemd-analyze: {unit.name}: {done.stderr.strip()}"


def main() -> int:
    """Print every finding; 1 where there is one."""
    found = list(findings())
    print("\n".join(found) if found else "Dockerfile, compose file, chart and units: nothing to say against them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
