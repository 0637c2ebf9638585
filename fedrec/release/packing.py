"""The files of a release as bytes, and back. Arrays are safetensors, the rest JSON and Markdown; nothing is code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.errors import ModelError, ReleaseError
from fedrec.release import canonical
from fedrec.release.contents import CatalogueItems, ModelState, ReleaseContents
from fedrec.release.requires import Requirement, check_requirements
from fedrec.release.tensors import arrays_of

CARD = "MODEL_CARD.md"
CATALOGUE, FEATURES = "catalogue.json", "features.safetensors"
MODEL, PARAMETERS = "model.json", "model.safetensors"
BEHAVIOUR = "behaviour.safetensors"
CONFIG, PRIVACY, NAME = "config.json", "privacy.json", "release"
REQUIRES = "requires.json"
_ENCODER = "encoder-"
_DTYPES = frozenset(np.dtype(name) for name in ("float16", "float32", "float64", "int64", "int32", "uint8", "bool"))


def pack(contents: ReleaseContents) -> dict[str, bytes]:
    """File name -> bytes. Equal contents give equal bytes. Raises ReleaseError where a value cannot be stored."""
    items, model = contents.items, contents.model
    catalogue = {"ids": list(items.ids), "titles": list(items.titles), "modalities": list(items.values)}
    features = {f"{name}/values": values for name, values in items.values.items()}
    features |= {f"{name}/present": present for name, present in items.present.items()}
    files = {
        CARD: contents.card.encode(),
        CATALOGUE: canonical.encode(catalogue, what=CATALOGUE),
        FEATURES: _save(features, FEATURES),
        CONFIG: canonical.encode(contents.config, what=CONFIG),
        PRIVACY: canonical.encode(contents.privacy, what=PRIVACY),
    }
    if model is not None:
        files[MODEL] = canonical.encode(_model_facts(model), what=MODEL)
        files[PARAMETERS] = _save({**model.parameters, **model.frozen}, PARAMETERS)
    if contents.requires:
        files[REQUIRES] = canonical.encode({"parts": [asdict(need) for need in contents.requires]}, what=REQUIRES)
    if contents.collaborative is not None:
        files[BEHAVIOUR] = _save(contents.collaborative.arrays(), BEHAVIOUR)
    return files | {f"{_ENCODER}{modality}.safetensors": data for modality, data in contents.encoders.items()}


def unpack(name: str, files: Mapping[str, bytes]) -> ReleaseContents:
    """The inverse of `pack`. The bytes must be the ones that were signed; they are still not trusted to make sense.

    Raises:
        ReleaseError: a file is missing or unknown, or does not hold what its name says; or the release needs parts
            that are not registered here.
    """
    encoders = [file for file in files if file.startswith(_ENCODER)]
    known = {CARD, CATALOGUE, FEATURES, CONFIG, PRIVACY}
    missing = known - set(files)
    unknown = set(files) - known - {MODEL, PARAMETERS, BEHAVIOUR, REQUIRES} - set(encoders)
    if missing or unknown or (MODEL in files) != (PARAMETERS in files):
        raise ReleaseError(
            "the release lacks a file, or has one of an unknown kind",
            value=sorted(missing | unknown) or [MODEL, PARAMETERS],
            action="Take a fresh copy of the release",
        )
    try:
        requires = _requires(files) if REQUIRES in files else ()
        check_requirements(requires)
        return ReleaseContents(
            name=name,
            items=_items(files),
            model=_model(files) if MODEL in files else None,
            collaborative=CollaborativeFactors.from_arrays(_load(files, BEHAVIOUR)) if BEHAVIOUR in files else None,
            encoders={_modality(file): files[file] for file in encoders},
            config=canonical.decode(files[CONFIG], what=CONFIG),
            privacy=canonical.decode(files[PRIVACY], what=PRIVACY),
            card=files[CARD].decode(),
            requires=requires,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ModelError) as error:
        raise ReleaseError(
            f"the release does not hold what its manifest promises: {type(error).__name__}",
            action="Ask the publisher; this copy is what was signed",
        ) from error


def _model_facts(model: ModelState) -> dict[str, Any]:
    return {
        "settings": model.settings.model_dump(mode="json"),
        "shapes": [[name, list(shape)] for name, shape in model.shapes.items()],
        "temperature": float(model.temperature),
        "vocabulary": model.vocabulary,
        "offset": model.offset,
        "auxiliary": model.auxiliary,
        "items": model.items,
        "parameters": list(model.parameters),
        **({"frozen": list(model.frozen)} if model.frozen else {}),
    }


def _model(files: Mapping[str, bytes]) -> ModelState:
    from pydantic import ValidationError  # what checks settings takes as long to load as all else together

    from fedrec.config import ModelSettings

    facts = canonical.decode(files[MODEL], what=MODEL)
    arrays = _load(files, PARAMETERS)
    fixed = list(facts.get("frozen", []))
    if {*facts["parameters"], *fixed} != set(arrays):
        raise ReleaseError(f"{PARAMETERS} holds other parameters than {MODEL} names", value=sorted(arrays))
    try:
        settings = ModelSettings.model_validate(facts["settings"])
    except ValidationError:
        raise ReleaseError(f"{MODEL} holds settings that this version does not have", action="Update fedrec") from None
    return ModelState(
        settings=settings,
        shapes={str(name): tuple(int(size) for size in shape) for name, shape in facts["shapes"]},
        temperature=float(facts["temperature"]),
        parameters={name: arrays[name] for name in facts["parameters"]},
        vocabulary=int(facts["vocabulary"]),
        offset=bool(facts["offset"]),
        auxiliary=bool(facts.get("auxiliary", False)),
        frozen={name: arrays[name] for name in fixed},
        items=int(facts.get("items", 0)),
    )


def _requires(files: Mapping[str, bytes]) -> tuple[Requirement, ...]:
    return tuple(Requirement.from_facts(facts) for facts in canonical.decode(files[REQUIRES], what=REQUIRES)["parts"])


def _items(files: Mapping[str, bytes]) -> CatalogueItems:
    catalogue = canonical.decode(files[CATALOGUE], what=CATALOGUE)
    arrays = _load(files, FEATURES)
    names = [str(name) for name in catalogue["modalities"]]
    if set(arrays) != {f"{name}/{kind}" for name in names for kind in ("values", "present")}:
        raise ReleaseError(f"{FEATURES} holds other modalities than {CATALOGUE} names", value=sorted(arrays))
    return CatalogueItems(
        ids=tuple(map(str, catalogue["ids"])),
        titles=tuple(map(str, catalogue["titles"])),
        values={name: arrays[f"{name}/values"] for name in names},
        present={name: arrays[f"{name}/present"] for name in names},
    )


def _modality(file: str) -> str:
    return file.removeprefix(_ENCODER).removesuffix(".safetensors")


def _save(arrays: Mapping[str, NDArray[Any]], file: str) -> bytes:
    for name, array in arrays.items():
        if array.dtype not in _DTYPES:
            raise ReleaseError(f"{file}: {name} is of a kind that a release does not store", value=str(array.dtype))
    from safetensors.numpy import save

    # safetensors writes the buffer as it lies in memory, so the order must be C; asarray keeps arrays without axes.
    return save({name: np.asarray(array, order="C") for name, array in sorted(arrays.items())})


def _load(files: Mapping[str, bytes], file: str) -> dict[str, NDArray[Any]]:
    arrays = arrays_of(files[file], file)
    strange = sorted(name for name, array in arrays.items() if array.dtype not in _DTYPES)
    if strange:
        raise ReleaseError(f"{file} holds arrays of an unknown kind", value=strange, action="Update fedrec")
    return arrays
