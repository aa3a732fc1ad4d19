"""Looking at a bag: what is logged to rerun, and the film of the strips."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import os
from pathlib import Path
import re
import signal
import socket
import subprocess
import sys
from typing import Any

from command_line import run
import cv2
from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.evaluation.film import Film
from depth_prune_ros.evaluation.pictures import frame_strip
from depth_prune_ros.evaluation.view import RerunLog
from depth_prune_ros.evaluation.view import view_frames
from full_disk import files_of_at_most
import numpy as np
from numpy.typing import NDArray
import pytest
import rerun.experimental
from tiny_model import write_tiny_model

STREET = Street(seed=1, frames=3, width=128, height=64)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a street of three frames at 10 Hz."""
    path = tmp_path_factory.mktemp('bags') / 'street'
    street_to_bag(path, STREET)
    return path


@pytest.fixture(scope='module')
def engine(tmp_path_factory: pytest.TempPathFactory) -> DepthEngine:
    """Return a small network."""
    return DepthEngine.load(write_tiny_model(tmp_path_factory.mktemp('models') / 'tiny.onnx'))


def pictures_of(film: Path) -> tuple[float, list[NDArray[np.uint8]]]:
    """Return a film's rate and its RGB pictures."""
    capture = cv2.VideoCapture(str(film))
    rate_hz, pictures = capture.get(cv2.CAP_PROP_FPS), []
    while (found := capture.read())[0]:
        pictures.append(np.asarray(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB), np.uint8))
    capture.release()
    return rate_hz, pictures


def test_the_film_has_the_strip_of_every_frame(
    tmp_path: Path, bag: Path, engine: DepthEngine
) -> None:
    depths: list[Any] = []
    with Film(tmp_path / 'new' / 'a.mp4') as film:
        keep = lambda frame, depth: depths.append((frame, depth))  # noqa: E731
        assert view_frames(read_frames(bag), engine, [film, keep]) == 3
        assert not (tmp_path / 'new' / 'a.mp4').exists()
    rate_hz, pictures = pictures_of(tmp_path / 'new' / 'a.mp4')
    assert rate_hz == pytest.approx(10)
    assert len(pictures) == 3
    for picture, (frame, depth) in zip(pictures, depths, strict=True):
        expected = frame_strip(frame, depth)
        height, width = (side // 2 * 2 for side in expected.shape[:2])
        assert picture.shape == (height, width, 3)
        # mp4 loses some of it; another frame's strip would differ by more than 20.
        differs = np.abs(picture.astype(int) - expected[:height, :width])
        assert differs.mean() < 12
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.mp4']


def test_a_film_without_ground_truth_and_of_one_frame(
    tmp_path: Path, bag: Path, engine: DepthEngine
) -> None:
    frames = [replace(frame, depth=None) for frame in read_frames(bag)][:1]
    with Film(tmp_path / 'a.mp4') as film:
        view_frames(frames, engine, [film])
    _, (picture,) = pictures_of(tmp_path / 'a.mp4')
    assert picture.std() > 20


def test_a_film_that_fails_leaves_nothing(tmp_path: Path, bag: Path, engine: DepthEngine) -> None:
    def fail(*_: Any) -> None:
        raise ConfigError('no more')

    with pytest.raises(ConfigError, match='no more'), Film(tmp_path / 'a.mp4') as film:
        view_frames(read_frames(bag), engine, [film, film, fail])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match='ends in .mp4, found'):
        Film(tmp_path / 'a.avi')


def test_a_folder_in_the_place_of_a_film_is_refused_before_anything_is_predicted(
    tmp_path: Path,
) -> None:
    (tmp_path / 'a.mp4').mkdir()
    with pytest.raises(ConfigError, match='a.mp4: expected a file .*, found a folder; name anoth'):
        Film(tmp_path / 'a.mp4')


def test_a_film_that_the_disk_does_not_take_is_refused(
    tmp_path: Path, bag: Path, engine: DepthEngine
) -> None:
    film, said = tmp_path / 'a.mp4', 'expected a film of 3 frames, found 0 written; is the disk'
    refused = pytest.raises(ConfigError, match=f'^{film}: {said}')
    with files_of_at_most(2000), refused, Film(film) as watcher:
        view_frames(read_frames(bag), engine, [watcher])
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_the_disk_does_not_take_is_refused(
    tmp_path: Path, bag: Path, engine: DepthEngine
) -> None:
    log = tmp_path / 'a.rrd'
    said = f'^{log}: expected to write frames, found: '
    refused = pytest.raises(ConfigError, match=said)
    with files_of_at_most(2000), refused, RerunLog(log) as watcher:
        view_frames(read_frames(bag), engine, [watcher])


