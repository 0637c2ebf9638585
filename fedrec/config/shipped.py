"""The configs that come with fedrec, by name: those of the tables in docs/, from a wheel as from a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGED = Path(__file__).parent / "shipped"
_IN_A_CHECKOUT = Path(__file__).parents[2] / "simulations" / "configs"


def shipped_configs() -> dict[str, Path]:
    """The TOML files that come with fedrec by their names without ``.toml``; none where neither place is there."""
    # A wheel carries a copy of simulations/configs (pyproject.toml); an editable install reads the checkout's own.
    place = _PACKAGED if _PACKAGED.is_dir() else _IN_A_CHECKOUT
    return {path.stem: path for path in sorted(place.glob("*.toml"))}


def summary_of(path: Path) -> str:
    """The first line of a config's comment at its head: what it is for. Empty where it has none."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""
