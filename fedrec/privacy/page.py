"""The privacy statement as a page: what is promised, to whom, how, what must be trusted, and what is not covered.

Its requests are those by which NIST SP 800-226, "Guidelines for Evaluating Differential Privacy Guarantees" (2025),
has a claim evaluated: the parameters and the unit, the mechanism and its accounting, the model of trust, and what lies
outside.  `facts_of` gives the content, `page_of` the words; every figure is recomputed from what was charged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.conversions import group_epsilon
from fedrec.privacy.meaning import advantage, exact_advantage, odds_ratio
from fedrec.privacy.simulated import first_line

GROUPS: Final = (2, 5)
_TUNED: Final = "Settings that were tuned on the same data before this run: only the sums of this run are counted."
_TUNED_BESIDE: Final = (
    "Settings beside those that the devices chose, and the candidates themselves, where they were tuned on the same "
    "data before this run: only the sums of this run are counted."
)
NOT_COVERED: Final = (
    "Who took part, when, and how large cohorts were. The ledger, the event log and the report hold such counts; "
    "they stay with the server and are no part of the release.",
    "Side channels: time, memory, power, network traffic, and floating-point behaviour beyond the grid of the sums.",
    "Crashes and refusals of devices, and their times, which the server sees.",
    "What a device shows on its own screen, and whoever can open the device.",
    "What is true of many people: the promise bounds what one unit adds, not what everybody together reveals.",
    "Other runs over the same people: their costs add up (a device's own ledger adds them up too).",
    "Public content (catalogue, texts, pictures of items), which is not protected and does not need to be.",
)


def facts_of(
    privacy: Mapping[str, Any],
    *,
    population: int | None,
    name: str,
    verified: Sequence[str] | None,
    interactions: int | None = None,
) -> dict[str, Any]:
    """Everything the page says, JSON-able.

    Args:
        privacy: what `privacy_statement` made.
        population: how many users the run stands for; None where that is not known, as of a release alone.
        name: of the run.
        interactions: how many there were, which is known of simulations only.
        verified: problems that `fedrec privacy verify` found; None = not looked.
    """
    costs = [_spend(query) for query in privacy["queries"]]
    delta = float(privacy["delta"])
    composed_at = delta - float(privacy.get("delta_of_samples") or 0.0)
    return {
        "name": name,
        "population": population,
        **{key: value for key, value in privacy.items() if key != "queries"},
        "delta_reason": _why(privacy, population if privacy["unit"] == "user" else interactions),
        "released": _meaning(privacy.get("epsilon_released"), delta, exact_advantage(costs)),
        "server": _meaning(privacy.get("epsilon_server"), delta, None),
        "queries": [dict(query) for query in privacy["queries"]],
        "groups": _group_facts(privacy, costs, composed_at),
        "not_covered": [_TUNED_BESIDE if _tuned_inside(privacy) else _TUNED, *NOT_COVERED],
        "verified": None if verified is None else not verified,
        "problems": list(verified or ()),
    }


def _group_facts(privacy: Mapping[str, Any], costs: Sequence[QueryCost], delta: float) -> dict[str, float | None]:
    if costs:
        return {str(size): _finite(group_epsilon(costs, delta, size)) for size in GROUPS}
    # What devices spent is known to them alone, so that nothing is stated of groups but that there is a promise.
    return dict.fromkeys(map(str, GROUPS)) if privacy.get("noise_place") == "local" else {}


def page_of(facts: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    sections = (
        ("What is protected", _protected(facts)),
        ("How strong the promise is", _strength(facts)),
        ("How it is kept", _mechanism(facts) + _tuning(facts)),
        ("What was asked, and what each query cost", _queries(facts)),
        ("Groups, and all that one person did", _groups(facts)),
        ("Who must be trusted, and with what", _listed(facts["trust"])),
        ("What is not covered", _listed(facts["not_covered"])),
        ("How this was checked", _checked(facts)),
    )
    simulated = first_line(facts)
    head = (f"**{_line(simulated)}**\n\n" if simulated else "") + f"# Privacy statement: {_line(facts['name'])}\n"
    return head + "".join(f"\n## {title}\n\n{text}\n" for title, text in sections)


def _protected(facts: Mapping[str, Any]) -> str:
    unit = "one user, with everything the user did" if facts["unit"] == "user" else "one interaction of one user"
    said = [
        f"- Unit of privacy: {unit}.",
        f"- Two data sets count as neighbours when {_line(facts['adjacency'])}.",
    ]
    if facts["population"] is not None:
        said.append(f"- Population: {facts['population']:,} users.")
    return "\n".join(said)


def _strength(facts: Mapping[str, Any]) -> str:
    if facts["epsilon_released"] is None and facts["epsilon_server"] is None:
        return "**Nothing is promised.** The run adds no noise: its release may reveal what one person did."
    return (
        f"- For everybody who sees the release: {_promise(facts['epsilon_released'], facts['released'], facts)}\n"
        f"- Towards the server itself: {_promise(facts['epsilon_server'], facts['server'], facts)}\n"
        f"- delta = {facts['delta']:.3g}: {facts['delta_reason']}."
    )


def _promise(epsilon: float | None, meaning: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> str:
    if epsilon is None or meaning is None:
        return f"no finite epsilon ({_line(facts.get('epsilon_server_reason') or 'nothing is claimed')})."
    said = (
        f"**epsilon = {epsilon:.4g}**. Whatever somebody believes about one unit, the release changes the odds of it "
        f"by a factor of at most {meaning['odds_ratio']:.4g}, but for a chance of delta. The best possible test of "
        f"whether a unit was in the data has an advantage over guessing of at most {meaning['advantage']:.3f} "
        "(true positives minus false positives; 0 is guessing, 1 is certainty)"
    )
    exact = meaning.get("advantage_exact")
    return said + ("." if exact is None else f"; for Gaussian noise it is {exact:.3f} exactly.")


def _mechanism(facts: Mapping[str, Any]) -> str:
    if facts["mechanism"] is None:
        return "There is no mechanism: no noise is added."
    if facts["noise_multiplier"] is None:
        return (
            f"- Mechanism: {_line(facts['mechanism'])}.\n"
            f"- Where the noise is added: {_line(facts['noise_place'])}; how much follows on each device from its own "
            "number of interactions, so that all its rounds together keep the promise.\n"
            f"- Sampling: {_line(facts['sampling'])}.\n"
            f"- Accountant: {_line(facts['accountant'])}."
        )
    gain = "amplification by sampling is claimed" if _amplified(facts) else "no amplification by sampling is claimed"
    return (
        f"- Mechanism: {_line(facts['mechanism'])}; the part of each row is bounded on the device before it is added.\n"
        f"- Where the noise is added: {_line(facts['noise_place'])}.\n"
        f"- Noise multiplier of {facts['noise_multiplier_of']}: {facts['noise_multiplier']:.4g}; all queries together "
        f"amount to one sum over everybody with {facts['noise_multiplier_equivalent']:.4g}.\n"
        f"- Sampling that was really done: {facts['sampling']}; {gain}. Without amplification epsilon would be "
        f"{facts['epsilon_without_amplification']:.4g}.\n"
        f"- Accountant: {_line(facts['accountant'])}."
    )


def _tuning(facts: Mapping[str, Any]) -> str:
    said = (facts.get("tuning") or {}).get("said")
    return f"\n- Tuning: {_line(said)}." if said and facts["mechanism"] is not None else ""


def _tuned_inside(privacy: Mapping[str, Any]) -> bool:
    return bool((privacy.get("tuning") or {}).get("inside_epsilon"))


def _queries(facts: Mapping[str, Any]) -> str:
    if not facts["queries"]:
        if facts["noise_place"] == "local":
            return "No sum was charged by the server: what it opened was private. Each device's ledger has its rounds."
        return "No sum was charged."
    rows = "".join(
        f"| {query['query']} | {query['rounds']} | {query['noise_multiplier']:.4g} | {query['sampling']} | "
        f"{query['probability']:.4g} | {'yes' if query['amplification_claimed'] else 'no'} |\n"
        for query in facts["queries"]
    )
    return (
        "| query | rounds | noise multiplier | sampling | probability | amplified |\n|---|---|---|---|---|---|\n" + rows
    )


def _groups(facts: Mapping[str, Any]) -> str:
    if not facts["groups"]:
        return "Nothing is promised to one unit, nor to a group."
    what = "people" if facts["unit"] == "user" else "interactions"
    said = [f"- {size} {what} together: epsilon = {_or_none(value)}." for size, value in facts["groups"].items()]
    if facts["unit"] == "example":
        said.append(
            "- The promise is for one interaction. Somebody with five interactions has, as a person, the figure of a "
            "group of 5; with more interactions it is weaker still."
        )
    else:
        said.append("- The promise is for a person with all interactions, notes and photos together.")
    return "\n".join(said)


def _checked(facts: Mapping[str, Any]) -> str:
    kept = facts.get("ledger") or {}
    of = f"The ledger has {kept.get('rows')} rows and ends in `{kept.get('head')}`. "
    if facts["verified"] is None:
        return of + "It was not checked for this page."
    if facts["verified"]:
        return of + "Every figure was recomputed from it (`fedrec privacy verify`), and all that was said holds."
    return of + "**It does not hold what was said:**\n\n" + _listed(facts["problems"])


def _spend(query: Mapping[str, Any]) -> QueryCost:
    known = (
        "query",
        "noise_multiplier",
        "rounds",
        "sampling",
        "probability",
        "minimum_separation",
        "mechanism",
        "secret",
    )
    return QueryCost(**{name: query[name] for name in known if name in query})


def _meaning(epsilon: float | None, delta: float, exact: float | None) -> dict[str, Any] | None:
    if epsilon is None:
        return None
    return {"odds_ratio": odds_ratio(epsilon), "advantage": advantage(epsilon, delta), "advantage_exact": exact}


def _why(privacy: Mapping[str, Any], units: int | None) -> str:
    """What delta is, and whether it is below one in the number of privacy units, where that is known."""
    said, delta = "the chance with which the promise may fail", float(privacy["delta"])
    if units is not None:
        below = "below" if delta < 1 / units else "NOT below"
        what = "users" if privacy["unit"] == "user" else "interactions"
        said += f", {below} one in the number of {what} ({1 / units:.3g})"
    samples = float(privacy.get("delta_of_samples") or 0.0)
    return said + (f"; {samples:.2g} of it is the chance of a sample too small for its devices" if samples else "")


def _amplified(facts: Mapping[str, Any]) -> bool:
    return any(query["amplification_claimed"] for query in facts["queries"])


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {_line(sentence)}" for sentence in sentences)


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_none(value: float | None) -> str:
    return "none that can be stated" if value is None else f"{value:.4g}"
