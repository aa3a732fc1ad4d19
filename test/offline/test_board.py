"""TensorBoard's event files, read back by TensorBoard."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import cv2
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.offline.board import Board
from depth_prune_ros.offline.board import FOLDER
from depth_prune_ros.offline.progress import Progress
from depth_prune_ros.offline.validation import Preview
import numpy as np
import pytest

HEIGHT, WIDTH = 32, 64
METRICS = DepthMetrics(0.1, 0.2, 3.0, 0.3, 0.9, 0.95, 0.99)


def _progress(step: int, judged: bool = False) -> Progress:
    truth = np.full((2 * HEIGHT, 2 * WIDTH), 8.0, np.float32)
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    disparity = np.full((HEIGHT, WIDTH), 0.5 * 0.75 / 10, np.float32)
    return Progress(
        step,
        9,
        {'task': 1.0 / step, 'depth': 0.5 / step},
        1e-3 * step,
        0.5,
        {'hall': METRICS} if judged else {},
        {'a': 3, 'b': 4},
        {'hall': Preview(image, disparity, truth, 0.75, 0.5)} if judged else {},
    )


def test_everything_is_there(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    for step in (1, 2, 3):
        board(_progress(step, judged=step == 2))
    board.close()
    # a process killed behind step 2 goes on from there
    board = Board(tmp_path)
    board(_progress(3))
    board.close()
    found = EventAccumulator(str(tmp_path / FOLDER)).Reload()

    def values(name: str) -> list[tuple[int, float]]:
        return [(event.step, round(event.value, 6)) for event in found.Scalars(name)]

    assert values('loss/task') == [(1, 1.0), (2, 0.5), (3, round(1 / 3, 6))]
    assert values('loss/depth') == [(1, 0.5), (2, 0.25), (3, round(1 / 6, 6))]
    assert values('learning_rate') == [(1, 0.001), (2, 0.002), (3, 0.003)]
    assert values('masks/budget') == [(step, 0.5) for step in (1, 2, 3)]
    assert values('masks/filters') == [(step, 7.0) for step in (1, 2, 3)]
    assert values('abs_rel/hall') == [(2, 0.1)]
    assert values('a1/hall') == [(2, 0.9)]
    assert (values('filters/a'), values('filters/b')) == ([(2, 3.0)], [(2, 4.0)])
    (histogram,) = found.Histograms('disparity/hall')
    assert histogram.histogram_value.num == HEIGHT * WIDTH
    assert histogram.histogram_value.max == pytest.approx(0.0375)
    (sample,) = found.Images('sample/hall')
    picture = cv2.imdecode(np.frombuffer(sample.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    # image, depth, truth and error: four panels and their captions
    assert picture.shape[1] == 640
    assert picture.shape[0] > 4 * 320


def test_a_full_disk_ends_the_events_alone(tmp_path: Path) -> None:
    code = (
        'from pathlib import Path\n'
        'from full_disk import files_of_at_most\n'
        'from test_board import Board, _progress\n'
        f'board = Board(Path({str(tmp_path)!r}))\n'
        'with files_of_at_most(5000):\n'
        '    for step in range(1, 300):\n'
        '        board(_progress(step, step % 20 == 0))\n'
        '    board.close()\n'
    )
    command = [sys.executable, '-c', code]
    here = Path(__file__).parent
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=here)
    said = f'{tmp_path / FOLDER}: no more events of this training: File too large\n'
    assert (done.returncode, done.stdout, done.stderr) == (0, '', said)


def test_silent_without_tensorboard(tmp_path: Path) -> None:
    code = (
        'import sys\n'
        "sys.modules['tensorboard'] = None\n"
        'from pathlib import Path\n'
        'from test_board import Board, _progress\n'
        f'board = Board(Path({str(tmp_path)!r}))\n'
        'board(_progress(1, True)); board(_progress(2)); board.close()\n'
    )
    command = [sys.executable, '-c', code]
    here = Path(__file__).parent
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=here)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert list(tmp_path.iterdir()) == []
