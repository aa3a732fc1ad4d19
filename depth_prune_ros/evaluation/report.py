"""Results as metrics.json, CSV files, and one HTML page with pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
import json
from pathlib import Path
from typing import Any

import cv2
from depth_prune_ros.evaluation.breakdown import analyse
from depth_prune_ros.evaluation.breakdown import Analysis
from depth_prune_ros.evaluation.breakdown import Breakdown
from depth_prune_ros.evaluation.breakdown import breakdown_to_json
from depth_prune_ros.evaluation.gallery import Shot
from depth_prune_ros.evaluation.notes import notes
from depth_prune_ros.evaluation.pictures import WORST_ERROR
from depth_prune_ros.evaluation.pictures import write_file
from depth_prune_ros.evaluation.pictures import write_png
from depth_prune_ros.evaluation.plots import Chart
from depth_prune_ros.evaluation.plots import histogram
from depth_prune_ros.evaluation.plots import over_distance
from depth_prune_ros.evaluation.plots import over_time
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.tables import frames_csv
from depth_prune_ros.evaluation.tables import parts
from depth_prune_ros.evaluation.tables import summary
from depth_prune_ros.evaluation.tables import summary_csv
import jinja2
import numpy as np
from numpy.typing import NDArray

_PICTURE_BYTES = 4_000_000
_QUALITIES = (88, 70, 50, 30)


def write_report(
    folder: Path,
    results: Sequence[Result],
    shots: Sequence[Shot],
    title: str = 'Depth evaluation',
) -> Path:
    """
    Write metrics.json, frames.csv, summary.csv, strip.png (the middle strip) and report.html.

    The page needs nothing else: its pictures are inside, at a JPEG quality that keeps it
    below 5 MB. Of what does not fit even then, as many of each kind are left out.

    :param results: of the same frames; the first one is what the others are compared with
    :return: the page
    :raises ConfigError: the folder cannot be made or written
    """
    analysis = analyse(results)
    page = _render(analysis, shots, title)
    write_file(folder / 'metrics.json', _lines(results_to_json(analysis)).encode())
    write_file(folder / 'frames.csv', frames_csv(results).encode())
    write_file(folder / 'summary.csv', summary_csv(analysis).encode())
    if shots:
        write_png(folder / 'strip.png', shots[len(shots) // 2].picture)
    write_file(folder / 'report.html', page.encode())
    return folder / 'report.html'


def results_to_json(analysis: Analysis) -> dict[str, Any]:
    """Return metrics.json: the first result, what is beyond its means, and the others."""
    first, *others = [
        {**result.to_json(), **(breakdown_to_json(beyond) if beyond else {})}
        for result, beyond in zip(analysis.results, analysis.beyond, strict=True)
    ]
    if others:
        first['compared'] = [
            {**other, 'against_first': {key: asdict(value) for key, value in compared.items()}}
            for other, compared in zip(others, analysis.against_first, strict=True)
        ]
    first['notes'] = list(notes(analysis.results))
    return first


def _lines(found: Mapping[str, Any]) -> str:
    """Write JSON with a key a line and a list's item a line: to be read and searched."""
    rows = []
    for key, value in found.items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ',\n  '.join(json.dumps(item, allow_nan=False) for item in value)
            text = f'[\n  {items}\n ]'
        rows.append(f' {json.dumps(key)}: {text}')
    return '{\n' + ',\n'.join(rows) + '\n}\n'


def _render(analysis: Analysis, shots: Sequence[Shot], title: str) -> str:
    source = files('depth_prune_ros.evaluation').joinpath('report.html.j2').read_text('utf-8')
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    results = analysis.results
    judged = [(result.name, found) for result, found in analysis.judged]
    pictures = _pictures(shots)
    return environment.from_string(source).render(
        title=title,
        results=results,
        names=[r.name or 'recorded depth' for r in results],
        figures=list(_figures(analysis)),
        summary=summary(analysis),
        notes=notes(results),
        charts=_charts([result for result, _ in analysis.judged], judged),
        curves=[name or 'recorded depth' for name, _ in judged],
        regions=list(_regions(judged)),
        distance=parts(analysis, 'distance') if judged and judged[0][1].distance else None,
        shots=pictures,
        left_out=len(shots) - len(pictures),
    )


def _figures(analysis: Analysis) -> Iterator[tuple[str, str, str]]:
    """Yield the few figures of the first result on top: value, name, interval."""
    if analysis.beyond[0] is None:
        return
    found = analysis.beyond[0].intervals
    for key, name, form in (('abs_rel', 'AbsRel', '.4f'), ('rmse', 'RMSE, m', '.3f')):
        one = found[key]
        yield f'{one.value:{form}}', name, f'{one.low:{form}} to {one.high:{form}}'
    yield (
        f'{found["a1"].value:.1%}',
        'within a factor of 1.25 (a1)',
        (f'{found["a1"].low:.1%} to {found["a1"].high:.1%}'),
    )
    compared = analysis.against_first[0].get('abs_rel') if analysis.against_first else None
    if compared:
        first, second, *_ = analysis.results
        yield (
            compared.verdict,
            f'{second.name} against {first.name}, AbsRel',
            f'{compared.difference.value:+.4f}, p {compared.p_value:.2g}',
        )


def _charts(results: Sequence[Result], judged: Sequence[tuple[str, Breakdown]]) -> list[Chart]:
    if not judged or not judged[0][1].distance:
        return []
    return [
        over_distance(judged),
        histogram(judged),
        over_time(results, 'AbsRel over time', 'abs_rel'),
        over_time(results, 'Scale over time: median of prediction / truth', 'scale'),
    ]


def _regions(judged: Sequence[tuple[str, Breakdown]]) -> Iterator[dict[str, Any]]:
    """Yield a result's regions with the share of the worst colour that their error has."""
    for name, one in judged:
        errors = [part.abs_rel.value if part.abs_rel else None for part in one.regions]
        cells = [
            {
                'text': '' if error is None else f'{error:.3f}',
                'share': round(min((error or 0.0) / WORST_ERROR, 1.0), 3),
                'title': f'{part.name}: {part.pixels} pixels',
            }
            for error, part in zip(errors, one.regions, strict=True)
        ]
        yield {'name': name, 'cells': cells}


def _pictures(shots: Sequence[Shot]) -> list[dict[str, Any]]:
    """Return the shots that fit the page, each with all its strips as base64 JPEG."""
    texts: dict[int, list[str]] = {}
    for quality in _QUALITIES:
        for number, shot in enumerate(shots):
            texts[number] = [_jpeg(picture, quality) for picture in (shot.picture, *shot.others)]
        if _size(texts.values()) <= _PICTURE_BYTES:
            break
    while _size(texts.values()) > _PICTURE_BYTES:
        kinds = [shots[number].kind for number in texts]
        # the best of the best and the worst of the worst come first in their kinds
        most = max(('median', *kinds), key=kinds.count)
        del texts[max(number for number in texts if shots[number].kind == most)]
    return [
        {
            'shot': shots[number],
            'data': data,
            'errors': [
                'not judged' if e is None else f'AbsRel {e:.4f}' for e in shots[number].abs_rel
            ],
        }
        for number, data in texts.items()
    ]


def _size(texts: Iterable[Iterable[str]]) -> int:
    return sum(len(text) for row in texts for text in row)


def _jpeg(picture: NDArray[np.uint8], quality: int) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return base64.b64encode(data.tobytes()).decode()
