"""The depth node: ROS on the outside, core.engine on the inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from typing import TypeAlias

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import CameraError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.core.images import compressed_to_rgb
from depth_prune_ros.core.images import image_to_rgb
from depth_prune_ros.core.models import default_model
from depth_prune_ros.ros.mailbox import Worker
from depth_prune_ros.ros.messages import camera_info_message
from depth_prune_ros.ros.messages import depth_message
from depth_prune_ros.ros.messages import intrinsics_of
from depth_prune_ros.ros.messages import limit_depth
from depth_prune_ros.ros.parameters import declare_parameters
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.parameters import read_parameters
import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecyclePublisher
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.qos import QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

NODE_NAME = 'depth_node'
IMAGE_TYPES: dict[str, type] = {'raw': Image, 'compressed': CompressedImage}
LOG_PERIOD_S = 5.0

Frame: TypeAlias = 'Image | CompressedImage'
Success = TransitionCallbackReturn.SUCCESS


class DepthNode(LifecycleNode):
    """
    Lifecycle node: `image` and `camera_info` in, `~/depth` and `~/camera_info` out.

    Configuring loads, checks and warms up the model; being active means subscriptions and a
    worker thread that always takes the newest image. No subscriber, no work.
    """

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; takes the keyword options of rclpy's Node."""
        super().__init__(NODE_NAME, **options)
        declare_parameters(self)
        self._settings = DepthParameters()
        self._engine: DepthEngine | None = None
        self._worker: Worker[Frame] | None = None
        self._inputs: list[Subscription] = []
        self._outputs: list[LifecyclePublisher] = []
        self._info: CameraInfo | None = None
        self._warned_no_info = False

    def start(self) -> None:
        """Configure and activate, if the parameter autostart says so; a failure is only logged."""
        if self.get_parameter('autostart').value and self.trigger_configure() == Success:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers; the reason of a failure is logged."""
        try:
            self._settings = read_parameters(self)
            self._engine = load_engine(self._settings)
        except DepthPruneError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        overrides = QoSOverridingOptions.with_default_policies()
        for kind, topic in ((Image, '~/depth'), (CameraInfo, '~/camera_info')):
            publisher = self.create_lifecycle_publisher(
                kind, topic, QoSProfile(depth=1), qos_overriding_options=overrides
            )
            self._outputs.append(publisher)
        card = self._engine.card
        self.get_logger().info(
            f'{card.name}: {card.parameters} parameters, {card.input_width}x{card.input_height}, '
            f'{self._engine.provider}, sha256 {self._engine.sha256[:12]}'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker thread, then listen."""
        done = super().on_activate(state)
        self._warned_no_info = False
        self._worker = Worker(self._process, self._log_failure)
        image_type = IMAGE_TYPES[self._settings.image_transport]
        self._inputs = [
            self._subscribe(CameraInfo, 'camera_info', self._on_camera_info),
            self._subscribe(image_type, 'image', self._on_image),
        ]
        self.get_logger().info(f'active: {self._inputs[1].topic_name} -> depth')
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and working; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from whatever state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an exception in another transition."""
        self._release()
        self.get_logger().error('a transition failed unexpectedly; the node is unconfigured')
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Join the worker thread before what it publishes with is gone."""
        self._stop()
        super().destroy_node()

    def _subscribe(self, kind: type, topic: str, callback: Any) -> Subscription:
        return self.create_subscription(
            kind,
            topic,
            callback,
            QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _stop(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._worker is not None:
            self._worker.stop()
        self._worker = None

    def _release(self) -> None:
        self._stop()
        for publisher in self._outputs:
            self.destroy_lifecycle_publisher(publisher)
        self._outputs = []
        self._engine = None
        self._info = None

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_image(self, message: Frame) -> None:
        wanted = any(publisher.get_subscription_count() for publisher in self._outputs)
        if wanted and self._worker is not None:
            self._worker.put(message)

    def _process(self, message: Frame) -> None:
        """Turn one image into depth and publish it; runs in the worker thread."""
        if self._engine is None:
            return
        info = self._info
        raw = self._settings.image_transport == 'raw'
        image = image_to_rgb(message) if raw else compressed_to_rgb(message)
        depth = self._engine.infer(image, self._fx_over_width(info))
        limits = (self.get_parameter(name).value for name in ('min_depth', 'max_depth'))
        encoding = self._settings.depth_encoding
        depth_out, info_out = self._outputs
        depth_out.publish(depth_message(limit_depth(depth, *limits), message.header, encoding))
        if info is not None:
            height, width = depth.shape
            rescaled = camera_info_message(info, width, height)
            rescaled.header = message.header
            info_out.publish(rescaled)

    def _fx_over_width(self, info: CameraInfo | None) -> float | None:
        """Return the camera's focal length over width; None, the card's, with one warning."""
        reason = 'no camera_info yet'
        if info is not None:
            try:
                return intrinsics_of(info).fx_over_width
            except CameraError as error:
                reason = str(error)
        if not self._warned_no_info:
            self._warned_no_info = True
            self.get_logger().warning(f'{reason}: depth is scaled for the training camera')
        return None

    def _log_failure(self, error: Exception) -> None:
        kind = '' if isinstance(error, DepthPruneError) else f'{type(error).__name__}: '
        text = f'image dropped: {kind}{error}'
        self.get_logger().error(text, throttle_duration_sec=LOG_PERIOD_S)


def load_engine(parameters: DepthParameters) -> DepthEngine:
    """
    Load the model the parameters name and run it once, so that the first image is not slow.

    :raises ModelError: as DepthEngine.load, or no shipped model where none is named
    """
    path = Path(parameters.model) if parameters.model else default_model()
    engine = DepthEngine.load(
        path, threads=parameters.threads, sha256=parameters.model_sha256.strip()
    )
    engine.disparity(_blank(engine))
    return engine


def _blank(engine: DepthEngine) -> NDArray[np.uint8]:
    return np.zeros((engine.card.input_height, engine.card.input_width, 3), np.uint8)
