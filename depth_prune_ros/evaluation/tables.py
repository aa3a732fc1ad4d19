"""Results as rows: for the terminal, for the page, and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import dataclass
import io

from depth_prune_ros.evaluation.breakdown import Analysis
from depth_prune_ros.evaluation.breakdown import Breakdown
from depth_prune_ros.evaluation.breakdown import PartError
from depth_prune_ros.evaluation.results import figures
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.statistics import Comparison
from depth_prune_ros.evaluation.statistics import Interval


@dataclass(frozen=True)
class Grid:
    """A table of texts; all rows are as long as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Metric:
    name: str
    form: str
    hint: str


_METRICS = {
    'abs_rel': _Metric('AbsRel', '.4f', 'lower is better'),
    'sq_rel': _Metric('SqRel (m)', '.3f', 'lower is better'),
    'rmse': _Metric('RMSE (m)', '.3f', 'lower is better'),
    'rmse_log': _Metric('RMSElog', '.4f', 'lower is better'),
    'a1': _Metric('a1', '.4f', 'within a factor of 1.25; higher is better'),
    'a2': _Metric('a2', '.4f', 'within 1.25^2'),
    'a3': _Metric('a3', '.4f', 'within 1.25^3'),
    'd1_all': _Metric('D1-all (%)', '.2f', 'disparity off by 3 px and 5 %'),
}


def summary(analysis: Analysis) -> Grid:
    """Return the summary: a column a result with intervals, then the differences to the first."""
    results, found, compared = analysis.results, analysis.beyond, analysis.against_first
    rows = []
    for key, metric in _METRICS.items():
        cells = [_value(one.intervals.get(key) if one else None, metric.form) for one in found]
        if any(cells):
            verdicts = [_difference(other.get(key), metric.form) for other in compared]
            rows.append((metric.name, *cells, *verdicts, metric.hint))
    rows += [_beyond(name, found, len(compared)) for name in ('scale', 'drift', 'flicker')]
    blank = ('',) * len(compared)
    for name, cells, hint in _about(results, found):
        rows.append((name, *cells, *blank, hint))
    names = [result.name or 'value' for result in results]
    versus = [f'{name} - {names[0]}' for name in names[1:]]
    return Grid(('metric', *names, *versus, ''), tuple(row for row in rows if any(row[1:-1])))


def parts(analysis: Analysis, kind: str) -> Grid:
    """
    Return AbsRel by part, a column a result.

    :param kind: 'distance' or 'regions'
    """
    found = [getattr(one, kind) for _, one in analysis.judged]
    names = [result.name or 'value' for result, _ in analysis.judged]
    rows = [
        (column[0].name, f'{column[0].pixels}', *(_part(part) for part in column))
        for column in zip(*found, strict=True)
    ]
    return Grid((kind, 'pixels', *names), tuple(rows))


def summary_csv(analysis: Analysis) -> str:
    """Return every figure of every result in long form: model, figure, part, value, low, high."""
    rows: list[Sequence[object]] = [('model', 'figure', 'part', 'value', 'low', 'high')]
    for result, found in analysis.judged:
        rows += [_csv(result, key, '', value) for key, value in found.intervals.items()]
        for kind, group in (('distance', found.distance), ('region', found.regions)):
            rows += [_csv(result, f'abs_rel by {kind}', p.name, p.abs_rel) for p in group]
        rows += [
            _csv(result, 'flicker', '', found.flicker),
            _csv(result, 'scale', '', found.scale),
        ]
        rows.append((result.name, 'scale_drift', '', found.scale_drift, '', ''))
    first, *others = analysis.results
    for other, compared in zip(others, analysis.against_first, strict=True):
        name = f'{other.name} - {first.name}'
        for key, value in compared.items():
            d = value.difference
            rows.append((name, key, f'p={value.p_value:.3g}', d.value, d.low, d.high))
    return _to_csv(rows)


