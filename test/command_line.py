"""
The command line in a process of its own, as a user meets it.

Such a process is forked from one that has imported torch and the like already: that takes a
command longer than all that tests have it do.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
import multiprocessing
from multiprocessing import forkserver
import os
from pathlib import Path
import runpy
from subprocess import CompletedProcess
import sys
from tempfile import TemporaryDirectory

import pytest

_FORKS = multiprocessing.get_context('forkserver')
_FORKS.set_forkserver_preload(
    ['torch', 'torch._dynamo', 'onnx', 'onnxruntime', 'cv2', 'rosbags.highlevel', 'pydantic']
)


class Command:
    """depth-prune in a process; what subprocess.Popen has of it."""

    def __init__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start it, on one thread; lines are up to 200 columns wide."""
        self._printed = TemporaryDirectory(prefix='command-')
        self._files = [Path(self._printed.name) / name for name in ('stdout', 'stderr')]
        for file in self._files:
            file.touch()
        settings = {**os.environ, 'COLUMNS': '200', **(environment or {})}
        where = str(folder or Path.cwd())
        texts = list(map(str, arguments))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('OMP_NUM_THREADS', '1')
            forkserver.ensure_running()
        self._process = _FORKS.Process(target=_run, args=(texts, settings, where, self._files))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """Wait for its end and return what it printed on stdout and stderr."""
        self.wait()
        printed, errors = (file.read_text() for file in self._files)
        self._printed.cleanup()
        return printed, errors


def run(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> CompletedProcess[str]:
    """Run depth-prune to its end."""
    command = Command(*arguments, environment=environment, folder=folder)
    printed, errors = command.communicate()
    assert command.returncode is not None
    return CompletedProcess(list(arguments), command.returncode, printed, errors)


def _run(
    arguments: list[str], environment: Mapping[str, str], folder: str, files: list[Path]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    sys.argv = ['depth-prune', *arguments]
    try:
        runpy.run_module('depth_prune_ros.cli', run_name='__main__', alter_sys=True)
    finally:
        # multiprocessing ends its processes without them
        atexit._run_exitfuncs()
