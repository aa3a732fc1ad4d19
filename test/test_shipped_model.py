"""The models in models/: small, within budget, described, and as good as their cards say."""

from __future__ import annotations

import math
from pathlib import Path

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.evaluation.evaluate import evaluate_depth_topic
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.networks.catalogue import build
import numpy as np
import pytest

DRIVES = {'0002': 10, '0048': 3, 'unknown': 78}
FLOAT = ('depth_small', 'depth_tiny')
ROUNDS = (0.33, 0.9)
MODELS = (*FLOAT, *(f'{name}_int8' for name in FLOAT))
TINY_MACS = 0.35e9


@pytest.fixture(scope='module', params=MODELS)
def engine(request: pytest.FixtureRequest) -> DepthEngine:
    """Return a shipped model, loaded."""
    return DepthEngine.load(shipped_model(request.param))


def test_they_are_under_twelve_megabytes() -> None:
    folder = shipped_model().parent
    assert sorted(file.stem for file in folder.glob('*.onnx')) == sorted(MODELS)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12_000_000
    for name in FLOAT:
        assert shipped_model(name).with_suffix('.png').is_file()


def test_it_meets_its_budget(engine: DepthEngine) -> None:
    card = engine.card
    pixels = card.input_height * card.input_width
    dense = build(card.network)
    assert card.provenance['budget'] == ', then '.join(f'macs={share}' for share in ROUNDS)
    assert card.macs / cost(dense.layers, dense.widths, pixels).macs == pytest.approx(
        math.prod(ROUNDS), rel=0.01
    )
    assert card.macs == cost(dense.layers, card.widths, pixels).macs
    assert 'tiny' not in card.name or card.macs <= TINY_MACS


def test_its_card_is_complete(engine: DepthEngine) -> None:
    card = engine.card
    assert 'CC BY-NC-SA 3.0' in card.provenance['licence']
    assert card.provenance['trained_on']['0005'] == 154
    assert not set(DRIVES) & set(card.provenance['trained_on'])
    assert card.provenance['validated_on'] == DRIVES
    assert card.parity['masked_compact'] <= 1e-5
    assert card.parity['torch_onnx'] <= 1e-4
    assert set(card.metrics) == set(DRIVES)
    speed = card.provenance['speed']
    assert (speed['threads'], bool(speed['processor'])) == (2, True)
    assert speed['ms'] > 0
    if card.name.endswith('_int8'):
        about = card.provenance['int8']
        whole = DepthEngine.load(shipped_model(card.name.removesuffix('_int8')))
        assert about['from_sha256'] == whole.sha256
        assert card.parity['float_int8'] > 0
        for drive, found in about['abs_rel'].items():
            assert found['before'] == pytest.approx(whole.card.metrics[drive]['abs_rel'], rel=0.01)
            assert found['after'] <= (1 + about['max_loss']) * found['before']


def test_it_is_as_good_as_its_card_says(engine: DepthEngine, kitti: Path, tmp_path: Path) -> None:
    for drive in DRIVES:
        source = kitti / 'raw' / '2011_09_26' / f'2011_09_26_drive_{drive}_sync'
        kitti_to_bag(source, tmp_path / drive)
        result = evaluate_model(read_frames(tmp_path / drive), engine, EIGEN)
        assert result.metrics.abs_rel == pytest.approx(
            engine.card.metrics[drive]['abs_rel'], rel=0.02
        )


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Return one moment of a rendered street that no network was trained on."""
    bag = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(bag, Street(seed=4, frames=1, width=640, height=192))
    (frame,) = read_frames(bag)
    return frame


def test_its_depth_beats_any_constant(engine: DepthEngine, street: Frame) -> None:
    assert street.depth is not None
    result = evaluate_model([street], engine, EIGEN)
    constant = np.full(engine.infer(street.left).shape, np.nanmedian(street.depth), np.float32)
    of_constant = evaluate_depth_topic([street], {street.stamp_ns: constant}, EIGEN)
    assert result.metrics.abs_rel < 0.5 * of_constant.metrics.abs_rel


def test_its_depth_is_that_of_the_image(engine: DepthEngine, street: Frame) -> None:
    # a network that ran empty answers the same for every image
    straight = engine.disparity(street.left)
    mirrored = engine.disparity(np.ascontiguousarray(street.left[:, ::-1]))
    of_the_same = np.abs(np.log(mirrored[:, ::-1] / straight)).mean()
    of_another = np.abs(np.log(mirrored / straight)).mean()
    assert of_another > 0.1
    assert of_the_same < 0.5 * of_another
