"""Frames and predictions to look at, logged to rerun (extra "view")."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import os
from pathlib import Path
import socket
import sys
from types import TracebackType
from typing import Any
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from depth_prune_ros.bags.frames import Frame
from depth_prune_ros.core.camera import depth_to_points
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.images import resize_image
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depth_prune_ros.core.engine import DepthEngine

Float = NDArray[np.float32]
OnFrame = Callable[[Frame, Float], None]

APPLICATION = 'depth_prune_ros'
# Metres that the colours of depth span: what is farther looks alike, and near things differ.
DEPTH_RANGE = 0.0, 50.0
# Where the eye is and what it looks at: behind the camera and above it, down the road.
EYE, TARGET = (0.0, -6.0, -10.0), (0.0, 0.0, 15.0)
# How long a viewer on another computer may take to answer.
REACH_S = 10.0
# Where a viewer that is open already listens.
_OPEN = '127.0.0.1', 9876
_SCREENS = 'DISPLAY', 'WAYLAND_DISPLAY', 'WAYLAND_SOCKET'
_NO_SCREEN = 'where there is no screen, name --out, --video or --viewer'


def view_frames(
    frames: Iterable[Frame],
    engine: DepthEngine,
    watchers: Sequence[OnFrame],
    progress: Callable[[int], None] | None = None,
) -> int:
    """
    Predict the depth of every frame and show it.

    :param watchers: each sees every frame with its depth [h, w] in metres
    :param progress: called with the number of frames done
    :return: how many frames there were
    """
    done = 0
    for done, frame in enumerate(frames, start=1):
        camera = frame.camera
        depth = engine.infer(frame.left, camera.fx_over_width, camera.fy_over_height)
        for watcher in watchers:
            watcher(frame, depth)
        if progress is not None:
            progress(done)
    return done


class RerunLog:
    """
    Logs image, depth, cloud and ground truth to rerun: /camera, /network, /cloud, /truth.

    Clouds are in the camera's optical frame: x right, y down, z forward, metres. Timelines are
    `stamp` (the header's) and `frame`.
    """

    def __init__(self, out: Path | None = None, viewer: str = '') -> None:
        """
        Open the viewer; a file is opened with the first frame. A context manager.

        :param out: .rrd file to write or overwrite; None shows the frames live
        :param viewer: URL of a running viewer, which a robot needs; none opens one here
        :raises ModuleNotFoundError: rerun-sdk is not installed
        :raises ConfigError: no viewer answers there, or opens here
        """
        import rerun

        self._rerun: Any = rerun
        self._stream: Any = rerun.RecordingStream(APPLICATION)
        self._out = out
        self._number = 0
        if out is None:
            _reach(self._stream, viewer)
            self._begin()

    def __enter__(self) -> RerunLog:
        """Log frames by calling it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is still waiting; raises ConfigError where that cannot be written."""
        try:
            self._stream.flush()
            self._stream.disconnect()
        except RuntimeError as reason:
            if kind is None:
                raise ConfigError(self._lost(reason)) from reason

    def __call__(self, frame: Frame, depth: Float) -> None:
        """Log one frame and its predicted depth [h, w], metres; raises ConfigError as at exit."""
        try:
            self._log(frame, depth)
        except RuntimeError as reason:
            raise ConfigError(self._lost(reason)) from reason

    def _lost(self, reason: RuntimeError) -> str:
        found = ' '.join(str(reason).split())
        if self._out:
            return f'{self._out}: expected to write frames, found: {found}; free space'
        return f'expected a viewer that stays, found: {found}; {_NO_SCREEN}'

    def _log(self, frame: Frame, depth: Float) -> None:
        rerun, stream = self._rerun, self._stream
        if self._out is not None and self._number == 0:
            self._open_file(self._out)
            self._begin()
        stream.set_time('frame', sequence=self._number)
        stream.set_time('stamp', timestamp=np.datetime64(frame.stamp_ns, 'ns'))
        self._number += 1
        small = frame.camera.scaled(depth.shape[1], depth.shape[0])
        stream.log('camera', self._pinhole(frame.camera))
        stream.log('camera/image', rerun.Image(frame.left))
        stream.log('network', self._pinhole(small))
        stream.log('network/depth', self._depth(depth))
        colours = resize_image(frame.left, small.width, small.height)
        stream.log('cloud', self._points(depth, small, colours))
        if frame.depth is not None:
            stream.log('camera/truth', self._depth(frame.depth))
            stream.log('truth', self._points(frame.depth, frame.camera, None))

    def _open_file(self, out: Path) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._stream.save(out)
        except RuntimeError as error:
            msg = f'{out}: expected a file to write, found: {error}; name another --out'
            raise ConfigError(msg) from error

    def _begin(self) -> None:
        self._stream.send_blueprint(_layout())
        self._stream.log('/', self._rerun.ViewCoordinates.RDF, static=True)

    def _pinhole(self, camera: Intrinsics) -> Any:
        return self._rerun.Pinhole(
            focal_length=[camera.fx, camera.fy],
            principal_point=[camera.cx, camera.cy],
            width=camera.width,
            height=camera.height,
        )

    def _depth(self, depth: Float) -> Any:
        return self._rerun.DepthImage(
            np.nan_to_num(depth),
            meter=1.0,
            depth_range=DEPTH_RANGE,
            colormap=self._rerun.components.Colormap.Turbo,
        )

    def _points(self, depth: Float, camera: Intrinsics, colours: Any) -> Any:
        points = depth_to_points(depth, camera).reshape(-1, 3)
        known = np.isfinite(points).all(axis=1)
        shown = [255, 128, 0] if colours is None else colours.reshape(-1, 3)[known]
        return self._rerun.Points3D(points[known], colors=shown)


def _reach(stream: Any, viewer: str) -> None:
    """Connect, or open a viewer, and wait until it answers: before anything is predicted."""
    try:
        if viewer:
            _knock(viewer)
            stream.connect_grpc(viewer)
        elif _has_no_screen():
            raise RuntimeError(f'no screen: none of {", ".join(_SCREENS)} is set')
        else:
            # rerun looks for its viewer in PATH, where the scripts of a venv may be missing
            own = Path(sys.executable).parent
            os.environ['PATH'] = f'{own}{os.pathsep}{os.environ.get("PATH", os.defpath)}'
            stream.spawn()
        stream.flush(timeout_sec=REACH_S)
    except (RuntimeError, OSError, ValueError) as error:
        found = ' '.join(str(error).split())
        msg = (
            f'--viewer: expected a running rerun viewer at {viewer}, found: {found}; start it '
            'there with: rerun --bind 0.0.0.0'
            if viewer
            else f'expected a viewer to open, found: {found}; {_NO_SCREEN}'
        )
        raise ConfigError(msg) from error


def _knock(viewer: str) -> None:
    """Raise OSError where nobody listens: rerun itself would try again for long."""
    parts = urlsplit(viewer)
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), REACH_S).close()


def _has_no_screen() -> bool:
    """Tell whether no viewer can open here, and none is open."""
    if sys.platform != 'linux' or any(map(os.environ.get, _SCREENS)):
        return False
    with socket.socket() as probe:
        return probe.connect_ex(_OPEN) != 0


def _layout() -> Any:
    """Lay out the viewer: image and depth at the left, the clouds at the right."""
    from rerun import blueprint

    eye = blueprint.EyeControls3D(position=EYE, look_target=TARGET, eye_up=(0.0, -1.0, 0.0))
    images = blueprint.Vertical(
        blueprint.Spatial2DView(origin='/camera', name='image and ground truth'),
        blueprint.Spatial2DView(origin='/network', name='depth of the network'),
    )
    clouds = blueprint.Spatial3DView(
        origin='/', contents=['/cloud', '/truth'], name='clouds', eye_controls=eye
    )
    return blueprint.Blueprint(blueprint.Horizontal(images, clouds), collapse_panels=True)
