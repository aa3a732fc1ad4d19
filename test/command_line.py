"""The command line in a process of its own, as a user meets it."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run depth-prune to its end; lines are up to 200 columns wide."""
    command = [sys.executable, '-m', 'depth_prune_ros.cli', *map(str, arguments)]
    environment = {**os.environ, 'COLUMNS': '200'}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
