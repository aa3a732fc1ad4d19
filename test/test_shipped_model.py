"""The model in models/: small, within its budget, described, and as good as its card says."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.kitti import kitti_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.core.models import shipped_model
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.networks.catalogue import build
import numpy as np
import pytest

DRIVES = ('0002', '0048', 'unknown')
# RT-MonoDepth-S's published weights on the same frames
PUBLISHED = {'0002': 0.0675, '0048': 0.1515, 'unknown': 0.2330}


@pytest.fixture(scope='module')
def engine() -> DepthEngine:
    """Return the shipped model, loaded."""
    return DepthEngine.load(shipped_model())


def test_it_is_under_four_megabytes() -> None:
    assert shipped_model().stat().st_size < 4_000_000


def test_it_meets_its_budget(engine: DepthEngine) -> None:
    card = engine.card
    pixels = card.input_height * card.input_width
    dense = build(card.network)
    whole = cost(dense.layers, dense.widths, pixels)
    assert card.provenance['budget'] == 'macs=0.3'
    assert card.macs / whole.macs == pytest.approx(0.3, rel=0.01)
    assert card.macs == cost(dense.layers, card.widths, pixels).macs


def test_its_card_is_complete(engine: DepthEngine) -> None:
    card = engine.card
    assert 'CC BY-NC-SA 3.0' in card.provenance['licence']
    assert card.provenance['trained_on']['0005'] == 154
    assert not set(DRIVES) & set(card.provenance['trained_on'])
    assert card.parity['masked_compact'] <= 1e-5
    assert card.parity['torch_onnx'] <= 1e-4
    assert set(card.metrics) == set(PUBLISHED)


def test_it_is_as_good_as_its_card_says(engine: DepthEngine, kitti: Path, tmp_path: Path) -> None:
    for drive in DRIVES:
        source = kitti / 'raw' / '2011_09_26' / f'2011_09_26_drive_{drive}_sync'
        kitti_to_bag(source, tmp_path / drive)
        result = evaluate_model(read_frames(tmp_path / drive), engine, EIGEN)
        assert result.metrics.abs_rel == pytest.approx(
            engine.card.metrics[drive]['abs_rel'], rel=0.02
        )


def test_its_depth_beats_any_constant(engine: DepthEngine) -> None:
    # a network that ran empty answers the same for every image
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (192, 640, 3), dtype=np.uint8)
    disparity = engine.disparity(noise)
    assert disparity.std() / disparity.mean() > 0.1
