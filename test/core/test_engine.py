"""Loading: what a card must not say, and what must not run a network in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
import numpy as np
import pytest
from tiny_model import CARD
from tiny_model import HEIGHT
from tiny_model import tiny_depth
from tiny_model import WIDTH
from tiny_model import write_tiny_model


@pytest.mark.parametrize(
    ('lie', 'reason'),
    [
        ({'baseline_m': -0.5}, 'expected baseline_m above 0 in the card, found -0.5'),
        ({'baseline_m': float('nan')}, 'expected baseline_m above 0 in the card, found nan'),
        ({'fx_over_width': 0.0}, 'expected fx_over_width above 0 in the card, found 0.0'),
        ({'colour': 'bgr'}, "expected colour 'rgb' in the card, found 'bgr'"),
        ({'disparity': 'metres'}, "in the card, found 'metres'"),
        ({'input_width': WIDTH + 32}, r'expected one input tensor\(uint8\) \[1, 32, 96, 3\]'),
    ],
)
def test_a_card_that_lies_is_refused(tmp_path: Path, lie: dict[str, Any], reason: str) -> None:
    model = write_tiny_model(tmp_path / 'lie.onnx', replace(CARD, **lie))
    with pytest.raises(ModelError, match=f'lie.onnx: .*{reason}'):
        DepthEngine.load(model)


@pytest.mark.parametrize('kept', [0, 1, 100, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    model = write_tiny_model(tmp_path / 'cut.onnx')
    model.write_bytes(model.read_bytes()[:kept])
    with pytest.raises(ModelError, match='cut.onnx: expected'):
        DepthEngine.load(model)


@pytest.mark.parametrize('provider', ['cpu', 'auto'])
def test_auto_finds_the_cpu(tmp_path: Path, provider: str) -> None:
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx'), provider=provider)
    assert engine.provider == 'CPUExecutionProvider'
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_allclose(engine.infer(image, 0.7), tiny_depth(image, 0.7), rtol=1e-4)


@pytest.mark.parametrize('provider', ['tensorrt', 'cuda'])
def test_a_missing_provider_is_an_error_that_names_those_there(
    tmp_path: Path, provider: str
) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx')
    with pytest.raises(ConfigError, match=rf'\(.*cpu\), found {provider}; install'):
        DepthEngine.load(model, provider=provider)
