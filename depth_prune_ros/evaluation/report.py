"""A Result as rows for a terminal, as metrics.json, and as one HTML page with pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
import json
import math
from pathlib import Path

import cv2
from depth_prune_ros.evaluation.evaluate import Result
from depth_prune_ros.evaluation.pictures import Shot
from depth_prune_ros.evaluation.pictures import write_file
from depth_prune_ros.evaluation.pictures import write_png
import jinja2

_PICTURE_BYTES = 4_000_000
_QUALITIES = (88, 70, 50, 30)
_PLOT_WIDTH, _PLOT_HEIGHT = 640, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 28


@dataclass(frozen=True)
class Row:
    """
    One figure of the summary.

    :param name: what it is
    :param value: formatted, with its unit
    :param hint: what is good
    """

    name: str
    value: str
    hint: str = ''


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the plot's pixels, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """One frame in a plot, in the plot's pixels, and what it says when pointed at."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A figure over time, laid out for SVG."""

    name: str
    width: int
    height: int
    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    mean: Tick


def table(result: Result) -> tuple[Row, ...]:
    """Return the summary, row by row, for whoever prints it."""
    m = result.metrics
    rows = [
        Row('AbsRel', f'{m.abs_rel:.4f}', 'lower is better'),
        Row('SqRel', f'{m.sq_rel:.3f} m', 'lower is better'),
        Row('RMSE', f'{m.rmse:.3f} m', 'lower is better'),
        Row('RMSElog', f'{m.rmse_log:.4f}', 'lower is better'),
        Row('a1', f'{m.a1:.4f}', 'within a factor of 1.25; higher is better'),
        Row('a2', f'{m.a2:.4f}', 'within 1.25^2'),
        Row('a3', f'{m.a3:.4f}', 'within 1.25^3'),
    ]
    if result.d1_all is not None:
        rows.append(Row('D1-all', f'{result.d1_all:.2f} %', 'disparity off by 3 px and 5 %'))
    latency = result.latency_ms
    return (
        *rows,
        Row('frames in / out', f'{result.frames_in} / {result.frames_out}', 'read / predicted'),
        Row('frames judged', str(result.frames), 'those with ground truth'),
        Row('latency p50 / p99', f'{_ms(latency["p50"])} / {_ms(latency["p99"])}', 'a frame'),
        Row('protocol', result.protocol),
        *_model_rows(result),
    )


def write_report(
    folder: Path, result: Result, shots: Sequence[Shot], title: str = 'Depth evaluation'
) -> Path:
    """
    Write metrics.json, strip.png (the middle strip) and report.html.

    The page needs nothing else: its pictures are inside, at a JPEG quality that keeps it
    below 5 MB; strips that do not fit even then are left out from the end.

    :return: the page
    :raises ConfigError: the folder cannot be made or written
    """
    page = _render(result, shots, title)
    text = json.dumps(result.to_json(), indent=1, allow_nan=False) + '\n'
    write_file(folder / 'metrics.json', text.encode())
    if shots:
        write_png(folder / 'strip.png', shots[len(shots) // 2].picture)
    write_file(folder / 'report.html', page.encode())
    return folder / 'report.html'


def plot(result: Result, key: str, name: str) -> Plot:
    """
    Lay one metric out over the time since the first judged frame.

    :param key: a field of DepthMetrics
    :param name: what the axis calls it
    """
    start = result.per_frame[0].stamp_ns
    seconds = [(f.stamp_ns - start) / 1e9 for f in result.per_frame]
    values = [float(getattr(f.metrics, key)) for f in result.per_frame]
    ticks_x, ticks_y = _steps(max(seconds)), _steps(max(values))
    right, top = max(max(seconds), 1e-9), ticks_y[-1]

    def x(second: float) -> float:
        return round(_LEFT + second / right * (_PLOT_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_PLOT_HEIGHT - _BOTTOM - value / top * (_PLOT_HEIGHT - _TOP - _BOTTOM), 1)

    mean = float(getattr(result.metrics, key))
    return Plot(
        name=name,
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
        dots=tuple(
            Dot(x(s), y(v), f'{s:.2f} s: {v:.4g}') for s, v in zip(seconds, values, strict=True)
        ),
        x_ticks=tuple(Tick(x(s), f'{s:g} s') for s in ticks_x if s <= right),
        y_ticks=tuple(Tick(y(v), f'{v:g}') for v in ticks_y),
        mean=Tick(y(mean), f'mean {mean:.4g}'),
    )


def _steps(largest: float) -> list[float]:
    """Return 0 and three to six round numbers up to the first that is not below `largest`."""
    if not largest > 0:
        return [0.0, 1.0]
    raw = largest / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw * 0.999)
    count = math.ceil(largest / step - 1e-9)
    return [float(f'{i * step:.6g}') for i in range(count + 1)]


def _ms(value: float | None) -> str:
    return 'not measured' if value is None else f'{value:.1f} ms'


def _model_rows(result: Result) -> list[Row]:
    card = result.model
    if not card:
        return [Row('model', 'unknown', 'depth as recorded')]
    return [
        Row('model', str(card['name'])),
        Row('parameters', f'{card["parameters"] / 1e6:.3f} M'),
        Row('MACs', f'{card["macs"] / 1e9:.3f} G', 'of one prediction'),
    ]


def _render(result: Result, shots: Sequence[Shot], title: str) -> str:
    source = files('depth_prune_ros.evaluation').joinpath('report.html.j2').read_text('utf-8')
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    start = result.per_frame[0].stamp_ns
    return environment.from_string(source).render(
        title=title,
        result=result,
        rows=table(result),
        plots=(plot(result, 'abs_rel', 'AbsRel'), plot(result, 'rmse', 'RMSE (m)')),
        pictures=[
            {'seconds': (shot.stamp_ns - start) / 1e9, 'stamp_ns': shot.stamp_ns, 'data': data}
            for shot, data in zip(shots, _encoded(shots), strict=False)
        ],
    )


def _encoded(shots: Sequence[Shot]) -> list[str]:
    """Encode strips as base64 JPEG, at the best quality at which all of them fit the page."""
    texts: list[str] = []
    for quality in _QUALITIES:
        texts = [_jpeg(shot, quality) for shot in shots]
        if sum(map(len, texts)) <= _PICTURE_BYTES:
            return texts
    while sum(map(len, texts)) > _PICTURE_BYTES:
        texts.pop()
    return texts


def _jpeg(shot: Shot, quality: int) -> str:
    bgr = cv2.cvtColor(shot.picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return base64.b64encode(data.tobytes()).decode()
