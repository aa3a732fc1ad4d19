"""What inspect says of a network: its groups against the dense ones, in figures and drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
from depth_prune_ros.core.errors import CheckpointError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.inspect import describe
from depth_prune_ros.offline.inspect import draw_widths
from depth_prune_ros.offline.inspect import Group
from depth_prune_ros.offline.networks.mobilenet import MobileNetDepth
import numpy as np
import pytest
from tiny_networks import checkpoint
from tiny_networks import random_masks
from tiny_networks import random_widths
from tiny_networks import shapes_only
from tiny_networks import SIZES

HEIGHT, WIDTH = SIZES['mobilenet']


def test_a_compact_network_is_shown_against_the_dense_one(tmp_path: Path) -> None:
    widths = random_widths('mobilenet', 3)
    checkpoints.save(tmp_path, checkpoint('mobilenet', widths))
    groups, summary = describe(tmp_path)
    found = {group.name: group for group in groups}
    assert {name: group.kept for name, group in found.items()} == widths
    assert {n: g.dense for n, g in found.items()} == dict(MobileNetDepth.dense_widths)
    network = shapes_only('mobilenet', widths)
    whole = cost(network.layers, widths, HEIGHT * WIDTH)
    dense = cost(network.layers, MobileNetDepth.dense_widths, HEIGHT * WIDTH)
    # upconv3: 3x3 over iconv4 with a bias, at a quarter of the size
    weights = 9 * widths['iconv4'] * widths['upconv3']
    assert found['upconv3'].params == (weights + widths['upconv3']) / whole.params
    assert found['upconv3'].macs == weights * HEIGHT * WIDTH / 16 / whole.macs
    assert found['block2'].members == ('blocks.1.expand.0', 'blocks.1.depthwise.0')
    assert f'{whole.params:.0f} parameters ({whole.params / dense.params:.1%} of' in summary


def test_masks_count_as_removed(tmp_path: Path) -> None:
    masks = random_masks(MobileNetDepth.dense_widths, 1)
    checkpoints.save(tmp_path, checkpoint('mobilenet', {}, masks=masks))
    for group in describe(tmp_path)[0]:
        assert group.kept == int(masks[f'mask.{group.name}'].sum()) < group.dense


def test_the_picture_shows_what_is_kept_in_the_colour_of_its_kind(tmp_path: Path) -> None:
    groups = [
        Group('stem', ('stem',), 64, 64, 0.5, 0.5),
        Group('upconv1', ('up',), 64, 2, 0.3, 0.3),
        Group('iconv1', ('mix',), 64, 16, 0.2, 0.2),
    ]
    draw_widths(groups, 'three groups', tmp_path / 'pictures' / 'widths.png')
    image = cv2.imread(str(tmp_path / 'pictures' / 'widths.png'))
    areas = [
        int((np.abs(image.astype(int) - colour[::-1]).max(2) < 8).sum())
        for colour in ((0x2A, 0x6F, 0x97), (0xE0, 0x7A, 0x2F), (0x6A, 0x99, 0x4E))
    ]
    # bars over a logarithmic axis from 1: 6, 1 and 4 octaves high, and a legend's patch each
    assert areas[0] > areas[2] > areas[1] > 0
    assert areas[0] / areas[2] == pytest.approx(6 / 4, rel=0.1)


@pytest.mark.parametrize('name', ['widths.doc', 'widths'])
def test_a_picture_of_an_unknown_kind(tmp_path: Path, name: str) -> None:
    groups = [Group('stem', ('stem',), 8, 4, 1.0, 1.0)]
    with pytest.raises(CheckpointError, match=r'expected the name of a picture \(\.png'):
        draw_widths(groups, '', tmp_path / name)
    assert list(tmp_path.iterdir()) == []
