"""A partner for the depth node: publishes images to it and waits for its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
import time
from typing import Any

from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.process import NodeProcess
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetState
import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

OUTPUTS = {'depth': Image, 'camera_info': CameraInfo, 'points': PointCloud2, 'preview': Image}
ANSWER_S = 60.0
AGAIN_S = 0.5
FOUND_S = 1.0


@dataclass(frozen=True)
class Answer:
    """What the node published for one image."""

    got: dict[str, Any]

    @property
    def depth(self) -> Any:
        """Return the depth image."""
        return self.got['depth']

    @property
    def info(self) -> Any:
        """Return its camera_info; None where none was waited for."""
        return self.got.get('camera_info')

    @property
    def metres(self) -> NDArray[np.float32]:
        """Depth [H, W] as 32FC1 has it."""
        return np.frombuffer(self.depth.data, np.float32).reshape(
            self.depth.height, self.depth.width
        )


class Graph:
    """One ROS node that plays the camera and the consumer."""

    def __init__(self, node: Node, image_type: type = Image) -> None:
        """Make the publishers and subscriptions."""
        self.node = node
        self.domain_id: int = node.context.get_domain_id()
        self._stamps = count(1)
        self._images = node.create_publisher(image_type, 'image', QoSProfile(depth=1))
        self._infos = node.create_publisher(CameraInfo, 'camera_info', QoSProfile(depth=1))
        self._got: dict[tuple[str, int], Any] = {}
        self._outputs: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self.diagnostics: dict[str, str] = {}
        self.diagnosed = 0
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnosed, 10)

    def listen(self, *names: str) -> None:
        """Subscribe to the node's outputs; depth and camera_info unless others are named."""
        for name in names or ('depth', 'camera_info'):
            self._outputs[name] = self.node.create_subscription(
                OUTPUTS[name], f'depth_node/{name}', self._keeper(name), QoSProfile(depth=10)
            )

    def ignore(self, *names: str) -> None:
        """End subscriptions."""
        for name in names:
            self.node.destroy_subscription(self._outputs.pop(name))

    def wait_for(self, process: NodeProcess) -> None:
        """Wait until both sides have found each other."""
        ready = wait_until(
            lambda: (
                self._images.get_subscription_count() > 0
                and self._infos.get_subscription_count() > 0
                and all(output.get_publisher_count() for output in self._outputs.values())
            ),
            ANSWER_S,
        )
        assert ready, process.log

    def send(self, message: Any, info: CameraInfo | None = None) -> int:
        """Publish an image, after its CameraInfo, with a stamp of its own; return the stamp."""
        stamp = next(self._stamps)
        message.header.stamp.sec = stamp
        if info is not None:
            info.header.stamp.sec = stamp
            self._infos.publish(info)
            time.sleep(0.05)
        self._images.publish(message)
        return stamp

    def ask(self, message: Any, info: CameraInfo | None = None, *parts: str) -> Answer:
        """Publish an image until its answer comes: best effort may lose one."""
        parts = parts or (('depth',) if info is None else ('depth', 'camera_info'))
        sent: list[int] = []
        for _ in range(int(ANSWER_S / AGAIN_S)):
            sent.append(self.send(message, info))
            if wait_until(partial(self._answered, parts, sent), AGAIN_S):
                stamp = next(stamp for stamp in sent if self._answered(parts, [stamp]))
                message.header.stamp.sec = stamp
                return Answer({part: self._got[part, stamp] for part in parts})
        raise AssertionError('the node did not answer')

    def ask_stamped(self, message: Any, stamp: int) -> bool:
        """Publish an image of a stamp until its answer comes."""
        self._got.pop(('depth', stamp), None)
        return self.insist_stamped(
            message, stamp, lambda: None, lambda: self.answered('depth', stamp)
        )

    def insist_stamped(
        self, message: Any, stamp: int, before: Callable[[], None], until: Callable[[], bool]
    ) -> bool:
        """Publish an image of a stamp, each time after something else, until a condition."""
        message.header.stamp.sec = stamp
        for _ in range(int(ANSWER_S / AGAIN_S)):
            before()
            self._images.publish(message)
            if wait_until(until, AGAIN_S):
                return True
        return False

    def ask_quickly(self, message: Any, info: CameraInfo) -> None:
        """Publish an image until its depth comes, without waiting for the calibration."""
        stamp = message.header.stamp.sec = next(self._stamps)
        self._infos.publish(info)
        self._got = {}
        while not self.answered('depth', stamp):
            self._images.publish(message)
            end = time.monotonic() + AGAIN_S
            while not self.answered('depth', stamp) and time.monotonic() < end:
                time.sleep(0.001)

    def send_as_is(
        self, message: Any = None, camera_info_message: CameraInfo | None = None
    ) -> None:
        """Publish as fast as it goes, with a stamp nobody waits for."""
        if camera_info_message is not None:
            self._infos.publish(camera_info_message)
        if message is not None:
            message.header.stamp.sec = -1
            self._images.publish(message)

    def forget(self) -> None:
        """Forget all answers."""
        self._got = {}

    def answered(self, part: str, stamp: int) -> bool:
        """Tell whether a part of the answer to a stamp has come."""
        return (part, stamp) in self._got

    def answer(self, stamp: int) -> Answer:
        """Return the last answer to a stamp."""
        return Answer({'depth': self._got['depth', stamp]})

    def insist(self, message: Any, until: Callable[[], bool]) -> bool:
        """Publish an image until a condition holds."""
        return any(self._heard(message, until) for _ in range(int(ANSWER_S / AGAIN_S)))

    def state(self) -> str:
        """Return the node's lifecycle state."""
        return str(self._call(GetState, 'get_state', GetState.Request()).current_state.label)

    def change(self, transition: int) -> bool:
        """Ask for a lifecycle transition."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._call(ChangeState, 'change_state', request).success)

    def change_parameters(self, **values: Any) -> str:
        """Set parameters at once; return why not, empty where it worked."""
        new = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=new)
        result = self._call(SetParametersAtomically, 'set_parameters_atomically', request).result
        assert result.successful == (not result.reason)
        return str(result.reason)

    def parameters(self, *names: str) -> list[Any]:
        """Return the values of parameters."""
        request = GetParameters.Request(names=list(names))
        found = self._call(GetParameters, 'get_parameters', request).values
        return [parameter_value_to_python(value) for value in found]

    def _answered(self, parts: tuple[str, ...], stamps: list[int]) -> bool:
        return any(all((part, stamp) in self._got for part in parts) for stamp in stamps)

    def _heard(self, message: Any, until: Callable[[], bool]) -> bool:
        self.send(message)
        return wait_until(until, AGAIN_S)

    def _call(self, kind: type, name: str, request: Any) -> Any:
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, f'depth_node/{name}')
            assert wait_until(self._clients[name].service_is_ready, ANSWER_S)
            # This side knows the server; its answer is lost while it does not know this side.
            time.sleep(FOUND_S)
        client = self._clients[name]
        assert wait_until(client.service_is_ready, ANSWER_S)
        answer = client.call_async(request)
        assert wait_until(answer.done, ANSWER_S)
        return answer.result()

    def next_diagnostics(self) -> None:
        """Wait for diagnostics that begin after this call."""
        for _ in range(2):
            self.diagnostics = {}
            assert wait_until(lambda: bool(self.diagnostics), ANSWER_S)

    def _diagnosed(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        self.diagnosed += 1
        found = {value.key: value.value for value in status.values}
        self.diagnostics = {
            **found,
            'level': str(ord(status.level)),
            'message': status.message,
            'name': status.name,
            'hardware_id': status.hardware_id,
        }

    def _keeper(self, name: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            self._got[name, message.header.stamp.sec] = message

        return keep


def image_message(
    pixels: NDArray[np.uint8], encoding: str = 'rgb8', padding: int = 0, frame_id: str = 'cam'
) -> Image:
    """Make an image message of RGB pixels, with bytes of rubbish at the end of each row."""
    shown = pixels[..., ::-1] if encoding == 'bgr8' else pixels
    height, width, channels = shown.shape
    rows = np.full((height, width * channels + padding), 255, np.uint8)
    rows[:, : width * channels] = shown.reshape(height, -1)
    message = Image(encoding=encoding, height=height, width=width, step=rows.shape[1])
    message.header.frame_id = frame_id
    message.data = rows.tobytes()
    return message


def camera_info(
    width: int, height: int, fx: float, *, fy: float = 0, raw_fx: float = 0, turn: float = 0
) -> CameraInfo:
    """
    Make the calibration of a camera whose P has a translation (a right camera).

    :param fy: 0 makes square pixels
    :param raw_fx: K's fx; 0 makes K P's
    :param turn: radians about y, from the raw to the rectified camera
    """
    fy, raw_fx = fy or fx, raw_fx or fx
    cos, sin = np.cos(turn), np.sin(turn)
    info = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
    cx, cy = width / 2 - 1.0, height / 2 + 2.0
    info.k = [raw_fx, 0.0, cx, 0.0, raw_fx * fy / fx, cy, 0.0, 0.0, 1.0]
    info.r = [cos, 0.0, sin, 0.0, 1.0, 0.0, -sin, 0.0, cos]
    info.p = [fx, 0.0, cx, -3.0 * fx, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.d = [0.1, 0.2, 0.3, 0.4, 0.5]
    info.header.frame_id = 'cam'
    return info


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Make an image that no flip, shift or channel swap leaves as it is."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
