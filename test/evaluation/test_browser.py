"""The report in a real browser: no console errors, nothing blank; the screenshot is kept."""

from __future__ import annotations

from pathlib import Path
import re
import shutil
import subprocess

import cv2
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.evaluation.evaluate import evaluate_frames
from depth_prune_ros.evaluation.evaluate import Watch
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.predictions import model_predictor
from depth_prune_ros.evaluation.predictions import topic_predictor
from depth_prune_ros.evaluation.report import write_report
from evaluation_scenes import frame
from evaluation_scenes import HEIGHT
from evaluation_scenes import WIDTH
import numpy as np
import pytest

FRAMES = 200
QUIET = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--enable-logging=stderr',
    '--hide-scrollbars',
    '--window-size=1400,4200',
)


@pytest.fixture(scope='module')
def page(red_engine: DepthEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of two sources on 200 frames."""
    generator = np.random.default_rng(0)
    frames = [frame(i, 40 + i % 60, 4 + 50 * i / FRAMES) for i in range(FRAMES)]
    truth = {
        f.stamp_ns: np.full((HEIGHT, WIDTH), 4 + 50 * i / FRAMES) for i, f in enumerate(frames)
    }
    noisy = {s: (d * generator.uniform(0.8, 1.3)).astype(np.float32) for s, d in truth.items()}
    predictors = [model_predictor(red_engine, EIGEN), topic_predictor(noisy.get, EIGEN, 'noisy')]
    gallery = Gallery()
    results = evaluate_frames(frames, predictors, EIGEN, watch=Watch(on_frame=gallery))
    return write_report(tmp_path_factory.mktemp('report'), results, gallery.shots())


def run_chromium(page: Path, screenshot: Path) -> str:
    """Open a page and return what the browser logs."""
    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    if browser is None:
        pytest.skip('chromium is not installed')
    profile = f'--user-data-dir={screenshot.parent / "profile"}'
    command = [browser, *QUIET, profile, f'--screenshot={screenshot}', page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_page_of_200_frames_is_small(page: Path) -> None:
    assert page.stat().st_size < 5_000_000


def test_page_opens_without_a_console_message(page: Path, tmp_path: Path) -> None:
    log = run_chromium(page, tmp_path / 'report.png')
    assert not re.findall(r'.*CONSOLE.*', log)
    shown = cv2.imread(str(tmp_path / 'report.png'))
    assert shown is not None
    assert shown.shape[:2] == (4200, 1400)
    # pictures and curves: many colours, at the top and further down
    for part in (shown[:1400], shown[1400:2800]):
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 200


def test_console_messages_would_be_seen(tmp_path: Path) -> None:
    broken = tmp_path / 'broken.html'
    broken.write_text('<!doctype html><title>x</title><script>console.error("so it is")</script>')
    assert re.findall(r'.*CONSOLE.*so it is', run_chromium(broken, tmp_path / 'broken.png'))
