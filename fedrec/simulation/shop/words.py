"""What the shop's items are called and how people write about them: words carry the text part, and nothing else.

Each of the three text dimensions runs between two themes. A text says several things about each dimension; how many of
them come from the one theme rather than the other follows the item's place along it. Products (lantern, mug, ...) are
the same words whatever the latents are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedrec.simulation.shop.latents import TEXT_WIDTH


@dataclass(frozen=True)
class Theme:
    """One end of a text dimension: words by their role in a sentence."""

    looks: tuple[str, ...]
    stuffs: tuple[str, ...]
    places: tuple[str, ...]
    moments: tuple[str, ...]


def _theme(looks: str, stuffs: str, places: str, moments: str) -> Theme:
    return Theme(*(tuple(part.split(", ")) for part in (looks, stuffs, places, moments)))


# THEMES[d] = (what the low end of dimension d says, what the high end says).
THEMES: tuple[tuple[Theme, Theme], ...] = (
    (
        _theme(
            "sleek, urban, polished, streamlined, tailored",
            "steel, chrome, concrete, vinyl",
            "the rooftop, the studio, the office, the gallery",
            "commutes, deadlines, espresso breaks, opening nights",
        ),
        _theme(
            "rugged, windswept, alpine, sturdy, weathered",
            "canvas, oak, hemp, flint",
            "the trail, the campsite, the forest, the mountain hut",
            "hikes, campfires, river crossings, starry nights",
        ),
    ),
    (
        _theme(
            "playful, jolly, dazzling, cheeky, lively",
            "glitter, sequin, tinsel, rainbow",
            "the carnival, the dance floor, the funfair, the parade",
            "birthdays, karaoke, fireworks, midnight toasts",
        ),
        _theme(
            "serene, hushed, gentle, mellow, unhurried",
            "linen, felt, beeswax, silk",
            "the reading nook, the bathtub, the tea room, the window seat",
            "meditation, slow mornings, deep sleep, naps",
        ),
    ),
    (
        _theme(
            "futuristic, modular, smart, experimental, digital",
            "carbon, titanium, aerogel, graphene",
            "the laboratory, the space station, the server room, the workshop",
            "prototypes, simulations, coding sprints, drone flights",
        ),
        _theme(
            "antique, timeless, ornate, nostalgic, traditional",
            "walnut, brass, velvet, porcelain",
            "the attic, the library, the manor, the flea market",
            "anniversaries, chess evenings, storytelling, family dinners",
        ),
    ),
)

_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
SHARPNESS = 1.3  # how quickly words turn from one theme to the other along a dimension
ROLES = ("looks", "stuffs", "places", "moments")

DESCRIPTIONS = (
    "A {look0}, {look1} {noun} with a {look2} touch, in {stuff0}, {stuff1} and {stuff2}. "
    "It belongs in {place0}, {place1} or {place2}. Good company for {moment0}, {moment1} and {moment2}.",
    "Made for {place0}, {place1} and {place2}: a {noun} that is {look0}, {look1} and {look2}. "
    "We join {stuff0} with {stuff1} and a little {stuff2}. People buy it for {moment0}, {moment1} or {moment2}.",
    "Think of {moment0}, {moment1}, {moment2}. This {look0} {noun} pairs {stuff0} and {stuff1} with {stuff2}; "
    "it looks {look1} in {place0}, {look2} in {place1}, and right in {place2}.",
)
NOTES = (
    "Still looking for something {look0}, maybe {look1} or {look2}. I like {stuff0}, {stuff1} and {stuff2}. "
    "For {moment0}, {moment1} and {moment2}, in {place0}, {place1} or {place2}.",
    "Note to self: {place0} and {place1} need something in {stuff0} or {stuff1}. Not too dear. "
    "{stuff2} would do as well, as long as it is {look0} and {look1}, a bit {look2}; "
    "think of {moment0}, {moment1}, {moment2} and {place2}.",
    "I keep going back to {place0}, {place1} and {place2}. My days are {moment0}, {moment1} and {moment2}, "
    "so what I want is {look0}, {look1}, {look2}: {stuff0}, {stuff1}, {stuff2}.",
)


def title(rng: np.random.Generator, latent: NDArray[np.float32], noun: str) -> str:
    """A product name such as "Windswept linen lantern". ``latent``: float32 [3], the text part."""
    words = _words(rng, latent)
    first, second = rng.permutation(TEXT_WIDTH)[:2]
    return f"{words['looks'][first]} {words['stuffs'][second]} {noun}".capitalize()


def description(rng: np.random.Generator, latent: NDArray[np.float32], noun: str) -> str:
    """Two or three sentences on a product. ``latent``: float32 [3], the text part."""
    return _fill(rng, DESCRIPTIONS, latent, noun)


def note(rng: np.random.Generator, latent: NDArray[np.float32]) -> str:
    """What a person with such a taste writes. ``latent``: float32 [3], on the scale of the items' text part."""
    return _fill(rng, NOTES, latent, "thing")


def _fill(rng: np.random.Generator, templates: tuple[str, ...], latent: NDArray[np.float32], noun: str) -> str:
    words = _words(rng, latent)
    fields = {"noun": noun}
    for role in ROLES:
        for place, d in enumerate(rng.permutation(TEXT_WIDTH)):
            fields[f"{role[:-1]}{place}"] = words[role][d]
    text = _ARTICLE.sub(r"\1n ", templates[rng.integers(len(templates))].format(**fields))
    return ". ".join(sentence[:1].upper() + sentence[1:] for sentence in text.split(". "))


def _words(rng: np.random.Generator, latent: NDArray[np.float32]) -> dict[str, list[str]]:
    """One word for each role and dimension: role -> three words.

    Of a dimension's four words, four times its quantile come from the high theme, rounded up or down at random without
    bias: the text then tells the latent more sharply than four independent draws would.
    """
    picked: dict[str, list[str]] = {role: [] for role in ROLES}
    for d, themes in enumerate(THEMES):
        high = int(np.floor(len(ROLES) * ndtr(SHARPNESS * latent[d]) + rng.random()))
        ends = rng.permutation(len(ROLES)) < high
        for role, end in zip(ROLES, ends, strict=True):
            options: tuple[str, ...] = getattr(themes[int(end)], role)
            picked[role].append(options[rng.integers(len(options))])
    return picked
