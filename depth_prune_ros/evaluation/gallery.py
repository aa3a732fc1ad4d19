"""Which frames a report shows: the best, the middling and the worst, kept while a bag goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import heapq

import cv2
from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.evaluation.judging import depth_image
from depth_prune_ros.evaluation.judging import Judged
from depth_prune_ros.evaluation.pictures import fit_sparse
from depth_prune_ros.evaluation.pictures import frame_strip
from depth_prune_ros.evaluation.pictures import panel_shape
from depth_prune_ros.evaluation.results import FrameResult
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.tally import Place
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

KINDS = ('best', 'median', 'worst', 'unjudged')
EACH = 3  # frames shown of a kind


@dataclass(frozen=True)
class Shot:
    """
    The pictures of one frame.

    :param stamp_ns: header stamp of the frame
    :param picture: strip of the first predictor, uint8 [h, w, 3] RGB
    :param others: strips of the other predictors
    :param kind: of KINDS
    :param abs_rel: of each predictor; None where it was not judged
    :param bag: name of the bag
    :param index: number of the frame in its bag
    """

    stamp_ns: int
    picture: Bytes
    others: tuple[Bytes, ...] = ()
    kind: str = 'unjudged'
    abs_rel: tuple[float | None, ...] = (None,)
    bag: str = ''
    index: int = 0


@dataclass(frozen=True)
class _Kept:
    """A frame as small as its pictures need it; the strips are drawn when all are chosen."""

    frame: Frame
    depths: tuple[Float | None, ...]
    results: tuple[FrameResult | None, ...]
    place: Place
    number: int
    error: float


class Gallery:
    """
    Keeps the best and the worst frames of a bag, and some in between, as `on_frame` of evaluate.

    How good a frame is says the AbsRel of the first predictor. Best and worst are exact; the
    median ones are, of a few dozen frames spread evenly, those next to the median of all frames.
    Where nothing can be judged, evenly spread frames are kept. Memory: about 1 MB a frame kept.
    """

    def __init__(self, each: int = EACH, spread: int = 24) -> None:
        """
        Keep `each` frames of a kind.

        :param spread: frames among which the median ones are looked for
        """
        self._each = each
        self._wanted = spread
        self._stride = 1
        self._seen = 0
        self._spread: list[_Kept] = []
        self._worst: list[tuple[float, int, _Kept]] = []
        self._best: list[tuple[float, int, _Kept]] = []
        self._errors: list[float] = []

    def __call__(self, frame: Frame, judged: Sequence[Judged | None], place: Place) -> None:
        """Look at a frame and its predictions."""
        number = self._seen
        self._seen += 1
        first = judged[0].result if judged and judged[0] else None
        error = None if first is None else first.metrics.abs_rel
        heaps = [] if error is None else [(self._worst, error), (self._best, -error)]
        wanted = [(h, e) for h, e in heaps if len(h) < self._each or e > h[0][0]]
        on_grid = number % self._stride == 0
        if error is not None:
            self._errors.append(error)
        if not (wanted or on_grid):
            return
        kept = _small(frame, judged, place, number)
        for heap, value in wanted:
            push = heapq.heappush if len(heap) < self._each else heapq.heappushpop
            push(heap, (value, -number, kept))
        if on_grid:
            self._spread.append(kept)
            if len(self._spread) >= 2 * self._wanted:
                del self._spread[1::2]
                self._stride *= 2

    def shots(self) -> tuple[Shot, ...]:
        """Draw the frames kept: best first, then median, then worst; each frame once."""
        if not self._errors:
            count = min(3 * self._each, len(self._spread))
            picks = np.rint(np.linspace(0, len(self._spread) - 1, count)).astype(int)
            return tuple(_draw(self._spread[i], 'unjudged') for i in picks)
        best = [kept for _, _, kept in sorted(self._best, reverse=True, key=lambda e: e[:2])]
        worst = [kept for _, _, kept in sorted(self._worst, reverse=True, key=lambda e: e[:2])]
        # With few frames one could be both.
        taken = {kept.number for kept in best}
        worst = [kept for kept in worst if kept.number not in taken]
        taken |= {kept.number for kept in worst}
        middle = float(np.median(self._errors))
        judged = [k for k in self._spread if k.results[0] and k.number not in taken]
        judged.sort(key=lambda k: (abs(k.error - middle), k.number))
        kinds = (('best', best), ('median', judged[: self._each]), ('worst', worst))
        return tuple(_draw(kept, kind) for kind, group in kinds for kept in group)


def choose(shots: Sequence[Shot], result: Result) -> tuple[Shot, ...]:
    """
    Choose what to show among the shots of several galleries, as one gallery would.

    :param result: of all frames
    """
    judged = [shot for shot in shots if shot.abs_rel[0] is not None]
    if not judged:
        picks = np.rint(np.linspace(0, len(shots) - 1, min(3 * EACH, len(shots)))).astype(int)
        return tuple(shots[i] for i in picks)
    ranked = sorted(judged, key=lambda shot: shot.abs_rel[0] or 0.0)
    best, rest = ranked[:EACH], ranked[EACH:]
    worst, rest = rest[: -EACH - 1 : -1], rest[:-EACH] if rest else []
    middle = float(np.median([f.metrics.abs_rel for f in result.per_frame]))
    rest.sort(key=lambda shot: abs((shot.abs_rel[0] or 0.0) - middle))
    kinds = (('best', best), ('median', rest[:EACH]), ('worst', worst))
    return tuple(replace(shot, kind=kind) for kind, group in kinds for shot in group)


def _small(frame: Frame, judged: Sequence[Judged | None], place: Place, number: int) -> _Kept:
    """Shrink a frame to what its panels show."""
    height, width = panel_shape(frame.left)
    image = cv2.resize(frame.left, (width, height), interpolation=cv2.INTER_AREA)
    gt = None if frame.depth is None else fit_sparse(frame.depth, height, width)
    results = tuple(one.result if one else None for one in judged)
    small = Frame(
        frame.stamp_ns, np.asarray(image, np.uint8), frame.camera.scaled(width, height), depth=gt
    )
    depths = tuple(depth_image(one) if one else None for one in judged)
    first = results[0] if results else None
    error = first.metrics.abs_rel if first else 0.0
    return _Kept(small, depths, results, place, number, error)


def _draw(kept: _Kept, kind: str) -> Shot:
    frame = kept.frame
    nothing = np.full((2, 2), np.nan, np.float32)
    strips = [frame_strip(frame, nothing if d is None else d) for d in kept.depths]
    return Shot(
        stamp_ns=frame.stamp_ns,
        picture=strips[0],
        others=tuple(strips[1:]),
        kind=kind,
        abs_rel=tuple(r.metrics.abs_rel if r else None for r in kept.results),
        bag=kept.place.bag,
        index=kept.place.index,
    )
