"""The depth networks' common part: image to disparities, and MonoDepth's decoder."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import ClassVar
from typing import TypeVar

from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
from depth_prune_ros.offline.networks.prunable import Source
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

_Network = TypeVar('_Network', bound='DepthNetwork')


class DepthNetwork(Prunable):
    """An image in [0, 1] to left and right disparities at four scales."""

    multiple: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    std: ClassVar[tuple[float, float, float]] = (1.0, 1.0, 1.0)

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        """See :class:`Prunable`."""
        super().__init__(widths)
        self._held: list[nn.Module] = []
        self.register_buffer('_mean', torch.tensor(self.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('_std', torch.tensor(self.std).view(1, 3, 1, 1), persistent=False)

    def hold_encoder(self) -> None:
        """Keep all but the decoder as it is from now on: weights, and the statistics of norms."""
        self._held = [part for name, part in self.named_children() if name != 'decoder']
        for part in self._held:
            part.requires_grad_(requires_grad=False)

    def train(self: _Network, mode: bool = True) -> _Network:
        """See :meth:`torch.nn.Module.train`; what is held stays in evaluation."""
        super().train(mode)
        for part in self._held:
            part.eval()
        return self

    def normalise(self, image: Tensor) -> Tensor:
        """Bring an RGB image [N, 3, H, W] in [0, 1] to what the encoder was trained on."""
        mean: Tensor = self.get_buffer('_mean')
        std: Tensor = self.get_buffer('_std')
        return (image - mean) / std

    def forward(self, image: Tensor) -> list[Tensor]:
        """
        Predict disparities.

        :param image: [N, 3, H, W] RGB in [0, 1]; sides are multiples of ``multiple``
        :return: four tensors [N, 2, H / 2^s, W / 2^s], s = 0..3: left and right disparity as
            fractions of the image width, finest first
        """
        return self.predict(self.normalise(image))

    def predict(self, image: Tensor) -> list[Tensor]:
        """Do what :meth:`forward` does, from a normalised image."""
        raise NotImplementedError


class Decoder(nn.Module):
    """
    MonoDepth's decoder (Godard et al., CVPR 2017): upconv, skip, iconv, disparity heads.

    Level L doubles the size: nearest upsampling and a 3x3 convolution (upconvL), concatenation
    with the skip and, below level 4, the upsampled disparity (feedback), and a 3x3 convolution
    (iconvL). Levels 4 to 1 have a head: 0.3 * sigmoid, two channels.

    Level 1 has no skip, and twice the pixels a side of level 2: it takes a third of a small
    network's time and adds next to nothing. As a sub-pixel convolution (Shi et al., CVPR 2016) it
    is a head of level 2 alone, of 2x2 pixels of each disparity.
    """

    def __init__(
        self,
        net: DepthNetwork,
        bottom: str,
        skips: Mapping[int, str],
        *,
        activation: Callable[[Tensor], Tensor] = functional.elu,
        feedback: bool = True,
        subpixel: bool = False,
    ) -> None:
        """
        Declare the decoder's layers in the network.

        :param net: the network the decoder belongs to, under the name ``decoder``
        :param bottom: group of the encoder's last features
        :param skips: level -> group of the encoder features at that level's output size
        :param activation: behind every upconv and iconv; 0 at 0, so that it keeps a gate shut
        :param feedback: whether a level below 4 reads the disparity of the level above
        :param subpixel: whether level 1 is a sub-pixel convolution
        """
        super().__init__()
        self._activation = activation
        self._feedback = feedback
        self.subpixel = subpixel
        self.levels = range(max(skips), 1 if subpixel else 0, -1)
        below = bottom
        for level in self.levels:
            up, mix = f'upconv{level}', f'iconv{level}'
            stride = 2 ** (level - 1)
            disparity = (2,) if feedback and level < 4 else ()
            skip = (skips[level],) if level in skips else ()
            for name, inputs in ((up, (below,)), (mix, (up, *skip, *disparity))):
                self.add_module(name, self.convolution(net, name, inputs, stride))
            if level <= 4:
                head = Layer(f'decoder.disp{level}', (mix,), 2, 3, stride)
                self.add_module(f'disp{level}', net.declare(head, bias=True))
            net.unmasked_in_paper.add(mix)
            below = mix
        if subpixel:
            self.disp1 = net.declare(Layer('decoder.disp1', (below,), 8, 3, 2), bias=True)

    def forward(
        self, net: DepthNetwork, bottom: Tensor, skips: Mapping[int, Tensor]
    ) -> list[Tensor]:
        """Return the disparities, finest first."""
        features = bottom
        disparities: list[Tensor] = []
        for level in self.levels:
            up, mix = f'upconv{level}', f'iconv{level}'
            risen = self.get_submodule(up)(self.upsample(features))
            features = net.gate(self._activation(risen), up)
            parts = [features]
            if level in skips:
                parts.append(skips[level])
            if self._feedback and disparities:
                parts.append(self.upsample(disparities[-1]).to(features.dtype))
            mixed = self.get_submodule(mix)(torch.cat(parts, 1))
            features = net.gate(self._activation(mixed), mix)
            if level <= 4:
                disparities.append(
                    _disparity(_logits(self.get_submodule(f'disp{level}'), features))
                )
        if self.subpixel:
            blocks = _logits(self.disp1, features)
            disparities.append(_disparity(functional.pixel_shuffle(blocks, 2)))
        return disparities[::-1]

    def keep_left(self) -> None:
        """Have the finest head compute the left disparity alone, as fast as onnxruntime can."""
        head = self.get_submodule('disp1')
        self.add_module('disp1', first_block(head) if self.subpixel else blockwise(head))

    def convolution(
        self, net: DepthNetwork, group: str, inputs: tuple[Source, ...], stride: int
    ) -> nn.Module:
        """Declare an upconv or iconv and return it."""
        return net.declare(Layer(f'decoder.{group}', inputs, group, 3, stride), bias=True)

    def upsample(self, features: Tensor) -> Tensor:
        """Return the features at twice their size."""
        return functional.interpolate(features, scale_factor=2, mode='nearest')


class NormDecoder(Decoder):
    """
    MonoDepth's decoder with batch norm behind every upconv and iconv.

    Without it what comes up from below is weaker at each level and learns slowly; an exported file
    has it within the convolutions (Ioffe and Szegedy, ICML 2015).
    """

    def convolution(
        self, net: DepthNetwork, group: str, inputs: tuple[Source, ...], stride: int
    ) -> nn.Module:
        """See :meth:`Decoder.convolution`."""
        path = f'decoder.{group}'
        layer = Layer(f'{path}.0', inputs, group, 3, stride, norm=f'{path}.1')
        return nn.Sequential(net.declare(layer, bias=False), nn.BatchNorm2d(net.widths[group]))


def first_block(head: nn.Module) -> nn.Module:
    """Return the first four filters of a 3x3 head: 2x2 pixels of the left disparity."""
    weight, bias = head.get_parameter('weight')[:4], head.get_parameter('bias')[:4]
    left = nn.Conv2d(weight.shape[1], 4, 3, padding=1)
    left.load_state_dict({'weight': weight, 'bias': bias})
    return left


def blockwise(head: nn.Module) -> nn.Module:
    """
    Return what computes the first filter of a 3x3 head, four pixels at a time.

    One filter alone takes the time of eight (onnxruntime's blocks). A block of 2x2 pixels sees
    4x4 inputs: four filters at half the size, laid out side by side, are the same sums.
    """
    weight, bias = head.get_parameter('weight')[0], head.get_parameter('bias')[0]
    blocks = nn.Conv2d(len(weight), 4, 4, stride=2, padding=1)
    with torch.no_grad():
        blocks.weight.zero_()
        for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            blocks.weight[number, :, row : row + 3, column : column + 3] = weight
        nn.init.constant_(blocks.get_parameter('bias'), float(bias))
    return nn.Sequential(blocks, nn.PixelShuffle(2))


def _logits(head: nn.Module, features: Tensor) -> Tensor:
    """
    Return a head's outputs in the precision of its weights.

    bfloat16 has 128 values between d and 2 d: the losses would see its steps, not the scene's.
    """
    with torch.autocast('cpu', enabled=False):
        found: Tensor = head(features.to(next(head.parameters()).dtype))
    return found


def _disparity(logits: Tensor) -> Tensor:
    return 0.3 * torch.sigmoid(logits)
