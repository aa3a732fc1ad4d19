"""Frames and predictions -> figures: by a model file, or by a depth topic somebody recorded."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from operator import length_hint
from pathlib import Path
import time
from typing import Any
from typing import TYPE_CHECKING

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.core.camera import depth_from_disparity
from depth_prune_ros.core.camera import disparity_from_depth
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.images import image_to_depth
from depth_prune_ros.core.metrics import d1_all
from depth_prune_ros.core.metrics import DepthMetrics
from depth_prune_ros.core.metrics import evaluate_frame
from depth_prune_ros.core.metrics import mean_metrics
from depth_prune_ros.core.metrics import Protocol
from depth_prune_ros.core.metrics import resize_disparity
from depth_prune_ros.core.metrics import valid_pixels
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depth_prune_ros.core.engine import DepthEngine

Float = NDArray[np.float32]
OnFrame = Callable[[Frame, Float], None]
Progress = Callable[[int, int], None]

_IMAGE = 'sensor_msgs/msg/Image'


@dataclass(frozen=True)
class FrameResult:
    """
    One judged frame.

    :param stamp_ns: header stamp of the image, nanoseconds
    :param metrics: over the pixels that the protocol leaves
    :param pixels: how many these are
    :param d1_all: %, over every pixel with ground truth; None without a stereo baseline
    """

    stamp_ns: int
    metrics: DepthMetrics
    pixels: int
    d1_all: float | None = None


@dataclass(frozen=True)
class Result:
    """
    How good the depth of a whole bag is.

    :param frames: frames judged
    :param protocol: name of the protocol
    :param metrics: means over the judged frames
    :param per_frame: the judged frames in the bag's order
    :param latency_ms: 'p50' and 'p99' of one prediction; None where nobody measured
    :param model: the model card as a dictionary; empty where unknown
    :param d1_all: mean over the frames that have one
    :param frames_in: frames the bag has
    :param frames_out: frames that got a prediction, judged or not
    """

    frames: int
    protocol: str
    metrics: DepthMetrics
    per_frame: tuple[FrameResult, ...]
    latency_ms: dict[str, float | None]
    model: dict[str, Any] = field(default_factory=dict)
    d1_all: float | None = None
    frames_in: int = 0
    frames_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json holds; d1_all only where disparity is known."""
        return {
            'frames': self.frames,
            'protocol': self.protocol,
            'metrics': _figures(self.metrics, self.d1_all),
            'per_frame': [
                {'stamp_ns': f.stamp_ns, 'pixels': f.pixels, **_figures(f.metrics, f.d1_all)}
                for f in self.per_frame
            ],
            'latency_ms': self.latency_ms,
            'model': self.model,
        }


def evaluate_model(
    frames: Iterable[Frame],
    engine: DepthEngine,
    rules: Protocol,
    *,
    on_frame: OnFrame | None = None,
    progress: Progress | None = None,
) -> Result:
    """
    Judge a model on frames with ground truth, one frame in memory at a time.

    The latency is that of `engine.disparity`, its resizing included; a first run that only
    warms up is not counted.

    :param on_frame: sees each frame with its depth [h, w] in metres at the network's size
    :param progress: called with (done, total); total is 0 where `frames` does not know it
    :raises BagError: no frame has ground truth that the protocol can judge
    """
    tally = _Tally(rules, length_hint(frames), on_frame, progress)
    latencies: list[float] = []
    for frame in frames:
        if not latencies:
            engine.disparity(frame.left)
        start = time.perf_counter()
        disparity = engine.disparity(frame.left)
        latencies.append((time.perf_counter() - start) * 1000)
        tally.add(frame, disparity, engine.card.baseline_m)
    return tally.result(latency_percentiles(latencies), engine.card.as_dict())


def evaluate_depth_topic(
    frames: Iterable[Frame],
    depths: Mapping[int, Float],
    rules: Protocol,
    *,
    on_frame: OnFrame | None = None,
    progress: Progress | None = None,
) -> Result:
    """
    Judge recorded depth against the frames of the same header stamps.

    Depth becomes disparity before it is resized, so that the figures are those of the model
    that published it. Frames without depth of exactly their stamp count in `frames_in` but not
    in `frames_out`. Latency and model are unknown here: `dataclasses.replace` fills them in.

    :param depths: stamp in nanoseconds -> [h, w] metres, NaN = invalid
    :param on_frame: sees each frame that has depth, with that depth
    :param progress: called with (done, total); total is 0 where `frames` does not know it
    :raises BagError: no stamp fits, or no frame has ground truth that the protocol can judge
    """
    tally = _Tally(rules, length_hint(frames), on_frame, progress)
    stamps: list[int] = []
    for frame in frames:
        stamps.append(frame.stamp_ns)
        depth = depths.get(frame.stamp_ns)
        if depth is None:
            tally.done()
            continue
        # Any baseline does: the way back from disparity to depth takes the same one.
        tally.add(frame, disparity_from_depth(depth, 1.0, frame.camera.fx_over_width), 1.0)
    if stamps and not tally.frames_out:
        msg = (
            f'expected depth of the stamps {_span(stamps)}, found {_span(sorted(depths))}; '
            'is the depth recorded from this bag, headers untouched?'
        )
        raise BagError(msg)
    return tally.result(latency_percentiles([]), {})


