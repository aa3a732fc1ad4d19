"""A checkpoint in half precision: the same network, rounded, and nothing to go on from."""

from __future__ import annotations

from pathlib import Path
import sys

from depth_prune_ros.offline import checkpoint as checkpoints
import half_precision
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow
import torch


def test_every_weight_is_rounded_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint('mobilenet_norm', narrow('mobilenet_norm'), 1)
    checkpoints.save(tmp_path / 'run', whole, {'optimiser': {}})
    paths = [str(tmp_path / name) for name in ('run', 'half')]
    monkeypatch.setattr(sys, 'argv', ['half_precision.py', *paths])
    half_precision.main()
    found = checkpoints.load(tmp_path / 'half')
    assert (found.network, found.widths, found.step) == (whole.network, whole.widths, whole.step)
    assert {v.dtype for v in found.weights.values()} == {torch.float16, torch.int64}
    rounded = found.build().state_dict()
    for name, value in whole.weights.items():
        torch.testing.assert_close(rounded[name], value, rtol=5e-4, atol=1e-7)
    names = {path.name for path in (tmp_path / 'half').glob('step-*/*')}
    assert names == {'checkpoint.json', 'weights.safetensors'}
