"""Build ``report.html``: one file, no network, nothing in it runs but the two scripts it was built with.

Titles, ids and reasons are untrusted text. They are escaped by the template; the chart data travel as JSON in which
``<`` is written as an escape; and a content security policy allows exactly the two scripts, by their hashes, and no
connection to anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from fedrec import run_words as words
from fedrec.console import figure, size
from fedrec.html.templates import environment, style_sheet
from fedrec.privacy.simulated import KEY
from fedrec.run_values import dotted, leaves
from fedrec.simulation.report import charts, choice, page
from fedrec.simulation.report.pictures import ReportPictures
from fedrec.simulators_view import MARK, simulators_view

MOST_HISTORY: Final = 24
MOST_PEOPLE: Final = 12
MOST_ROWS: Final = 24


def build_report(
    out_dir: Path,
    run: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]],
    showcase: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, Any],
) -> Path:
    """Write ``out_dir/report.html`` and return its path.

    Args:
        run: the content of ``run.json``. rounds: the lines of ``events.jsonl``.
        showcase: people to show, each ``{"user", "history": [{"item", "title", "image"}], "recommendations": [{"rank",
            "item", "title", "image", "score", "shares", "nearest", "reason", "events"}]}``; ``image``: a file or None;
            ``events``: what speaks for it, each ``{"title", "share", "alike": modality -> cosine}``.
        baselines: ``{"popularity" | "random" | "oracle": {"hr@10", "ndcg@10"} | None}``.

    Any figure may be null or absent: it is shown as a dash, or the chart says that there is nothing to draw.

    Raises:
        OSError: the file cannot be written.
    """
    pictures = ReportPictures()
    drawn = charts.all_charts(run, rounds, baselines)
    library, own = page.plotly(), page.resource("report.js")
    text = (
        environment()
        .from_string(page.resource("report.html.j2"))
        .render(
            name=str(charts.table(charts.table(run.get("config")).get("run")).get("name") or "run"),
            policy=page.policy(library, own),
            about=str(run.get(KEY) or ""),
            warnings=[str(said) for said in run.get("warnings") or ()],
            style=Markup(style_sheet()),
            library=Markup(library),
            script=Markup(own),
            chart_json=Markup(page.script_json(drawn)),
            charts=drawn,
            tiles=_tiles(run),
            quality=_quality_rows(run, baselines),
            groups=_group_rows(run),
            found=_found(run),
            cold=words.cold_item_words(run),
            chosen=choice.choice_words(run),
            choices=choice.choice_rows(run),
            choice_columns=choice.COLUMNS,
            ratings=words.rating_words(run),
            exact=simulators_view("Quality and losses on this page"),
            promises=words.promises(run),
            settings=list(dotted(charts.table(run.get("config")))),
            facts=list(dotted({key: run.get(key) for key in ("data", "model", "secure_aggregation", "cost")})),
            people=[_person(person, pictures) for person in showcase[:MOST_PEOPLE]],
            figure=figure,
        )
    )
    path = out_dir / "report.html"
    out_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return path


def _tiles(run: Mapping[str, Any]) -> list[dict[str, str]]:
    quality = charts.table(charts.table(run.get("quality")).get("loo-99neg"))
    privacy, cost = charts.table(run.get("privacy")), charts.table(run.get("cost"))
    sent = charts.finite(charts.table(run.get("secure_aggregation")).get("bytes_up_per_device_round"))
    seconds = charts.finite(cost.get("seconds"))
    return [
        {"name": "HR@10", "value": figure(charts.finite(quality.get("hr@10"))), "note": f"against 99 others; {MARK}"},
        {
            "name": "NDCG@10",
            "value": figure(charts.finite(quality.get("ndcg@10"))),
            "note": f"against 99 others; {MARK}",
        },
        {
            "name": "Epsilon, released model",
            "value": figure(charts.finite(privacy.get("epsilon_released")), 2),
            "note": "smaller is stricter" if charts.finite(privacy.get("epsilon_released")) else "no noise, no promise",
        },
        {
            "name": "Epsilon, server",
            "value": figure(charts.finite(privacy.get("epsilon_server")), 2),
            "note": "what the server could learn"
            if charts.finite(privacy.get("epsilon_server"))
            else "no promise in numbers",
        },
        {"name": "Sent by a device", "value": size(sent), "note": "a round"},
        {"name": "Time", "value": figure(seconds, 1) + ("" if seconds is None else " s"), "note": "the whole run"},
    ]


def _quality_rows(run: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [{"name": "this model", "own": True, **_pair(charts.table(run.get("quality")).get("loo-99neg"))}]
    rows += [{"name": name, "own": False, **_pair(baselines[name])} for name in charts.BASELINES if baselines.get(name)]
    return rows


def _group_rows(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Warm and cold users and items, where the run measured them apart; groups of nobody are left out."""
    found = charts.table(charts.table(run.get("quality")).get("groups"))
    return [
        {"name": str(one.get("rule") or name), "users": f"{one['users']:,}", **_pair(one)}
        for name, one in found.items()
        if isinstance(one, Mapping) and one.get("users")
    ]


def _pair(metrics: Any) -> dict[str, str]:
    found = charts.table(metrics)
    return {"hr": figure(charts.finite(found.get("hr@10"))), "ndcg": figure(charts.finite(found.get("ndcg@10")))}


def _person(person: Mapping[str, Any], pictures: ReportPictures) -> dict[str, Any]:
    history = list(person.get("history") or [])
    return {
        "user": str(person.get("user") or "?"),
        "history": [_card(item, pictures) for item in history[-MOST_HISTORY:]],
        "more": max(0, len(history) - MOST_HISTORY),
        "recommendations": [
            {
                **_card(item, pictures),
                "rank": item.get("rank"),
                "score": figure(charts.finite(item.get("score"))),
                "shares": _shares(charts.table(item.get("shares"))),
                "reason": str(item.get("reason") or ""),
                "speaks": [_speaks(charts.table(said)) for said in item.get("events") or []],
            }
            for item in person.get("recommendations") or []
        ],
    }


def _card(item: Mapping[str, Any], pictures: ReportPictures) -> dict[str, Any]:
    title = str(item.get("title") or item.get("item") or "?")
    return {"title": title, "letter": title[:1].upper(), "image": pictures.uri(item.get("image"))}


def _speaks(said: Mapping[str, Any]) -> str:
    """Such as: Blue mug says 41%: text alike by 0.62, image by 0.30."""
    alike = [
        f"{name} {value:.2f}"
        for name, found in sorted(charts.table(said.get("alike")).items(), key=lambda pair: str(pair[0]))
        if (value := charts.finite(found)) is not None
    ]
    share = charts.finite(said.get("share")) or 0.0
    content = f"; content alike: {', '.join(alike)}" if alike else ""
    return f"{said.get('title') or '?'} says {share:.0%}{content}"


def _shares(shares: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each part's share of the score in percent, the largest first; without those that give next to nothing."""
    found = {str(name): value for name, share in shares.items() if (value := charts.finite(share)) and value > 0}
    total = sum(found.values())
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    rounded = [(name, round(100 * value / total)) for name, value in ordered]
    return [{"name": name, "percent": percent} for name, percent in rounded if percent]


def _found(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each query of the run found, whatever queries it has: names of figures and figures, the first of many."""
    found = []
    for name, result in charts.table(run.get("queries")).items():
        rows = [(key, figure(value)) for key, value in leaves(result)]
        found.append({"name": name, "rows": rows[:MOST_ROWS], "more": max(0, len(rows) - MOST_ROWS)})
    return found
