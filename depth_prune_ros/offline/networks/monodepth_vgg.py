"""MonoDepth with the VGG encoder (Godard et al., CVPR 2017): the network the paper prunes."""

from __future__ import annotations

from collections.abc import Mapping

from depth_prune_ros.offline.networks.base import Decoder
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.prunable import Layer
from torch import nn
from torch import Tensor
from torch.nn import functional

_ENCODER = ((7, 32), (5, 64), (3, 128), (3, 256), (3, 512), (3, 512), (3, 512))
_DECODER = (16, 32, 64, 128, 256, 512, 512)


def _dense() -> dict[str, int]:
    pairs = enumerate(_ENCODER, start=1)
    encoder = {f'conv{i}{ab}': width for i, (_, width) in pairs for ab in 'ab'}
    levels = range(7, 0, -1)
    decoder = {f'{kind}{i}': _DECODER[i - 1] for kind in ('upconv', 'iconv') for i in levels}
    return encoder | decoder


class MonoDepthVGG(DepthNetwork):
    """Fourteen convolutions down, seven levels up; 31,600,072 parameters when dense."""

    name = 'monodepth_vgg'
    dense_widths = _dense()
    multiple = 128

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        """Build the network with the given widths."""
        super().__init__(widths)
        self.encoder = nn.ModuleDict()
        below: str | int = 3
        for i, (kernel, _) in enumerate(_ENCODER, start=1):
            for ab, stride in (('a', 2 ** (i - 1)), ('b', 2**i)):
                group = f'conv{i}{ab}'
                layer = Layer(f'encoder.{group}', (below,), group, kernel, stride)
                self.encoder[group] = self.declare(layer, bias=True, step=2 if ab == 'b' else 1)
                below = group
        self.decoder = Decoder(self, 'conv7b', {i + 1: f'conv{i}b' for i in range(1, 7)})

    def predict(self, image: Tensor) -> list[Tensor]:
        """See :meth:`DepthNetwork.predict`."""
        features, skips = image, {}
        for group, conv in self.encoder.items():
            features = self.gate(functional.elu(conv(features)), group)
            if group.endswith('b') and group != 'conv7b':
                skips[int(group[4]) + 1] = features
        disparities: list[Tensor] = self.decoder(self, features, skips)
        return disparities
