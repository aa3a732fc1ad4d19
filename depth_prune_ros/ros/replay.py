"""Replay a bag through the real node: its own process, real topics, a new bag with the depth."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
import json
from pathlib import Path
import threading
import time

from depth_prune_ros.bags.reading import open_bag
from depth_prune_ros.bags.topics import find_topics
from depth_prune_ros.bags.topics import Topics
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.errors import ReplayError
from depth_prune_ros.core.models import parameter_text
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import spinning
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.play import ONCE
from depth_prune_ros.ros.play import Playback
from depth_prune_ros.ros.play import Player
from depth_prune_ros.ros.play import PlayReport
from depth_prune_ros.ros.play import recorded_quality
from depth_prune_ros.ros.play import SETTLE_S
from depth_prune_ros.ros.process import NodeProcess
from depth_prune_ros.ros.record import Recorder
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSReliabilityPolicy
from rclpy.task import Future
from rosbags.interfaces import Connection

IMAGE, CAMERA_INFO = '/image', '/camera_info'
DEPTH_TOPIC = '/depth_node/depth'
INFO_TOPIC = '/depth_node/camera_info'
OUTPUTS = {DEPTH_TOPIC: 'sensor_msgs/msg/Image', INFO_TOPIC: 'sensor_msgs/msg/CameraInfo'}
NOTE_KEY = 'depth_prune_ros.replay'
READY_TIMEOUT_S = 60.0
ASK_AGAIN_S = 3.0
DRAIN_TIMEOUT_S = 30.0
# An answer that is later than this and ten times the latest before it does not come.
DRAIN_S = 5.0
WATCH_S = 0.5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ReplayReport:
    """
    What went into the node and what came out.

    :param frames_in: images played, in all loops
    :param frames_out: images of the last loop whose depth is recorded; fewer than it has where
        the node was slower than the camera
    :param latency_ms: p50 and p99 from publishing one of these to receiving its depth
    :param depth_topic: the recorded depth, in out_bag
    :param info_topic: its camera_info, in out_bag
    :param out_bag: the new bag; its custom_data has this report and every frame's latency
    """

    frames_in: int
    frames_out: int
    latency_ms: dict[str, float]
    depth_topic: str
    info_topic: str
    out_bag: Path


def replay(
    bag: Path,
    model: Path,
    out_bag: Path,
    *,
    playback: Playback = ONCE,
    domain_id: int | None = None,
    progress: Progress | None = None,
) -> ReplayReport:
    """
    Play a bag's left camera to a depth node in another process and record what it publishes.

    Of several loops the last one is recorded: a bag that has each stamp once.

    :param bag: anything rosbags reads
    :param model: the model file the node loads
    :param out_bag: the bag to be made; appears only when everything went well
    :param domain_id: ROS domain; None takes a free one
    :param progress: called with messages done and in total
    :raises BagError: the bag cannot be read or has no camera, or out_bag exists
    :raises ReplayError: the node did not get ready, died, sent nothing or did not end cleanly
    """
    topics = find_topics(bag)
    domain_id = free_domain() if domain_id is None else domain_id
    with ExitStack() as stack:
        sink = stack.enter_context(BagWriter(out_bag))
        reader = stack.enter_context(open_bag(bag))
        names = _names(topics)
        played = list(names)
        connections = {c.topic: c for c in reader.connections if c.topic in played}
        arguments = _node_arguments(model, connections[topics.left])
        if playback.clock:
            arguments += ['-p', 'use_sim_time:=true']
        process = stack.enter_context(NodeProcess(arguments, domain_id))
        context = stack.enter_context(ros_context(domain_id))
        node = rclpy.create_node('depth_prune_replay', context=context)
        player = Player(node, reader, played, names)
        recorder = Recorder(node, OUTPUTS, sink, partial(player.in_last_loop, topics.left))
        with spinning(node):
            _wait_until_active(node, process)
            _wait_for_topics(process, lambda: recorder.matched() and player.matched(played))
            time.sleep(SETTLE_S)
            with _ended_with(process) as stop:
                report = player.play(playback, stop, _watch(process, recorder, progress))
            _drain(process, recorder, report.published_ns[topics.left], bool(topics.left_info))
        recorder.close()
        _require_written(recorder)
        code = process.stop()
        _require(code == 0, process, f'exit code 0 after SIGINT (it was {code})')
        return _report(recorder, report, topics.left, sink, out_bag)


def _names(topics: Topics) -> dict[str, str]:
    """Return the node's own names of a camera's: ROS 1 allows some that ROS 2 does not."""
    names = {topics.left: IMAGE, topics.left_info: CAMERA_INFO}
    return {topic: name for topic, name in names.items() if topic}


def _node_arguments(model: Path, image: Connection) -> list[str]:
    """Make the node's ROS arguments."""
    compressed = image.msgtype.endswith('CompressedImage')
    parameters = {
        'model': parameter_text(model.resolve()),
        'image_transport': 'compressed' if compressed else 'raw',
        # Evaluation resizes what is published, and a hole beside a far pixel pulls that one away:
        # RMSE is off by millimetres with the default of 80 m. The protocol has its own range.
        'min_depth': '0.0',
        'max_depth': '1000.0',
    }
    if recorded_quality(image).reliability == QoSReliabilityPolicy.RELIABLE:
        # Best effort loses images larger than the shared memory segment of Fast DDS (512 KB);
        # here every frame of the bag counts.
        parameters[f'qos_overrides.{IMAGE}.subscription.reliability'] = 'reliable'
    return [arg for k, v in parameters.items() for arg in ('-p', f'{k}:={v}')]


