"""The JSON export ranked by its own JavaScript under Node, where Node is installed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ReleaseError

# Reads the histories on stdin; writes each one's scores and how long they took, once the code is warm.
_PROGRAM: Final = """
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const [folder] = process.argv.slice(-1);
const { openExport } = await import(pathToFileURL(`${folder}/rank.js`));
const ranking = openExport(JSON.parse(readFileSync(`${folder}/release.json`, "utf8")));
const asked = JSON.parse(readFileSync(0, "utf8"));
const ranked = () => asked.map(({ history, at }) => {
  const before = performance.now();
  const scores = ranking.scores(history, { at });
  ranking.best(scores, new Set(history), 10);
  const took = performance.now() - before;
  return { took, scores: Buffer.from(Float32Array.from(scores).buffer).toString("base64") };
});
ranked();
process.stdout.write(JSON.stringify(ranked()));
"""


def node_command() -> str | None:
    """Where Node is; None where it is not installed."""
    return shutil.which("node")


def node_scores(
    folder: Path, asked: Sequence[tuple[NDArray[np.int64], int]], *, seconds: float = 300.0
) -> tuple[list[NDArray[np.float32]], list[float]]:
    """Every item's score for each (history, time) by the export in ``folder``, and milliseconds each.

    Raises:
        ReleaseError: Node is not installed, or the page's JavaScript fails there.
    """
    node = node_command()
    if node is None:
        raise ReleaseError("Node is not installed, so the page cannot be run here", action="Open it in a browser")
    # A module by its ending; read from a string it would lack `import`.
    command = [node, "--input-type=module", "--eval", _PROGRAM, "--", str(folder.resolve())]
    given = json.dumps([{"history": places.tolist(), "at": at} for places, at in asked])
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ReleaseError("the page did not rank in time", value=seconds) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line] or done.stderr.splitlines()[-1:]
        raise ReleaseError("the page's JavaScript fails under Node", value=" ".join(lines[:1]))
    answers = json.loads(done.stdout)
    scores = [np.frombuffer(base64.b64decode(one["scores"]), dtype="<f4") for one in answers]
    return scores, [float(one["took"]) for one in answers]
