"""What a round of secure aggregation costs as the cohort grows: a table, a plot, and the numbers behind them.

Run it with ``python -m simulations.benchmarks.secagg_scaling --out DIR``; the biggest cohorts take minutes, and are
left out where the time that is left would not do for them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedrec.simulation.bench.secagg import run_secagg
from simulations.benchmarks.secagg_plot import svg

COHORTS = (30, 100, 300, 1_000, 3_000, 10_000)
_COLUMNS = (
    "devices",
    "neighbours",
    "threshold",
    "device_ms",
    "device_cpu_ms",
    "server_s",
    "server_messages_s",
    "server_cpu_s",
    "bytes_up",
    "bytes_down",
)


def study(cohorts: Sequence[int], length: int, dropout: float, seconds: float) -> list[dict[str, Any]]:
    """One round for each cohort, smallest first, as long as the next one should end within ``seconds`` altogether.

    ``server_s`` is from the last message to the opened sum, ``server_messages_s`` all the server's work before that.
    """
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for devices in cohorts:
        if rows:
            last = rows[-1]
            expected = last["took_s"] * (devices / last["devices"]) * 1.2
            if time.perf_counter() - began + expected > seconds:
                break
        started = time.perf_counter()
        found = run_secagg(devices, length, dropout, limits=False)
        found["took_s"] = time.perf_counter() - started
        found["server_messages_s"] = found["server_receiving_s"] + found["server_closing_s"]
        found["server_total_s"] = found["server_s"] + found["server_messages_s"]
        rows.append(found)
    return rows


def markdown(rows: Sequence[dict[str, Any]], command: str) -> str:
    """The table, with what the two laws make of it: columns that stay flat where they hold."""
    first = rows[0]
    head = [*_COLUMNS, "device_cpu_ms / log2 n", "server CPU ms / (n log2 n)", "exact"]
    loads = ", ".join(f"{row['load_before']:.1f}" for row in rows)
    lines = [
        "# Secure aggregation by size of the cohort",
        "",
        f"Vectors of {first['length']:,} elements of {first['bits']} bits;",
        f"{first['dropped'] / first['devices']:.0%} of the devices are gone after they shared",
        "their secrets; neighbours and threshold are what",
        "`fedrec.secagg.parameters.choose` gives. All devices and the server in one process;",
        f"{first['workers']} threads for the server's masks; {first['cores']} cores ({first['machine']}), shared with",
        f"other work: load before each row {loads}.",
        "`server_s`: from the last message to the opened sum; `server_messages_s`: all before that;",
        f"`server_cpu_s`: the process's own time for both. `{command}`",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---:|" * len(head),
    ]
    for row in rows:
        log = math.log2(row["devices"])
        cells = [shown(row[name]) for name in _COLUMNS]
        cells += [f"{row['device_cpu_ms'] / log:.2f}", f"{1e3 * row['server_cpu_s'] / (row['devices'] * log):.3f}"]
        lines.append("| " + " | ".join([*cells, "yes" if row["exact"] else "NO"]) + " |")
    return "\n".join(lines) + "\n"


def shown(value: float) -> str:
    """A number for people: whole ones with commas, others with three digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def main() -> None:
    """Run the study and write its three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for the table, the plot and the numbers")
    parser.add_argument("--length", type=int, default=1_000)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=180.0, help="what the study may take")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = study(COHORTS, asked.length, asked.dropout, asked.seconds)
    command = f"python -m simulations.benchmarks.secagg_scaling --length {asked.length} --dropout {asked.dropout}"
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "secagg_scaling.md").write_text(markdown(rows, command), encoding="utf-8")
    (asked.out / "secagg_scaling.svg").write_text(svg(rows), encoding="utf-8")
    (asked.out / "secagg_scaling.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