def _require(condition: bool, process: NodeProcess, expected: str) -> None:
    if not condition:
        msg = f'depth node: expected {expected}; it says: {process.complaint}'
        raise ReplayError(msg)


def _wait_until_active(node: Node, process: NodeProcess) -> None:
    """
    Ask the node for its lifecycle state until it answers.

    It starts itself before it answers anything, so any state but active means that it could not.
    """
    client = node.create_client(GetState, '/depth_node/get_state')
    wait_until(lambda: client.service_is_ready() or not process.running, READY_TIMEOUT_S)
    _require(process.running and client.service_is_ready(), process, 'it to start')
    # an answer is lost where it comes before the two sides have found each other
    asked: list[Future] = []
    while len(asked) < READY_TIMEOUT_S / ASK_AGAIN_S:
        asked.append(client.call_async(GetState.Request()))
        if wait_until(lambda: any(a.done() for a in asked) or not process.running, ASK_AGAIN_S):
            break
    answers = [answer.result() for answer in asked if answer.done()]
    _require(process.running and bool(answers), process, 'its lifecycle state')
    state = answers[0].current_state
    _require(state.id == State.PRIMARY_STATE_ACTIVE, process, f'it active, found {state.label}')


def _wait_for_topics(process: NodeProcess, matched: Callable[[], bool]) -> None:
    wait_until(lambda: matched() or not process.running, READY_TIMEOUT_S)
    _require(process.running and matched(), process, 'its topics to be found')


def _require_written(recorder: Recorder) -> None:
    if recorder.failure is not None:
        raise recorder.failure


def _watch(process: NodeProcess, recorder: Recorder, progress: Progress | None) -> Progress:
    """Pass progress on, and give up as soon as the node is gone or the disk is full."""

    def step(done: int, total: int) -> None:
        _require_written(recorder)
        _require(process.running, process, 'it to live through the bag')
        if progress is not None:
            progress(done, total)

    return step


@contextmanager
def _ended_with(process: NodeProcess) -> Iterator[threading.Event]:
    """Give an event that is set when the node is gone, which a pause in the bag may hide."""
    over, stop = threading.Event(), threading.Event()

    def look() -> None:
        while process.running:
            if over.wait(WATCH_S):
                return
        stop.set()

    thread = threading.Thread(target=look, name='node_watch', daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        over.set()
        thread.join()


def _drain(
    process: NodeProcess, recorder: Recorder, published_ns: dict[int, int], with_info: bool
) -> None:
    """Wait for the outputs of the last image: the newest always gets its turn."""
    last_ns = max(published_ns, key=lambda stamp_ns: published_ns[stamp_ns], default=0)
    expected = OUTPUTS if with_info else [DEPTH_TOPIC]
    answers = [recorder.received_ns[topic] for topic in expected]
    # an earlier loop had images of the same stamps
    since_ns = published_ns.get(last_ns, 0)
    slowest_s = max(recorder.latency_s(DEPTH_TOPIC, published_ns).values(), default=np.inf)
    wait_until(
        lambda: not process.running or all(a.get(last_ns, -1) >= since_ns for a in answers),
        min(DRAIN_S + 10 * slowest_s, DRAIN_TIMEOUT_S),
    )
    _require(process.running, process, 'it to live through the bag')


def _report(
    recorder: Recorder, played: PlayReport, image: str, sink: BagWriter, out_bag: Path
) -> ReplayReport:
    """Sum up, and leave the sum in the bag."""
    latency_s = recorder.latency_s(DEPTH_TOPIC, played.published_ns[image])
    if not latency_s:
        msg = f'depth node: expected depth for {played.messages[image]} images, found none'
        raise ReplayError(msg)
    p50, p99 = np.percentile(1e3 * np.array(list(latency_s.values())), [50, 99])
    report = ReplayReport(
        frames_in=played.messages[image],
        frames_out=len(latency_s),
        latency_ms={'p50': round(float(p50), 3), 'p99': round(float(p99), 3)},
        depth_topic=DEPTH_TOPIC,
        info_topic=INFO_TOPIC,
        out_bag=out_bag,
    )
    note = {
        'frames_in': report.frames_in,
        'frames_out': report.frames_out,
        'latency_ms': report.latency_ms,
        'latency_s': latency_s,
    }
    sink.note(NOTE_KEY, json.dumps(note))
    return report
