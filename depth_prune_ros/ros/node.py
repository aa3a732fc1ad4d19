"""The depth node: lifecycle, parameters and topics; the work itself is the processor's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time
from typing import Any

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.engine import sha256_of
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import DepthPruneError
from depth_prune_ros.core.models import model_file
from depth_prune_ros.ros.calibration import Calibration
from depth_prune_ros.ros.diagnostics import model_values
from depth_prune_ros.ros.diagnostics import Statistics
from depth_prune_ros.ros.inputs import IMAGE_TYPES
from depth_prune_ros.ros.outputs import Outputs
from depth_prune_ros.ros.parameters import declare_parameters
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.parameters import read_parameters
from depth_prune_ros.ros.processor import Processor
from depth_prune_ros.ros.quality import incompatible
from depth_prune_ros.ros.quality import input_options
from depth_prune_ros.ros.quality import input_profile
from depth_prune_ros.ros.quality import other_type
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
import numpy as np
from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

NODE_NAME = 'depth_node'
DIAGNOSTICS_PERIOD_S = 1.0

ChangeState_ = Callable[[ChangeState.Request, ChangeState.Response], ChangeState.Response]
Success = TransitionCallbackReturn.SUCCESS
Failure = TransitionCallbackReturn.FAILURE


class DepthNode(LifecycleNode):
    """
    Lifecycle node: `image` and `camera_info` in; depth, camera_info, points, preview out.

    Configuring loads, checks and warms up the model; being active means subscriptions and a
    thread that always takes the newest image. No subscriber, no work. A transition that cannot
    be made says why, in the log and on /diagnostics, and leaves the node where it was.
    """

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; takes the keyword options of rclpy's Node."""
        super().__init__(NODE_NAME, **options)
        self._processor: Processor | None = None
        self._camera: Calibration | None = None
        self._settings = DepthParameters()
        self._faults = declare_parameters(self, lambda: self._processor is not None)
        self.add_post_set_parameters_callback(self._take_parameters)
        self._service_change_state.callback = self._refusing(self._service_change_state.callback)
        self._engine: DepthEngine | None = None
        self._loaded: tuple[Any, ...] = ()
        self._inputs: list[Subscription] = []
        self._outputs: Outputs | None = None
        self._statistics = Statistics()
        self._refusal = ''
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._reported_s = time.monotonic()
        # Simulated time stands still between bags; a node that lives still says so.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._report, clock=steady)

    def _refusing(self, change: ChangeState_) -> ChangeState_:
        """Answer no to a transition that the state does not allow; rclpy's own would raise."""

        def answer(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            try:
                return change(request, response)
            except RCLError as error:
                asked = request.transition
                self.get_logger().warning(
                    f'transition {asked.label or asked.id} refused: {str(error).splitlines()[0]}'
                )
                response.success = False
                return response

        return answer

    def start(self) -> None:
        """Configure and activate, if the parameter autostart says so; a failure is only logged."""
        if self.get_parameter('autostart').value and self.trigger_configure() == Success:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers."""
        if not self._attempt(self._configure):
            self._release()
            return Failure
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model if another is named or the file changed, start the thread, listen."""
        if not self._attempt(self._activate):
            self._stop()
            return Failure
        return super().on_activate(state)

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

    def _attempt(self, step: Callable[[], None]) -> bool:
        """Do a part of a transition; a failure is said, never raised."""
        self._refusal = ''
        try:
            step()
        except Exception as error:  # rclpy's and rcl's errors share no base, and none may kill
            kind = '' if isinstance(error, DepthPruneError) else f'{type(error).__name__}: '
            self._refusal = ' '.join(f'{kind}{error}'.split())
            self._statistics.last_error = self._refusal
            self.get_logger().error(self._refusal)
        return not self._refusal

    def _configure(self) -> None:
        if self._faults:
            raise ConfigError('; '.join(self._faults.values()))
        self._settings = read_parameters(self)
        self._load()
        self._outputs = Outputs(self, self._mismatch)

    def _activate(self) -> None:
        self._settings = read_parameters(self)
        self._load()
        if self._engine is None or self._outputs is None:
            msg = 'expected a configured node, found none; configure it first'
            raise ConfigError(msg)
        processor = Processor(
            self._engine, self._outputs, self._statistics, self.get_clock(), self.get_logger()
        )
        processor.settings, processor.camera = self._settings, self._camera
        self._processor = processor
        kind = IMAGE_TYPES[self._settings.image_transport]
        self._subscribe(CameraInfo, 'camera_info', processor.take_camera_info)
        self._subscribe(kind, 'image', processor.take_image)
        self.get_logger().info(f'active: {self._inputs[1].topic_name} -> depth')

    def _load(self) -> None:
        """Load the model the parameters name, unless it is the one at hand, and the same file."""
        path = model_file(Path(self._settings.model))
        if self._loaded == (*self._settings.of_the_model, sha256_of(path)):
            return
        engine = load_engine(path, self._settings)
        self._engine, self._loaded = engine, (*self._settings.of_the_model, engine.sha256)
        for provider, reason in engine.left_out.items():
            self.get_logger().warning(f'provider auto leaves out {provider}: {reason}')
        card = engine.card
        self.get_logger().info(
            f'{card.name}: {card.parameters} parameters, {card.input_width}x{card.input_height}, '
            f'{engine.provider}, sha256 {engine.sha256[:12]}'
        )

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        options = input_options(topic, self._mismatch)
        subscription = self.create_subscription(kind, topic, callback, input_profile(), **options)
        self._inputs.append(subscription)

    def _stop(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._processor is not None:
            self._processor.stop()
            self._camera = self._processor.camera
        self._processor = None

    def _release(self) -> None:
        self._stop()
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = None
        self._camera = None
        self._engine = None
        self._loaded = ()

    def _take_parameters(self, changes: list[Parameter]) -> None:
        """Let changed parameters count from the next image on."""
        for change in changes:
            self._faults.pop(change.name, None)
        if self._processor is not None:
            self._settings = read_parameters(self)
            self._processor.settings = self._settings

    def _mismatch(self, topic: str, policy: str) -> None:
        if self._statistics.mismatch(topic, policy):
            self.get_logger().warning(
                f'{self.resolve_topic_name(topic)}: expected a partner with a compatible QoS, '
                f'found one whose {policy} is not; set qos_overrides for the topic, or change the '
                'partner'
            )

    def _of_another_type(self) -> str:
        """Say what a camera publishes where it is another type than the node takes; '' else."""
        taken = IMAGE_TYPES[self._settings.image_transport]
        found = other_type(self, 'image', taken) if self._processor is not None else ''
        if not found:
            return ''
        text = (
            f'{self.resolve_topic_name("image")}: expected sensor_msgs/msg/{taken.__name__}, '
            f'found {found}; start with another image_transport, or name another topic'
        )
        self.get_logger().warning(text, once=True)
        return f': {text}'

    def _report(self) -> None:
        """Say on /diagnostics how the node does."""
        now_s = time.monotonic()
        status = self._statistics.status(
            now_s - self._reported_s,
            lambda topic: self.resolve_topic_name(topic) if incompatible(self, topic) else '',
            f'no images{self._of_another_type()}',
        )
        self._reported_s = now_s
        status.name = f'{self.get_fully_qualified_name().lstrip("/")}: depth'
        if self._processor is None:
            status.level, status.message = DiagnosticStatus.OK, 'not active'
        if self._refusal:
            status.level, status.message = DiagnosticStatus.ERROR, self._refusal
        if self._engine is not None:
            card = self._engine.card
            status.hardware_id = card.name
            shown = model_values(card.name, self._engine.sha256, self._engine.provider)
            status.values = [*shown, *status.values]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def load_engine(path: Path, parameters: DepthParameters) -> DepthEngine:
    """
    Load a model as the parameters say and run it once, so that the first image is not slow.

    :raises ModelError: as DepthEngine.load
    :raises ConfigError: as DepthEngine.load
    """
    engine = DepthEngine.load(
        path,
        threads=parameters.threads,
        sha256=parameters.model_sha256.strip(),
        provider=parameters.provider,
    )
    engine.run(np.zeros((engine.card.input_height, engine.card.input_width, 3), np.uint8))
    return engine
