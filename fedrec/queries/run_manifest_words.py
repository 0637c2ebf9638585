"""A run manifest in words that a person can act on: who is trusted with what, and then what else is agreed to."""

from __future__ import annotations

from collections.abc import Iterator

from fedrec.config import Config
from fedrec.queries.run_manifest import RunManifest


def trusted(config: Config) -> str:
    """Who is trusted with what, as one sentence: the first that a person should read. The protocol must be settled."""
    place, protocol = config.privacy.noise_place, config.secure_aggregation.protocol
    if place == "local" and config.privacy.epsilon is not None:
        return "Nobody is trusted: each device makes its own contribution private before it leaves."
    if protocol == "none":
        return "The server is trusted with the contribution of every single device: nothing is masked."
    if config.privacy.epsilon is None:
        return "The server is trusted with exact sums, and so is whoever sees the release: there is no noise."
    if place == "server":
        return "The server is trusted with exact sums, and to add the noise before it uses them."
    return (
        "The server is trusted with nothing for privacy, as long as no more devices help it or drop out than assumed: "
        "sums reach it with the devices' noise in them."
    )


def described(manifest: RunManifest) -> Iterator[tuple[str, str]]:
    """What a manifest says beside `trusted`: what it is about, and what it says of that."""
    config, budget = manifest.config, manifest.budget
    unit = "user" if budget.unit == "user" else "interaction"
    yield "run", f"{manifest.name}, number {manifest.counter} of this publisher"
    yield (
        "promise",
        "none"
        if budget.epsilon is None
        else (
            f"epsilon {budget.epsilon:g} at delta {budget.delta:.3g} for every {unit}, noise by "
            f"{'the server' if config.privacy.noise_place == 'server' else 'the devices'}"
        ),
    )
    yield (
        "devices",
        f"{manifest.roster.devices:,} of roster version {manifest.roster.version}, {manifest.users:,} users",
    )
    secure = config.secure_aggregation
    if secure.protocol != "none":
        yield (
            "assumed",
            f"at most {secure.colluding:.0%} of the devices help a server that lies, {secure.corrupt:.0%} a curious "
            f"one, {secure.dropout:.0%} drop out",
        )
    yield "roster", manifest.roster.digest
    yield "catalogue", manifest.catalogue
    for name, digest in sorted(manifest.encoders.items()):
        yield name.removesuffix(".safetensors"), digest
    yield "code", f"fedrec {manifest.code.version}, {manifest.code.sha256}"
    yield "seed", manifest.seed
    yield "digest", manifest.digest
