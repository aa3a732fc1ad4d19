"""The networks that the search for a recipe compares: other decoders, other widths."""

from __future__ import annotations

from depth_prune_ros.offline.compact import remove
from depth_prune_ros.offline.networks.base import Decoder
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.catalogue import load_imagenet
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Source
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional


class BilinearDecoder(Decoder):
    """Bilinear instead of nearest upsampling."""

    def upsample(self, features: Tensor) -> Tensor:
        """See :meth:`Decoder.upsample`."""
        return functional.interpolate(
            features, scale_factor=2, mode='bilinear', align_corners=False
        )


class DepthwiseDecoder(Decoder):
    """A 1x1 and a depthwise 3x3 convolution for each 3x3 (as FastDepth's, ICRA 2019)."""

    def convolution(
        self, net: DepthNetwork, group: str, inputs: tuple[Source, ...], stride: int
    ) -> nn.Module:
        """See :meth:`Decoder.convolution`."""
        path = f'decoder.{group}'
        mix = Layer(f'{path}.0', inputs, group, 1, stride)
        look = Layer(f'{path}.1', (group,), group, 3, stride, depthwise=True)
        return nn.Sequential(net.declare(mix, bias=True), net.declare(look, bias=True))


class BilinearMobileNet(MobileNetDepth):
    """MobileNetV2 under the bilinear decoder."""

    name = 'mobilenet-bilinear'
    decoder_type = BilinearDecoder


class DepthwiseMobileNet(MobileNetDepth):
    """MobileNetV2 under the depthwise decoder."""

    name = 'mobilenet-depthwise'
    decoder_type = DepthwiseDecoder


OTHER_DECODERS = (BilinearMobileNet, DepthwiseMobileNet)


def start_of_width(encoder: float, decoder: float) -> MobileNetDepth:
    """
    Return MobileNetV2 from ImageNet weights at other widths, in multiples of 8.

    :param encoder: at most 1; of every group, the filters of the largest L1 norm stay (those that
        a sum ties together are judged by the sum of their norms)
    :param decoder: of every group; its weights are random
    """
    whole = MobileNetDepth()
    load_imagenet(whole)
    widths = {
        group: _rounded(width * (decoder if _is_decoder(group) else encoder))
        for group, width in whole.widths.items()
    }
    kept = {
        group: torch.ones(width, dtype=torch.bool)
        if _is_decoder(group)
        else _largest(whole, group, widths[group])
        for group, width in whole.widths.items()
    }
    narrow = remove(whole, kept).state_dict()
    network = build(whole.name, widths)
    assert isinstance(network, MobileNetDepth)
    encoder_weights = {k: v for k, v in narrow.items() if not k.startswith('decoder.')}
    network.load_state_dict(encoder_weights, strict=False)
    return network


def _largest(network: DepthNetwork, group: str, count: int) -> Tensor:
    norms = [
        network.get_submodule(layer.conv).get_parameter('weight').detach().abs().flatten(1).sum(1)
        for layer in network.layers
        if layer.output == group
    ]
    kept = torch.zeros(len(norms[0]), dtype=torch.bool)
    kept[torch.stack(norms).sum(0).topk(count).indices] = True
    return kept


def _rounded(width: float) -> int:
    return max(8, round(width / 8) * 8)


def _is_decoder(group: str) -> bool:
    return group.startswith(('upconv', 'iconv'))
