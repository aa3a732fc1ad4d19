"""The parts of quantising that need no int8 model: which images, and how far two models differ."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.offline import quantize as quantizing
import numpy as np
from numpy.typing import NDArray
import pytest
from tiny_model import CARD

IMAGES = [np.zeros((1, 1, 3), np.uint8)] * 3


@pytest.mark.parametrize(
    ('frames', 'kept'),
    [(3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 2, 4]), (9, [0, 4, 8]), (16, [0, 4, 8, 12])],
)
def test_calibration_images_are_spread_evenly(frames: int, kept: list[int]) -> None:
    images = (np.full((1, 1, 3), n, np.uint8) for n in range(frames))
    assert [int(image[0, 0, 0]) for image in quantizing._spread(images, 4)] == kept


def test_each_bag_gives_its_share_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    numbered = [np.full((1, 1, 3), n, np.uint8) for n in range(40)]
    monkeypatch.setattr(quantizing, '_images', lambda *_: iter(numbered))
    found = quantizing._calibration([Path('hall'), Path('yard')], CARD, lambda *_: None)
    seen = {bag: [int(image[0, 0, 0]) for image in images] for bag, images in found.items()}
    every_other = list(range(0, 40, 2))
    assert seen == {'hall': every_other, 'yard': every_other}


class Known:
    """Stands for an engine: a disparity for each image in turn."""

    def __init__(self, *disparities: float) -> None:
        self._coming = iter(disparities)

    def disparity(self, _image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array([[next(self._coming), 0.05]], np.float32)


def _difference(before: Known, after: Known) -> float:
    one, other = cast('DepthEngine', before), cast('DepthEngine', after)
    return quantizing._difference(one, other, IMAGES)


def test_the_difference_is_relative_to_the_float_model() -> None:
    found = _difference(Known(0.02, 0.02, 0.02), Known(0.02, 0.01, 0.021))
    assert found == pytest.approx(0.5)


def test_disparities_that_are_not_numbers_are_refused() -> None:
    nan = float('nan')
    for before, after in (((0.02, 0.02), (nan, 0.02)), ((0.02, nan), (0.02, 0.02))):
        with pytest.raises(ModelError, match='disparities that are numbers, found nan; train'):
            _difference(Known(*before, 0.02), Known(*after, 0.02))


def test_a_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match='expected the name of a file to be written, found a'):
        quantizing.quantize(
            tmp_path / 'none.onnx', tmp_path, bags=[Path('a')], val=[Path('b')], progress=print
        )
