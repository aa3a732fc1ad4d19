"""The line that says how a training does."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.cli_terminal import following
from depth_prune_ros.cli_terminal import Pace
from depth_prune_ros.cli_terminal import table
import pytest


def test_the_line_of_a_training() -> None:
    """Eight images a step; the first step is not counted: 2 s for the next two."""
    times = iter([100.0, 101.0, 102.0])
    pace = Pace(8, lambda: next(times))
    assert pace.line(11, 100, 0.51234, None) == (
        'step 11/100, - images/s, loss 0.5123, AbsRel -, remaining -'
    )
    pace.line(12, 100, 0.5, None)
    assert pace.line(13, 100, 0.25, 0.1234) == (
        'step 13/100, 8.0 images/s, loss 0.2500, AbsRel 0.1234, remaining 0:01:27'
    )


def test_lines_come_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    pace = Pace(1, lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        pace.write(str(second), last=second == 24)
    assert capsys.readouterr().err.split() == ['0', '11', '22', '24']


def test_a_table_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = 'a' * 70, '0.1234 [0.1200, 0.1300]' * 3
    table(('metric', 'value'), [long])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if 'aaa' in line]
    assert row.split() == [long[0], *long[1].split()]


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table(('metric', 'v2 [/old]'), [('[bold]', 'net[a]')])
    head, _, row = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert (head, row) == (['metric', 'v2', '[/old]'], ['[bold]', 'net[a]'])


def test_the_next_command_can_be_pasted() -> None:
    told = following('evaluate', 'BAG', '--model', Path('my models/a.onnx'))
    assert told == "Next: depth-prune evaluate BAG --model 'my models/a.onnx'"