def test_rerun_gets_image_depth_cloud_and_truth(
    tmp_path: Path, bag: Path, engine: DepthEngine
) -> None:
    with RerunLog(tmp_path / 'a.rrd') as log:
        view_frames(read_frames(bag), engine, [log])
    command = [sys.executable, '-m', 'rerun_cli', 'rrd', 'print', '-vv', str(tmp_path / 'a.rrd')]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows: Counter[str] = Counter()
    kilobytes: defaultdict[str, float] = defaultdict(float)
    chunk = r'with (\d+) rows \(([\d.]+) (KiB|MiB)\) - (/\S+) -'
    for count, size, unit, entity in re.findall(chunk, done.stdout):
        rows[entity] += int(count)
        kilobytes[entity] += float(size) * (1024 if unit == 'MiB' else 1)
    image_kb = STREET.width * STREET.height * 3 / 1024
    for entity, least_kb in {
        '/camera/image': STREET.frames * image_kb,
        '/camera/truth': STREET.frames * image_kb,
        '/network/depth': 1,
        '/cloud': 1,
        '/truth': STREET.frames * image_kb,
    }.items():
        assert rows[entity] == STREET.frames, entity
        assert kilobytes[entity] > least_kb, entity


@contextmanager
def running_viewer() -> Iterator[str]:
    """Run rerun's viewer without a window; yield its URL."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    options = f'--headless --bind 127.0.0.1 --port {port} --window-size 1280x720'
    command = [sys.executable, '-m', 'rerun_cli', *options.split()]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield f'rerun+http://127.0.0.1:{port}/proxy'
    finally:
        # the viewer itself is a child of this command
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# Where the Vulkan loader looks for drivers, unless VK_DRIVER_FILES names one.
DRIVERS = [*Path('/usr/share/vulkan/icd.d').glob('*'), *Path('/etc/vulkan/icd.d').glob('*')]


@pytest.mark.skipif(
    not (DRIVERS or 'VK_DRIVER_FILES' in os.environ),
    reason='rerun draws with Vulkan: install mesa-vulkan-drivers',
)
def test_the_viewer_draws_image_depth_and_clouds(tmp_path: Path, bag: Path) -> None:
    model, film = write_tiny_model(tmp_path / 'tiny.onnx'), tmp_path / 'a.mp4'
    with running_viewer() as url:
        done = run('view', bag, '--model', model, '--viewer', url, '--video', film)
        assert done.returncode == 0, done.stderr
        assert film.exists()
        viewer = rerun.experimental.ViewerClient(url)
        # What has just come is drawn while earlier pictures are taken.
        for _ in range(10):
            blank = blank_panes(viewer, tmp_path / 'a.png')
            if not blank:
                break
    assert not blank


def test_a_computer_without_a_screen_is_told_what_it_can_do(
    tmp_path: Path, bag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(('127.0.0.1', 9876)) == 0:
            pytest.skip('a viewer is open here, which would be taken')
    for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'WAYLAND_SOCKET'):
        monkeypatch.delenv(name, raising=False)
    done = run('view', bag, '--model', write_tiny_model(tmp_path / 'tiny.onnx'))
    assert done.returncode == 1
    assert 'error: expected a viewer to open, found: no screen: none of DISPLAY, ' in done.stderr
    assert 'name --out, --video or --viewer' in done.stderr
    assert 'Traceback' not in done.stderr


def test_no_viewer_opens_for_what_is_no_bag(tmp_path: Path) -> None:
    done = run('view', tmp_path / 'no', '--model', write_tiny_model(tmp_path / 'tiny.onnx'))
    assert (done.returncode, done.stderr.count('\n')) == (1, 1)
    assert f'error: {tmp_path / "no"}: expected a bag, found nothing there' in done.stderr


@pytest.mark.parametrize(
    'url',
    ['rerun+http://127.0.0.1:9/proxy', 'rerun+http://127.0.0.1:99999/proxy', 'nonsense'],
)
def test_a_viewer_that_is_not_there_is_an_error(tmp_path: Path, bag: Path, url: str) -> None:
    done = run('view', bag, '--model', write_tiny_model(tmp_path / 'tiny.onnx'), '--viewer', url)
    assert done.returncode == 1
    assert f'error: --viewer: expected a running rerun viewer at {url}, found: ' in done.stderr
    assert 'Traceback' not in done.stderr


def blank_panes(viewer: Any, screenshot: Path) -> list[str]:
    """Name the panes without colours: a blank one has its background, a grid and a caption."""
    viewer.save_screenshot(str(screenshot))
    picture = cv2.imread(str(screenshot))
    assert picture is not None
    height, width = picture.shape[:2]
    panes = {
        'image': picture[height // 8 : height // 2 - 20, 20 : width // 2 - 20],
        'depth': picture[height // 2 + 40 : height * 7 // 8, 20 : width // 2 - 20],
        'clouds': picture[height // 8 : height * 7 // 8, width // 2 + 20 : width - 20],
    }
    return [name for name, pane in panes.items() if (np.ptp(pane, axis=2) > 40).mean() <= 0.02]
