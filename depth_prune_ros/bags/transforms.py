"""The fixed transforms of a bag, and what they say between any two frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from depth_prune_ros.bags.reading import Stamped
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
# The transform to a frame, and the frames on the way there, both ends included.
Way = tuple[Matrix, tuple[str, ...]]
TOPIC = '/tf_static'


@dataclass(frozen=True)
class Transform:
    """
    A fixed transform of the robot.

    :param parent: frame that the result is in
    :param child: frame that the points are in
    :param parent_T_child: [4, 4] rigid, takes points of child to parent, metres
    """

    parent: str
    child: str
    parent_T_child: Matrix


class StaticTransforms:
    """
    What /tf_static says over time: the latest message up to a moment counts, edge by edge.

    An edge that is published only later holds from the beginning, since recorders often catch
    the latched message after the first images.
    """

    def __init__(self, messages: Iterable[Stamped]) -> None:
        """Take in all messages of /tf_static, in the order of recording."""
        self._first: dict[str, tuple[str, Matrix]] = {}
        self._times: list[int] = []
        self._edges: list[dict[str, tuple[str, Matrix]]] = []
        self._found: dict[tuple[int, str, str], Way | None] = {}
        for message in messages:
            self._add(message)

    def lookup(self, target: str, source: str, bag_ns: int) -> Matrix | None:
        """
        Return target_T_source [4, 4] as of bag_ns, or None where the frames are not connected.

        :param target: frame that the result is in
        :param source: frame that the points are in
        """
        way = self._way(target, source, bag_ns)
        return None if way is None else way[0]

    def chain(self, target: str, source: str, bag_ns: int) -> tuple[str, ...] | None:
        """Return the frames from source to target, or None where they are not connected."""
        way = self._way(target, source, bag_ns)
        return None if way is None else way[1][::-1]

    def _way(self, target: str, source: str, bag_ns: int) -> Way | None:
        version = sum(time <= bag_ns for time in self._times) - 1
        key = (version, target.lstrip('/'), source.lstrip('/'))
        if key not in self._found:
            self._found[key] = self._search(*key)
        return self._found[key]

    def _add(self, message: Stamped) -> None:
        edges = dict(self._edges[-1]) if self._edges else {}
        changed = False
        for transform in message.message.transforms:
            child = transform.child_frame_id.lstrip('/')
            edge = (transform.header.frame_id.lstrip('/'), _matrix(transform.transform))
            known = edges.get(child)
            if known is None or known[0] != edge[0] or not np.array_equal(known[1], edge[1]):
                edges[child] = edge
                changed = True
                self._first.setdefault(child, edge)
        if changed:
            self._times.append(message.bag_ns)
            self._edges.append(edges)

    def _search(self, version: int, target: str, source: str) -> Way | None:
        """Walk the tree from target, both up and down, until source."""
        edges = {**self._first, **(self._edges[version] if version >= 0 else {})}
        neighbours: dict[str, list[tuple[str, Matrix]]] = {}
        for child, (parent, parent_T_child) in edges.items():
            neighbours.setdefault(parent, []).append((child, parent_T_child))
            neighbours.setdefault(child, []).append((parent, np.linalg.inv(parent_T_child)))
        reached: dict[str, Way] = {target: (np.eye(4), (target,))}
        ahead = deque([target])
        while ahead and source not in reached:
            here = ahead.popleft()
            for frame, here_T_frame in neighbours.get(here, []):
                if frame not in reached:
                    matrix, frames = reached[here]
                    reached[frame] = matrix @ here_T_frame, (*frames, frame)
                    ahead.append(frame)
        return reached.get(source)


def _matrix(transform: Any) -> Matrix:
    """Turn geometry_msgs/Transform into [4, 4]; a quaternion that is not of length 1 is scaled."""
    q, t = transform.rotation, transform.translation
    turn = np.array([q.x, q.y, q.z, q.w])
    # All zeros is what a transform nobody filled in has: no turn.
    x, y, z, w = turn / np.linalg.norm(turn) if turn.any() else (0.0, 0.0, 0.0, 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """
    Turn a rotation matrix [3, 3] into a unit quaternion x, y, z, w.

    The eigenvector of Bar-Itzhack (2000): for a matrix that is a rotation only to the digits of
    a calibration file, the nearest rotation.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.astype(np.float64)
    matrix = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = (float(value) for value in np.linalg.eigh(matrix)[1][:, -1])
    sign = -1.0 if w < 0 else 1.0
    return sign * x, sign * y, sign * z, sign * w
