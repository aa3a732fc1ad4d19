"""The exported file: equal to torch, its card complete, and whole or not there."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import replace
from pathlib import Path

from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.offline import export as exporting
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.compact import compact
import numpy as np
from numpy.typing import NDArray
import onnx
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
from tiny_networks import random_masks
from tiny_networks import SIZES
import torch
from torch import nn


@pytest.fixture(scope='module')
def dense() -> Checkpoint:
    return checkpoint('mobilenet', narrow('mobilenet', 3), 1)


def _image(name: str) -> NDArray[np.uint8]:
    return np.random.default_rng(8).integers(0, 256, (*SIZES[name], 3), dtype=np.uint8)


def _torch(state: Checkpoint, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the checkpoint's own network, written out once more."""
    pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        left: NDArray[np.float32] = state.build()(pixels)[0][0, 0].numpy()
    return left


@pytest.mark.parametrize('name', SIZES)
def test_onnx_equals_torch(name: str, tmp_path: Path) -> None:
    state = checkpoint(name, narrow(name, 3), 4)
    exporting.export(state, tmp_path / 'model.onnx')
    found = DepthEngine.load(tmp_path / 'model.onnx').disparity(_image(name))
    wanted = _torch(state, _image(name))
    assert np.ptp(wanted) > 1e-4
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def _macs(state: Checkpoint) -> int:
    """Count the weights of each convolution, once an output pixel."""
    network, counts = state.build(), []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda conv, _, out: counts.append(conv.weight.numel() * out[0, 0].numel())
            )
    network(torch.zeros(1, 3, *SIZES[state.network]))
    return sum(counts)


def test_batch_norm_costs_nothing_in_the_file(tmp_path: Path) -> None:
    state = checkpoint('mobilenet_norm', narrow('mobilenet_norm'), 1)
    layers = state.build().layers
    assert all(layer.norm for layer in layers if isinstance(layer.output, str))
    exporting.export(state, tmp_path / 'model.onnx')
    kinds = [node.op_type for node in onnx.load(tmp_path / 'model.onnx').graph.node]
    assert kinds.count('Conv') == len(layers) - 3  # the coarser heads are not needed
    assert 'BatchNormalization' not in kinds


def test_the_card_is_complete(tmp_path: Path) -> None:
    widths = narrow('mobilenet', 4)
    small = compact(
        checkpoint('mobilenet', widths, 2, random_masks(widths, 1)), SIZES['mobilenet']
    )
    returned = exporting.export(small, tmp_path / 'deep' / 'yard.onnx')
    card = DepthEngine.load(tmp_path / 'deep' / 'yard.onnx').card
    parity = card.parity
    assert set(parity) == {'masked_compact', 'torch_onnx'}
    assert all(
        0 <= value <= limit for value, limit in zip(parity.values(), (1e-4, 1e-4), strict=True)
    )
    wanted = ModelCard(
        name='yard',
        network='mobilenet',
        input_height=32,
        input_width=64,
        baseline_m=0.5,
        fx_over_width=0.6,
        parameters=sum(p.numel() for p in small.build().parameters()),
        macs=_macs(small),
        size_multiple=32,
        widths=small.widths,
        provenance={'trained_on': {'yard': 7}, 'licence': 'CC0'},
        parity=parity,
        metrics={'hall': {'abs_rel': 0.25}},
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert asdict(card) == asdict(wanted)
    assert asdict(returned) == asdict(wanted)


def test_a_name_of_its_own(dense: Checkpoint, tmp_path: Path) -> None:
    assert exporting.export(dense, tmp_path / 'a.onnx', name='small street').name == 'small street'
    card = DepthEngine.load(tmp_path / 'a.onnx').card
    assert card.name == 'small street'
    assert set(card.parity) == {'torch_onnx'}


def test_only_the_file_is_left(dense: Checkpoint, tmp_path: Path) -> None:
    exporting.export(dense, tmp_path / 'a.onnx')
    assert [p.name for p in tmp_path.iterdir()] == ['a.onnx']


def test_masks_are_refused(tmp_path: Path) -> None:
    widths = narrow('mobilenet', 2)
    masked = checkpoint('mobilenet', widths, 0, random_masks(widths, 0))
    with pytest.raises(ModelError, match='found masks in it; first run: depth-prune compact'):
        exporting.export(masked, tmp_path / 'a.onnx')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_to_write_to(dense: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f'^{tmp_path}: expected the name of a file to be wri'):
        exporting.export(dense, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(dense: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(ModelError, match=r'a\.onnx: expected to write a model file, found: File'):
        exporting.export(dense, tmp_path / 'file' / 'a.onnx')


def test_a_failing_export_leaves_nothing(
    dense: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, 'TOLERANCE', -1)
    with pytest.raises(ModelError, match=r'a\.onnx: expected ONNX within -1 of torch, found'):
        exporting.export(dense, tmp_path / 'a.onnx')
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_says_nan_is_refused(dense: Checkpoint, tmp_path: Path) -> None:
    nan = torch.full((2,), float('nan'))
    broken = replace(dense, weights={**dense.weights, 'decoder.disp1.bias': nan})
    with pytest.raises(ModelError, match=r'a\.onnx: expected ONNX within .* of torch, found nan'):
        exporting.export(broken, tmp_path / 'a.onnx')
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_compared_at_another_size_too(
    dense: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = DepthEngine.run, []

    def spy(engine: DepthEngine, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(image.shape[:2])
        return run(engine, image)

    monkeypatch.setattr(DepthEngine, 'run', spy)
    exporting.export(dense, tmp_path / 'a.onnx')
    assert set(seen) == {(32, 64), (64, 128)}


def test_a_failing_export_leaves_the_file_before_it(
    dense: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'a.onnx').write_bytes(b'the model before')
    monkeypatch.setattr(exporting, 'TOLERANCE', -1)
    with pytest.raises(ModelError):
        exporting.export(dense, tmp_path / 'a.onnx')
    assert (tmp_path / 'a.onnx').read_bytes() == b'the model before'
    assert len(list(tmp_path.iterdir())) == 1
