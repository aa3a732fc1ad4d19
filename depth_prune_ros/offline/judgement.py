"""The end of a run: its models judged side by side, and the tables kept to be shown again."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
import json
from pathlib import Path

from depth_prune_ros.core.metrics import protocol as find_protocol
from depth_prune_ros.core.metrics import with_switches
from depth_prune_ros.evaluation.breakdown import analyse
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.notes import notes
from depth_prune_ros.evaluation.report import write_report
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.run import load_engines
from depth_prune_ros.evaluation.tables import Grid
from depth_prune_ros.evaluation.tables import parts
from depth_prune_ros.evaluation.tables import summary

PAGE = 'report.html'
_TABLES = 'tables.json'
FILES = (PAGE, _TABLES)


@dataclass(frozen=True)
class Judgement:
    """What an evaluation says: tables, and what has to be known of them."""

    tables: tuple[Grid, ...]
    notes: tuple[str, ...]


def judge_models(
    out: Path,
    models: Sequence[Path],
    bags: Sequence[Path],
    protocol: str,
    progress: Callable[[int, int], None],
) -> Judgement:
    """
    Judge models on bags as `depth-prune evaluate` does, and write the page and the tables.

    :param progress: called with the frames judged, and all of them
    """
    rules = with_switches(find_protocol(protocol), ())
    job = Job(tuple(bags), rules, load_engines(models))
    gallery = Gallery()
    results = evaluate_bags(job, on_frame=gallery, progress=progress)
    title = f'{models[0].stem} on {", ".join(bag.resolve().name for bag in bags)}'
    write_report(out, results, gallery.shots(), title)
    analysis = analyse(results)
    found = Judgement((summary(analysis), parts(analysis, 'distance')), notes(results))
    (out / _TABLES).write_text(json.dumps(asdict(found), indent=1))
    return found


def read_judgement(out: Path) -> Judgement:
    """Return what :func:`judge_models` found."""
    found = json.loads((out / _TABLES).read_text())
    tables = (Grid(tuple(t['head']), tuple(map(tuple, t['rows']))) for t in found['tables'])
    return Judgement(tuple(tables), tuple(found['notes']))
