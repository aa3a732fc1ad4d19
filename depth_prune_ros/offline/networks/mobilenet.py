"""
MobileNetV2 (Sandler et al., CVPR 2018) as the encoder under MonoDepth's decoder.

The decoder differs from MonoDepth's where onnxruntime is faster for it: ReLU instead of ELU is
computed within the convolution, and without the disparity of the level above, every convolution
reads whole blocks of 8 channels (x86 kernels are made for them) once widths are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from depth_prune_ros.offline.networks.base import Decoder
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.base import NormDecoder
from depth_prune_ros.offline.networks.prunable import Layer
from torch import nn
from torch import Tensor
from torch.nn import functional

# expansion, width, blocks, stride of the first block: table 2 of the paper
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_DECODER = (16, 24, 40, 64, 128)
_SKIPS = {2: 'stage1', 3: 'stage2', 4: 'stage3', 5: 'stage5'}


def _dense() -> dict[str, int]:
    widths, block, below = {'stem': 32}, 0, 32
    for stage, (expansion, width, blocks, _) in enumerate(_STAGES, start=1):
        for _ in range(blocks):
            block += 1
            if expansion > 1:
                widths[f'block{block}'] = expansion * below
            below = width
        widths[f'stage{stage}'] = width
    for level in range(5, 0, -1):
        widths[f'upconv{level}'] = widths[f'iconv{level}'] = _DECODER[level - 1]
    return widths


class InvertedResidual(nn.Module):
    """Expansion 1x1, depthwise 3x3, projection 1x1; a sum where the size stays."""

    def __init__(
        self, net: MobileNetDepth, number: int, groups: tuple[str, str], size: tuple[int, int]
    ) -> None:
        """
        Declare the block's layers.

        :param groups: stream the block reads, stream it writes
        :param size: stride of the block's output against the image, and the block's own stride
        """
        super().__init__()
        below, self.stream = groups
        stride, step = size
        self.residual = below == self.stream
        self.hidden = f'block{number}' if f'block{number}' in net.widths else 'stem'
        path = f'blocks.{number - 1}'
        self.expand = nn.Sequential()
        if self.hidden != 'stem':
            layer = Layer(
                f'{path}.expand.0',
                (below,),
                self.hidden,
                1,
                stride // step,
                norm=f'{path}.expand.1',
            )
            self.expand.extend((net.declare(layer, bias=False), _norm(net, self.hidden)))
        depthwise = Layer(
            f'{path}.depthwise.0',
            (self.hidden,),
            self.hidden,
            3,
            stride,
            norm=f'{path}.depthwise.1',
            depthwise=True,
        )
        self.depthwise = nn.Sequential(
            net.declare(depthwise, bias=False, step=step), _norm(net, self.hidden)
        )
        project = Layer(
            f'{path}.project.0', (self.hidden,), self.stream, 1, stride, norm=f'{path}.project.1'
        )
        self.project = nn.Sequential(net.declare(project, bias=False), _norm(net, self.stream))

    def forward(self, net: MobileNetDepth, features: Tensor) -> Tensor:
        """Return the block's output, every part of it gated."""
        hidden = features
        if len(self.expand):
            hidden = net.gate(functional.relu6(self.expand(features)), self.hidden)
        hidden = net.gate(functional.relu6(self.depthwise(hidden)), self.hidden)
        projected = net.gate(self.project(hidden), self.stream)
        return features + projected if self.residual else projected


def _norm(net: DepthNetwork, group: str) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(net.widths[group])


class MobileNetDepth(DepthNetwork):
    """MobileNetV2 down to 1/32 (without its last 1x1 convolution), five levels up."""

    name = 'mobilenet'
    dense_widths = _dense()
    multiple = 32
    decoder_type: ClassVar[type[Decoder]] = Decoder
    subpixel: ClassVar[bool] = False
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        """Build the network with the given widths."""
        super().__init__(widths)
        stem = Layer('stem.0', (3,), 'stem', 3, 2, norm='stem.1')
        self.stem = nn.Sequential(self.declare(stem, bias=False, step=2), _norm(self, 'stem'))
        self.blocks = nn.ModuleList()
        self._ends: dict[int, str] = {}
        below, stride = 'stem', 2
        for number, (_, _, blocks, step) in enumerate(_STAGES, start=1):
            stream = f'stage{number}'
            for first in [True] + [False] * (blocks - 1):
                own = step if first else 1
                stride *= own
                self.blocks.append(
                    InvertedResidual(self, len(self.blocks) + 1, (below, stream), (stride, own))
                )
                below = stream
            self._ends[len(self.blocks) - 1] = stream
        self.decoder = self.decoder_type(
            self,
            below,
            _SKIPS,
            activation=functional.relu,
            feedback=False,
            subpixel=self.subpixel,
        )

    def predict(self, image: Tensor) -> list[Tensor]:
        """See :meth:`DepthNetwork.predict`."""
        features = self.gate(functional.relu6(self.stem(image)), 'stem')
        outputs: dict[str, Tensor] = {}
        for index, block in enumerate(self.blocks):
            features = block(self, features)
            if index in self._ends:
                outputs[self._ends[index]] = features
        skips = {level: outputs[stream] for level, stream in _SKIPS.items()}
        disparities: list[Tensor] = self.decoder(self, features, skips)
        return disparities


class SubpixelMobileNetDepth(MobileNetDepth):
    """The same with a sub-pixel convolution for the decoder's finest level."""

    name = 'mobilenet_subpixel'
    dense_widths = {
        group: width
        for group, width in MobileNetDepth.dense_widths.items()
        if group not in ('upconv1', 'iconv1')
    }
    subpixel = True


class NormMobileNetDepth(SubpixelMobileNetDepth):
    """The same with batch norm in the decoder: it learns faster, and loses more when pruned."""

    name = 'mobilenet_norm'
    decoder_type = NormDecoder
