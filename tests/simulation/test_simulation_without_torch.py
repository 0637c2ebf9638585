"""Without a tower nothing is trained: such a run imports neither torch nor Opacus, which takes longer than the run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FORBIDDEN = """
import sys
for name in ("torch", "torchvision", "opacus", "dp_accounting", "flwr", "ray"):
    sys.modules[name] = None  # importing it raises ImportError
from fedrec.cli.main import main
main()
"""
USERS, ITEMS = 40, 30


def test_a_private_run_without_a_tower_needs_no_torch(tmp_path: Path) -> None:
    events = [(user, (3 * user + step * step) % ITEMS, step) for user in range(USERS) for step in range(8)]
    rows = "".join(f"u{user},i{item},{step}\n" for user, item, step in events)
    (tmp_path / "interactions.csv").write_text("user,item,timestamp\n" + rows)
    names = "".join(f"i{item},thing number {item} of kind {item % 5}\n" for item in range(ITEMS))
    (tmp_path / "items.csv").write_text("item,title\n" + names)
    (tmp_path / "run.toml").write_text('[model]\npreset = "fedrec"\ntower = false\n[privacy]\nepsilon = 8.0\n')
    words = ["simulate", str(tmp_path / "run.toml"), "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--json"]
    done = subprocess.run([sys.executable, "-c", FORBIDDEN, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    record = json.loads(done.stdout)
    assert record["privacy"]["epsilon_released"] <= 8 and record["quality"]["loo-99neg"]["hr@10"] is not None
