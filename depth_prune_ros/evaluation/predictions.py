"""What is judged: a model file's depth, or a depth topic that somebody recorded."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
import time
from typing import Any
from typing import TYPE_CHECKING

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.bags.reading import BagReader
from depth_prune_ros.bags.reading import decode
from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.reading import read_messages
from depth_prune_ros.bags.reading import Stamped
from depth_prune_ros.bags.reading import topics_by_type
from depth_prune_ros.bags.topics import COMPRESSED
from depth_prune_ros.bags.topics import RAW
from depth_prune_ros.core.camera import disparity_from_depth
from depth_prune_ros.core.compressed_depth import message_to_depth
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import flip_post_process
from depth_prune_ros.core.metrics import Protocol
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depth_prune_ros.core.engine import DepthEngine

Float = NDArray[np.float32]

# Messages kept for frames still to come, where their order is another one than the frames'.
KEPT = 30


@dataclass(frozen=True)
class Prediction:
    """
    What one source says of one frame.

    :param disparity: [h, w] fractions of the image width
    :param baseline_m: the baseline that the disparity refers to
    :param latency_ms: how long it took; None where nobody measured
    """

    disparity: Float
    baseline_m: float
    latency_ms: float | None = None


@dataclass(frozen=True)
class Predictor:
    """
    A source of depth.

    :param name: what tells it from others
    :param predict: frame -> prediction, or None where there is none
    :param card: the model card as a dictionary; empty where unknown
    :param in_turn: whether `predict` wants the frames one by one, in the bag's order, in the
        thread that reads them
    :param why_none: says why not one frame got a prediction, given the frames' stamps
    :param close: called after the last frame, by the thread that read it
    """

    name: str
    predict: Callable[[Frame], Prediction | None]
    card: dict[str, Any] = field(default_factory=dict)
    in_turn: bool = False
    why_none: Callable[[Sequence[int]], str] = lambda stamps: 'no frame got a prediction'
    close: Callable[[], None] = lambda: None


def model_predictor(engine: DepthEngine, rules: Protocol, name: str = '') -> Predictor:
    """
    Return a model file's predictions.

    The latency is that of `engine.disparity`, its resizing included (both of them with flip
    post-processing); one run before the first that counts warms up.
    """
    warm: list[bool] = []

    def predict(frame: Frame) -> Prediction:
        focal = frame.camera.fx_over_width, frame.camera.fy_over_height
        if not warm:
            engine.disparity(frame.left, *focal)
            warm.append(True)
        start = time.perf_counter()
        disparity = engine.disparity(frame.left, *focal)
        if rules.flip:
            mirrored = engine.disparity(np.ascontiguousarray(frame.left[:, ::-1]), *focal)
            disparity = flip_post_process(disparity, mirrored)
        latency_ms = (time.perf_counter() - start) * 1000
        return Prediction(disparity, engine.card.baseline_m, latency_ms)

    return Predictor(name or engine.card.name, predict, engine.card.as_dict())


def topic_predictor(
    find: Callable[[int], Float | None],
    rules: Protocol,
    name: str = 'recorded depth',
    span: Callable[[], str] = lambda: 'none',
) -> Predictor:
    """
    Return the predictions of a recorded depth topic, joined on exact header stamps.

    Depth becomes disparity before it is resized, so that the figures are those of the model that
    published it.

    :param find: stamp in nanoseconds -> [h, w] metres, NaN = invalid, or None
    :param span: says which stamps the topic had
    :raises ConfigError: a switch that only a model can have
    """
    for switch, on in (('flip', rules.flip), ('baseline', rules.known_baseline)):
        if on:
            msg = (
                f'expected a model for the switch {switch}, found a recorded depth topic; leave '
                'the switch out, or name a model'
            )
            raise ConfigError(msg)

    def predict(frame: Frame) -> Prediction | None:
        depth = find(frame.stamp_ns)
        if depth is None:
            return None
        # Any baseline does: the way back from disparity to depth takes the same one.
        return Prediction(disparity_from_depth(depth, 1.0, frame.camera.fx_over_width), 1.0)

    def why_none(stamps: Sequence[int]) -> str:
        return (
            f'expected depth of the stamps {describe_stamps(stamps)}, found {span()}; '
            'is the depth recorded from this bag, headers untouched?'
        )

    return Predictor(name, predict, in_turn=True, why_none=why_none)


class StampJoin:
    """
    Finds the message of exactly a stamp in a topic that is read along, never kept as a whole.

    Of several messages with one stamp the first counts. Which stamps there are is looked up
    first, so that no clock that was set, no gap and no missing message leads astray.
    """

    def __init__(self, reader: BagReader, topic: str) -> None:
        """Read which stamps a topic of an open bag has."""
        self._stamps = [found.stamp_ns for found in read_messages(reader.bag, reader, [topic])]
        self._coming = set(self._stamps)
        self._messages = read_messages(reader.bag, reader, [topic])
        self._kept: dict[int, Stamped] = {}

    def find(self, stamp_ns: int) -> Stamped | None:
        """Return the message of this stamp, or None; each message once."""
        while stamp_ns in self._coming:
            found = next(self._messages, None)
            if found is None:
                break
            if found.stamp_ns not in self._coming:
                continue
            self._coming.remove(found.stamp_ns)
            if found.stamp_ns == stamp_ns:
                return found
            self._kept[found.stamp_ns] = found
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept.pop(stamp_ns, None)

    def span(self) -> str:
        """Say which stamps there are."""
        return describe_stamps(self._stamps)


class _Topic:
    """A depth topic that is opened when the first frame asks, by the thread that asks."""

    def __init__(self, bag: Path, topic: str) -> None:
        self._bag = bag
        self._topic = topic
        self._stack = ExitStack()
        self._opened: tuple[BagReader, StampJoin] | None = None

    def find(self, stamp_ns: int) -> Float | None:
        reader, join = self._opened = self._opened or self._open()
        found = join.find(stamp_ns)
        return None if found is None else decode(reader, found, message_to_depth)

    def _open(self) -> tuple[BagReader, StampJoin]:
        reader = self._stack.enter_context(open_bag(self._bag))
        _check_topic(self._bag, self._topic, topics_by_type(reader))
        return reader, StampJoin(reader, self._topic)

    def span(self) -> str:
        if self._opened is None:
            return 'none'
        reader, join = self._opened
        broken = next((f', {damage.reason}' for damage in reader.damages), '')
        return f'{join.span()}{broken}'

    def close(self) -> None:
        self._stack.close()


def recorded_predictor(bag: Path, topic: str, rules: Protocol) -> Predictor:
    """
    Return the predictions of a recorded depth topic, which is read along with the frames.

    :param topic: 32FC1 metres or 16UC1 millimetres; a bag that is missing or damaged, or has no
        such topic, is a BagError at the first frame
    """
    found = _Topic(bag, topic)
    predictor = topic_predictor(found.find, rules, topic, found.span)
    return replace(predictor, close=found.close)


def describe_stamps(stamps: Sequence[int]) -> str:
    """Say which stamps there are in a few words."""
    return f'{stamps[0]}..{stamps[-1]} ({len(stamps)})' if stamps else 'none'


def _check_topic(bag: Path, topic: str, types: Mapping[str, str]) -> None:
    """Refuse a topic that is not there or holds no images."""
    if types.get(topic) in (RAW, COMPRESSED):
        return
    images = [name for name, kind in types.items() if kind in (RAW, COMPRESSED)]
    topics = f'image topics {", ".join(images) or "none"}'
    what = f'{types[topic]} on it' if topic in types else topics
    msg = f'{bag}: expected depth images on {topic}, found {what}'
    raise BagError(msg)
