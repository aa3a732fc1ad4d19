"""What a stage's folder was before stays beside it: whole ones, and trainings stopped halfway."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.offline.stage_folder import StageFolder


def _begin(path: Path, steps: int, *, goes_on: bool = True) -> StageFolder:
    folder = StageFolder(path, {'steps': steps})
    folder.begin(goes_on=goes_on)
    return folder


def _checkpoint(path: Path, step: int) -> None:
    folder = path / f'step-{step:07d}'
    folder.mkdir()
    (folder / 'checkpoint.json').write_text('{}')


def _steps(folder: Path) -> list[str]:
    return sorted(str(found.relative_to(folder)) for found in folder.glob('*/step-*'))


def test_what_was_before_a_change_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / 'train'
    whole = _begin(path, 10)
    _checkpoint(path, 10)
    whole.finish()
    _begin(path, 20)
    _checkpoint(path, 12)
    assert StageFolder(path, {'steps': 20}).begin(goes_on=True).state == 'resumed'
    begun = StageFolder(path, {'steps': 30}).begin(goes_on=True)
    assert (begun.state, begun.why) == ('made', 'changed: steps')
    assert _steps(tmp_path) == ['train.before/step-0000010', 'train.stopped/step-0000012']


def test_a_training_that_was_made_longer_by_hand_is_kept(tmp_path: Path) -> None:
    path = tmp_path / 'finetune'
    whole = _begin(path, 10)
    _checkpoint(path, 10)
    product = path / 'step-0000010' / 'weights.safetensors'
    product.write_bytes(b'')
    whole.finish([product])
    product.parent.rename(path / 'step-0000400')
    begun = StageFolder(path, {'steps': 10}).begin(goes_on=True)
    assert begun.why == 'missing: step-0000010/weights.safetensors'
    assert _steps(tmp_path) == ['finetune.before/step-0000400']


def test_half_of_what_cannot_be_gone_on_with_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / 'compact'
    _begin(path, 10, goes_on=False)
    _checkpoint(path, 0)
    _begin(path, 20, goes_on=False)
    assert _steps(tmp_path) == []
    assert [found.name for found in tmp_path.iterdir()] == ['compact']
