"""A privacy evaluation: what each budget costs in quality, what is promised, and what an attacker is seen to get.

    python examples/privacy_evaluation.py [DIRECTORY] [USERS]

A shop is made in DIRECTORY (by default a temporary one). For each budget a run is planned before it is made, then
measured, then checked against its ledger; at the end the tightest claim is audited with canaries.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import fedrec

BUDGETS = (None, 8.0, 1.0)
SETTINGS = {"training.rounds": 5, "training.negatives": 32, "model.dimension": 16}


def evaluate(directory: Path, users: int) -> list[tuple[str, ...]]:
    """Compare the budgets on a shop; a row each: epsilon, planned noise, HR@10, whether the ledger bears it out."""
    data = fedrec.read_data(fedrec.make_shop(directory / "shop", users=users, items=150).directory)
    rows = []
    for epsilon in BUDGETS:
        overrides = {**SETTINGS, "privacy.epsilon": epsilon}
        planned = fedrec.plan("defaults", len(data.users), checks=False, overrides=overrides)["privacy"]
        run = fedrec.simulate("defaults", data, overrides=overrides)
        # What a run is charged is known before it begins.
        assert planned["epsilon_released"] == run.privacy["epsilon_released"]
        holds = all(check.passed for check in fedrec.verify(run))
        quality = run.quality["loo-99neg"]["hr@10"]
        noise = planned["noise_multiplier"]
        rows.append(
            (
                "no noise" if epsilon is None else f"{run.privacy['epsilon_released']:.2f}",
                "-" if noise is None else f"{noise:.2f}",
                f"{quality:.3f}",
                "holds" if holds else "FAILS",
            )
        )
    print(fedrec.statement(run))
    return rows


def audit(directory: Path) -> str:
    """Attack the tightest claim: train with canaries, and bound epsilon from below by guessing which were in."""
    claim = min(epsilon for epsilon in BUDGETS if epsilon is not None)
    found = fedrec.audit_privacy(
        "defaults", directory / "shop", canaries=64, overrides={**SETTINGS, "privacy.epsilon": claim}
    )
    (one,) = found["audits"]
    bound = max(one["one_run"]["epsilon_lower_bound"], one["f_dp"]["epsilon_lower_bound"])
    verdict = "REFUTED" if found["violated"] else "not refuted"
    return f"claimed: epsilon {one['claim']['epsilon']:.2f}; shown by canaries: at least {bound:.2f}; {verdict}"


def main(directory: Path, users: int) -> None:
    """Print the comparison and the audit."""
    rows = evaluate(directory, users)
    print("epsilon   noise multiplier   HR@10   ledger")
    for epsilon, noise, quality, holds in rows:
        print(f"{epsilon:<9} {noise:<18} {quality:<7} {holds}")
    print(audit(directory))


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="fedrec-privacy-")
    main(Path(place), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
