"""The depth node as a process of its own, on a ROS domain of its own."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType

import depth_prune_ros
from depth_prune_ros.ros.context import ros_environment

# Not -m, which looks into the folder that the command is given in first.
_MAIN = (
    'import sys; sys.path = [part for part in sys.path if part]; '
    'from depth_prune_ros.ros.depth_node import main; '
    'from depth_prune_ros.ros.process import end_with_input; end_with_input(); sys.exit(main())'
)
STOP_TIMEOUT_S = 15.0


class NodeProcess:
    """A running depth node; as a context it is gone at the end, whatever happens."""

    def __init__(self, arguments: Sequence[str], domain_id: int) -> None:
        """
        Start the node.

        :param arguments: what follows --ros-args
        :param domain_id: ROS_DOMAIN_ID, with discovery limited to this computer
        """
        # Appending, or reading the log here would move the place where the node writes.
        self._log = tempfile.TemporaryFile(mode='a+b')  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, '-c', _MAIN, '--ros-args', *arguments],
            env={**os.environ, **_child_environment(), **ros_environment(domain_id)},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> NodeProcess:
        """Return the running node."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the node if it still runs."""
        if self.running:
            self.stop()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """Everything the node has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors='replace')

    @property
    def complaint(self) -> str:
        """Return the last error that a running node logged; else the last line it wrote."""
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith('[ERROR]')] if self.running else []
        return (errors or lines or ['nothing was logged'])[-1]

    def stop(self, number: int = signal.SIGINT) -> int:
        """
        Ask the node to end and wait for it; kill it where it does not obey.

        :return: the exit code; negative after a kill
        """
        if self.running:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def end_with_input() -> None:
    """Interrupt this process once its standard input ends: its parent was killed."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # sys.stdin.read holds a lock at the exit
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def _child_environment() -> Mapping[str, str]:
    """Let the child import this very package, wherever this process got it from."""
    ours = str(Path(depth_prune_ros.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [ours, os.environ.get('PYTHONPATH', '')]))
    return {'PYTHONPATH': path, 'RCUTILS_COLORIZED_OUTPUT': '0'}