def frames_csv(results: Sequence[Result]) -> str:
    """Return a row a judged frame and result."""
    keys = [
        key for key in _METRICS if key != 'd1_all' or any(r.d1_all is not None for r in results)
    ]
    head = ('model', 'bag', 'index', 'stamp_ns', 'pixels', *keys, 'median_ratio', 'flicker')
    rows: list[Sequence[object]] = [head]
    for result in results:
        for f in result.per_frame:
            found = figures(f.metrics, f.d1_all)
            more = (f.detail.median_ratio, f.detail.flicker) if f.detail else ('', '')
            place = (result.name, f.bag, f.index, f.stamp_ns, f.pixels)
            rows.append((*place, *(found.get(key, '') for key in keys), *more))
    return _to_csv(rows)


def _to_csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return text.getvalue()


def _csv(result: Result, figure: str, part: str, value: Interval | None) -> tuple[object, ...]:
    cells = ('', '', '') if value is None else (value.value, value.low, value.high)
    return (result.name, figure, part, *cells)


def _value(found: Interval | None, form: str) -> str:
    return f'{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]' if found else ''


def _difference(found: Comparison | None, form: str) -> str:
    if found is None:
        return ''
    value, signed = found.difference, f'+{form}'
    low, high = f'{value.low:{signed}}', f'{value.high:{signed}}'
    return f'{value.value:{signed}} [{low}, {high}] {found.verdict} (p {found.p_value:.2g})'


def _part(found: PartError) -> str:
    return _value(found.abs_rel, '.4f')


def _beyond(name: str, found: Sequence[Breakdown | None], others: int) -> tuple[str, ...]:
    cells: list[str] = []
    for one in found:
        drift = one.scale_drift if one else None
        if one is None or drift is None:
            cells.append('')
        elif name == 'drift':
            cells.append(f'{drift:.1%}')
        else:
            cells.append(_value(one.scale if name == 'scale' else one.flicker, '.4f'))
    names = {
        'scale': ('scale', 'median of prediction / truth, mean of frames; 1 is right'),
        'drift': ('scale drift', 'how much that varies from frame to frame'),
        'flicker': ('flicker', 'relative change where the truth stays'),
    }
    return (names[name][0], *cells, *[''] * others, names[name][1])


def _about(
    results: Sequence[Result], found: Sequence[Breakdown | None]
) -> list[tuple[str, list[str], str]]:
    rules = results[0].rules
    switches = [name for name in ('median_scaling', 'known_baseline', 'flip') if rules.get(name)]
    hidden = [str(one.occluded) if one and rules.get('drop_occluded') else '' for one in found]
    cards = [result.model for result in results]
    return [
        (
            'frames in / out',
            [f'{r.frames_in} / {r.frames_out}' for r in results],
            'read / predicted',
        ),
        ('frames judged', [str(r.frames) for r in results], 'those with ground truth'),
        ('latency p50 / p99', [_latency(r) for r in results], _latency_of(results)),
        ('protocol', [' + '.join([r.protocol, *switches]) for r in results], ''),
        ('occluded points', hidden, 'seen by the lidar, not by the camera: left out'),
        ('model', [str(c['name']) if c else 'unknown' for c in cards], ''),
        ('parameters', [f'{c["parameters"] / 1e6:.3f} M' if c else '' for c in cards], ''),
        ('MACs', [f'{c["macs"] / 1e9:.3f} G' if c else '' for c in cards], 'of one prediction'),
    ]


def _latency_of(results: Sequence[Result]) -> str:
    """Say what was timed: predictions in this process, or what a replay noted of its topics."""
    own = any(result.latencies_ms for result in results)
    return 'a frame, other frames beside it' if own else 'from an image to its depth, by topic'


def _latency(result: Result) -> str:
    p50, p99 = (result.latency_ms[key] for key in ('p50', 'p99'))
    return 'not measured' if p50 is None or p99 is None else f'{p50:.1f} ms / {p99:.1f} ms'