def latency_percentiles(latencies_ms: Sequence[float]) -> dict[str, float | None]:
    """Return the 50th and 99th percentile as 'p50' and 'p99'; None where nothing was measured."""
    if not latencies_ms:
        return {'p50': None, 'p99': None}
    return {key: float(np.percentile(latencies_ms, q)) for key, q in (('p50', 50), ('p99', 99))}


def read_depth_topic(bag: Path, topic: str) -> dict[int, Float]:
    """
    Read a recorded depth topic (32FC1 metres or 16UC1 millimetres).

    :return: header stamp in nanoseconds -> float32 [h, w] metres, NaN = invalid
    :raises BagError: the bag is missing or damaged, or has no such topic of images
    :raises ImageError: an encoding that holds no depth
    """
    with open_bag(bag) as reader:
        _check_topic(bag, topic, topics_by_type(reader))
        stamped = read_messages(bag, reader, [topic])
        return {found.stamp_ns: image_to_depth(found.message) for found in stamped}


class _Tally:
    """Judges frames one at a time and adds them up."""

    def __init__(
        self,
        rules: Protocol,
        total: int,
        on_frame: OnFrame | None,
        progress: Progress | None,
    ) -> None:
        self._rules = rules
        self._total = total
        self._on_frame = on_frame
        self._progress = progress
        self._judged: list[FrameResult] = []
        self._frames_in = 0
        self.frames_out = 0

    def add(self, frame: Frame, disparity: Float, baseline_m: float) -> None:
        """Judge the disparity [h, w] (fractions of the width) of a frame."""
        self.frames_out += 1
        judged = _judge(frame, disparity, baseline_m, self._rules)
        if judged is not None:
            self._judged.append(judged)
        if self._on_frame is not None:
            scale = frame.camera.fx_over_width
            self._on_frame(frame, depth_from_disparity(disparity, baseline_m, scale))
        self.done()

    def done(self) -> None:
        """Count a frame, predicted or not."""
        self._frames_in += 1
        if self._progress is not None:
            self._progress(self._frames_in, self._total)

    def result(self, latency_ms: dict[str, float | None], model: dict[str, Any]) -> Result:
        """Return the means."""
        if not self._judged:
            msg = (
                f'expected frames with ground truth between {self._rules.min_depth_m:g} and '
                f'{self._rules.max_depth_m:g} m, found none in {self._frames_in}; the bag needs '
                'lidar with tf_static, or a depth topic'
            )
            raise BagError(msg)
        d1 = [f.d1_all for f in self._judged if f.d1_all is not None]
        return Result(
            frames=len(self._judged),
            protocol=self._rules.name,
            metrics=mean_metrics([f.metrics for f in self._judged]),
            per_frame=tuple(self._judged),
            latency_ms=latency_ms,
            model=model,
            d1_all=float(np.mean(d1)) if d1 else None,
            frames_in=self._frames_in,
            frames_out=self.frames_out,
        )


def _judge(
    frame: Frame, disparity: Float, baseline_m: float, rules: Protocol
) -> FrameResult | None:
    gt, camera = frame.depth, frame.camera
    if gt is None:
        return None
    metrics = evaluate_frame(gt, disparity, baseline_m, camera.fx_over_width, rules)
    if metrics is None:
        return None
    pixels = int(valid_pixels(gt, rules).sum())
    if frame.baseline_m is None:
        return FrameResult(frame.stamp_ns, metrics, pixels)
    true_px = disparity_from_depth(gt, frame.baseline_m, camera.fx)
    # The stereo pair's own baseline: a network's disparity belongs to the one it learned with.
    own_px = resize_disparity(disparity, *gt.shape) * camera.width * frame.baseline_m / baseline_m
    return FrameResult(frame.stamp_ns, metrics, pixels, d1_all(true_px, own_px))


def _figures(metrics: DepthMetrics, d1: float | None) -> dict[str, float]:
    return asdict(metrics) if d1 is None else {**asdict(metrics), 'd1_all': d1}


def _span(stamps: Sequence[int]) -> str:
    """Say which stamps there are in a few words."""
    return f'{stamps[0]}..{stamps[-1]} ({len(stamps)})' if stamps else 'none'


def _check_topic(bag: Path, topic: str, types: Mapping[str, str]) -> None:
    """Refuse a topic that is not there or holds no images."""
    if types.get(topic) == _IMAGE:
        return
    images = [name for name, kind in types.items() if kind == _IMAGE]
    topics = f'image topics {", ".join(images) or "none"}'
    what = f'{types[topic]} on it' if topic in types else topics
    msg = f'{bag}: expected depth images on {topic}, found {what}'
    raise BagError(msg)
