"""Camera messages to RGB: what goes through cv_bridge, played by stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sys

from depth_prune_ros.core.errors import ImageError
from depth_prune_ros.ros.inputs import find_cv_bridge
from depth_prune_ros.ros.inputs import read_image
from graph import image_message
from graph import noise
import numpy as np
import pytest

BRIDGE = """
class CvBridge:
    def imgmsg_to_cv2(self, message, wanted):
        import numpy
        if message.encoding != 'nv21':
            raise TypeError(f'Unrecognized image encoding [{message.encoding}]')
        assert wanted == 'rgb8'
        return numpy.full((message.height, message.width, 3), 7, numpy.uint8)
"""

TRACE = """
with open({!r}, 'a') as file:
    file.write('.')
raise AttributeError('_ARRAY_API not found')
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the file that is imported as cv_bridge."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)
    find_cv_bridge.cache_clear()
    yield tmp_path / 'cv_bridge.py'
    sys.modules.pop('cv_bridge', None)
    find_cv_bridge.cache_clear()


def test_cv_bridge_reads_what_we_do_not(module: Path) -> None:
    module.write_text(BRIDGE)
    message = image_message(noise(4, 3))
    message.encoding = 'nv21'
    found = read_image(message)
    assert (found.shape, found.dtype) == ((3, 4, 3), np.uint8)
    assert (found == 7).all()


def test_what_cv_bridge_does_not_read_is_named(module: Path) -> None:
    module.write_text(BRIDGE)
    message = image_message(noise(4, 3))
    message.encoding = 'ultraviolet7'
    with pytest.raises(ImageError, match=r"that cv_bridge reads, found 'ultraviolet7': Unrecog"):
        read_image(message)


def test_our_own_encodings_need_no_cv_bridge(module: Path) -> None:
    module.write_text(BRIDGE)
    pixels = noise(4, 3)
    assert (read_image(image_message(pixels, 'bgr8')) == pixels).all()
    assert 'cv_bridge' not in sys.modules


def test_a_cv_bridge_that_does_not_import_is_tried_once(module: Path) -> None:
    trace = module.with_name('tries')
    module.write_text(TRACE.format(str(trace)))
    message = image_message(noise(4, 3))
    message.encoding = 'ultraviolet7'
    for _ in range(3):
        with pytest.raises(ImageError, match="found 'ultraviolet7'"):
            read_image(message)
    assert trace.read_text() == '.'
