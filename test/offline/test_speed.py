"""How long a model file takes, and where that is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import subprocess
import sys

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.offline import card_file
from depth_prune_ros.offline import speed
from depth_prune_ros.offline.export import export
from full_disk import files_of_at_most
import numpy as np
import pytest
from tiny_networks import checkpoint
from tiny_networks import narrow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    export(checkpoint('mobilenet', narrow('mobilenet', 8), 5), tmp_path / 'tiny.onnx')
    return tmp_path / 'tiny.onnx'


def test_models_take_turns(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = model.with_name('other.onnx')
    other.write_bytes(model.read_bytes())
    card_file.set_card(other, _named(other, 'other'))
    asked: list[str] = []
    took = iter([3.0, 30.0, 1.0, 10.0, 2.0, 20.0])

    def made_up(engine: DepthEngine, _rng: np.random.Generator) -> float:
        asked.append(engine.card.name)
        return next(took)

    monkeypatch.setattr(speed, '_median_ms', made_up)
    seen: list[tuple[int, int]] = []
    found = speed.measure_speeds([model, other], 1, lambda *at: seen.append(at), rounds=3)
    assert asked == ['tiny', 'other'] * 3
    assert [one.ms for one in found] == [2, 20]
    assert [one.rounds_ms for one in found] == [(3, 1, 2), (30, 10, 20)]
    assert seen[-1] == (6, 6)


def _named(path: Path, name: str) -> card_file.ModelCard:
    return replace(DepthEngine.load(path).card, name=name)


def test_what_a_model_takes_is_kept_in_its_card(model: Path) -> None:
    engine = DepthEngine.load(model, repeatable=True)
    shape = (engine.card.input_height, engine.card.input_width, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before, card = engine.disparity(image), engine.card
    speed.keep_speed(model, speed.InferenceTime(1.5, (1.0, 1.5, 2.0), 2, 'cpu', 'Z80 x 1'))
    after = DepthEngine.load(model, repeatable=True)
    kept = {'ms': 1.5, 'threads': 2, 'provider': 'cpu', 'processor': 'Z80 x 1'}
    assert after.card.provenance == {**card.provenance, 'speed': kept}
    assert after.card.metrics == card.metrics
    np.testing.assert_array_equal(after.disparity(image), before)


def test_a_file_that_cannot_be_written_stays(model: Path) -> None:
    before, card = model.read_bytes(), _named(model, 'other')
    said = r'tiny.onnx: expected to write .* File too large$'
    with files_of_at_most(len(before) // 2), pytest.raises(ModelError, match=said):
        card_file.set_card(model, card)
    assert model.read_bytes() == before
    assert [file.name for file in model.parent.iterdir()] == ['tiny.onnx']


def test_the_command_times_what_it_is_told(model: Path) -> None:
    command = [sys.executable, '-m', 'depth_prune_ros.cli', 'time', str(model), '--threads', '1']
    done = subprocess.run([*command, '--write'], check=True, capture_output=True, text=True)
    found = DepthEngine.load(model).card.provenance['speed']
    assert found['threads'] == 1
    assert found['ms'] > 0
    assert f'{found["ms"]:.1f}' in done.stdout
    assert found['processor'] in done.stdout
