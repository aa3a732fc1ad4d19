"""The depth networks' common part: image to disparities, and MonoDepth's decoder."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import ClassVar

from depth_prune_ros.offline.networks.prunable import Layer
from depth_prune_ros.offline.networks.prunable import Prunable
from depth_prune_ros.offline.networks.prunable import Source
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional


class DepthNetwork(Prunable):
    """An image in [0, 1] to left and right disparities at four scales."""

    multiple: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    std: ClassVar[tuple[float, float, float]] = (1.0, 1.0, 1.0)

    def __init__(self, widths: Mapping[str, int] | None = None) -> None:
        """See :class:`Prunable`."""
        super().__init__(widths)
        self.register_buffer('_mean', torch.tensor(self.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('_std', torch.tensor(self.std).view(1, 3, 1, 1), persistent=False)

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
    """

    def __init__(
        self,
        net: DepthNetwork,
        bottom: str,
        skips: Mapping[int, str],
        *,
        activation: Callable[[Tensor], Tensor] = functional.elu,
        feedback: bool = True,
    ) -> None:
        """
        Declare the decoder's layers in the network.

        :param net: the network the decoder belongs to, under the name ``decoder``
        :param bottom: group of the encoder's last features
        :param skips: level -> group of the encoder features at that level's output size
        :param activation: behind every upconv and iconv; 0 at 0, so that it keeps a gate shut
        :param feedback: whether a level below 4 reads the disparity of the level above
        """
        super().__init__()
        self.skips = dict(skips)
        self._activation = activation
        self._feedback = feedback
        self.top = max(skips)
        below = bottom
        for level in range(self.top, 0, -1):
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

    def forward(
        self, net: DepthNetwork, bottom: Tensor, skips: Mapping[int, Tensor]
    ) -> list[Tensor]:
        """Return the disparities, finest first."""
        features = bottom
        disparities: list[Tensor] = []
        for level in range(self.top, 0, -1):
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
                logits = self.get_submodule(f'disp{level}')(features)
                disparities.append(0.3 * torch.sigmoid(logits.float()))
        return disparities[::-1]

    def convolution(
        self, net: DepthNetwork, group: str, inputs: tuple[Source, ...], stride: int
    ) -> nn.Module:
        """Declare an upconv or iconv and return it."""
        return net.declare(Layer(f'decoder.{group}', inputs, group, 3, stride), bias=True)

    def upsample(self, features: Tensor) -> Tensor:
        """Return the features at twice their size."""
        return functional.interpolate(features, scale_factor=2, mode='nearest')
