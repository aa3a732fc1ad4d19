"""MonoDepth with the ResNet50 encoder (Godard et al., CVPR 2017): the paper left it unpruned."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

from depth_prune_ros.offline.networks.base import Decoder
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.prunable import Layer
from torch import nn
from torch import Tensor
from torch.nn import functional

# inner width, blocks; the sums are four times as wide, the last block of a stage halves the size
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
_DECODER = (16, 32, 64, 128, 256, 512)
# conv1 before and behind the max pool, then the last blocks of stages 1 to 3
_SKIPS = {2: 'conv1', 3: 'conv1', 4: 'block3c', 5: 'block7c', 6: 'block13c'}


def _blocks() -> Iterator[tuple[str, int, int]]:
    """Yield each block's name, inner width and stride."""
    number = 0
    for width, blocks in _STAGES:
        for left in reversed(range(blocks)):
            number += 1
            yield f'block{number}', width, 1 if left else 2


def _dense() -> dict[str, int]:
    widths = {'conv1': 64}
    for name, width, _ in _blocks():
        widths |= {f'{name}a': width, f'{name}b': width, f'{name}c': 4 * width}
    for level in range(6, 0, -1):
        widths[f'upconv{level}'] = widths[f'iconv{level}'] = _DECODER[level - 1]
    return widths


class Bottleneck(nn.Module):
    """
    Convolutions a (1x1), b (3x3) and c (1x1), and a 1x1 projection that is added to c.

    Every block has the projection, so no sum reaches from one block into the next: only the two
    terms of a sum share a group.
    """

    def __init__(
        self, net: MonoDepthResNet50, name: str, below: str, size: tuple[int, int]
    ) -> None:
        """
        Declare the block's layers.

        :param below: group the block reads
        :param size: stride of the block's input against the image, and the block's own stride
        """
        super().__init__()
        self.groups = a, b, c = f'{name}a', f'{name}b', f'{name}c'
        before, step = size
        stride = before * step
        path = f'encoder.{name}'
        self.a = net.declare(Layer(f'{path}.a', (below,), a, 1, before), bias=True)
        self.b = net.declare(Layer(f'{path}.b', (a,), b, 3, stride), bias=True, step=step)
        self.c = net.declare(Layer(f'{path}.c', (b,), c, 1, stride), bias=True)
        shortcut = Layer(f'{path}.shortcut', (below,), c, 1, stride)
        self.shortcut = net.declare(shortcut, bias=True, step=step)

    def forward(self, net: MonoDepthResNet50, features: Tensor) -> Tensor:
        """Return the block's output; each of its three groups is gated."""
        a, b, c = self.groups
        inner = net.gate(functional.elu(self.a(features)), a)
        inner = net.gate(functional.elu(self.b(inner)), b)
        return net.gate(functional.elu(self.c(inner) + self.shortcut(features)), c)


class MonoDepthResNet50(DepthNetwork):
    """ResNet50 down to 1/64 without batch norm, six levels up; 58,452,008 parameters if dense."""

    name = 'monodepth_resnet50'
    dense_widths = _dense()
    multiple = 64

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        """Build the network with the given widths."""
        super().__init__(widths)
        self.conv1 = self.declare(Layer('conv1', (3,), 'conv1', 7, 2), bias=True, step=2)
        self.encoder = nn.ModuleDict()
        below, stride = 'conv1', 4
        for name, _, step in _blocks():
            self.encoder[name] = Bottleneck(self, name, below, (stride, step))
            below, stride = f'{name}c', stride * step
        self.decoder = Decoder(self, below, _SKIPS)

    def predict(self, image: Tensor) -> list[Tensor]:
        """See :meth:`DepthNetwork.predict`."""
        conv1 = self.gate(functional.elu(self.conv1(image)), 'conv1')
        features = functional.max_pool2d(conv1, 3, 2, 1)
        skips, levels = {2: conv1, 3: features}, {group: level for level, group in _SKIPS.items()}
        for name, block in self.encoder.items():
            features = block(self, features)
            if f'{name}c' in levels:
                skips[levels[f'{name}c']] = features
        disparities: list[Tensor] = self.decoder(self, features, skips)
        return disparities
