"""The topics of a bag that a camera, a stereo matcher or a lidar publishes, in a few values."""

from __future__ import annotations

from dataclasses import dataclass

from depth_prune_ros.bags.topic_names import names_depth
from depth_prune_ros.bags.topic_names import predicts
from depth_prune_ros.core.camera import Intrinsics

# Before the format of a compressed image.
COMPRESSED_AS = 'compressed, '
_DEPTH_ENCODINGS = ('32FC1', '16UC1')


@dataclass(frozen=True)
class Stream:
    """
    A topic and its first message.

    :param rate_hz: messages over the bag's duration; 0 where there is one message
    :param frame_id: frame of its first header
    """

    topic: str
    messages: int
    rate_hz: float
    frame_id: str


@dataclass(frozen=True)
class Camera(Stream):
    """
    A camera, or a depth image.

    :param size: width and height, pixels; zeros where an image does not decode
    :param encoding: of a raw image; format of a compressed one, behind COMPRESSED_AS
    :param info_topic: its camera_info, if there is one
    :param intrinsics: None without camera_info or calibration
    :param distortion: model and largest coefficient, '' where all are 0 or nothing is known
    :param tx: P[0, 3], pixels of its images times metres
    """

    size: tuple[int, int]
    encoding: str
    info_topic: str | None = None
    intrinsics: Intrinsics | None = None
    distortion: str = ''
    tx: float = 0.0

    @property
    def is_depth(self) -> bool:
        """Tell whether its images are depth."""
        return self.encoding in _DEPTH_ENCODINGS or names_depth(self.topic)

    @property
    def measures_depth(self) -> bool:
        """Tell whether its images are metric depth that no network of ours predicted."""
        encoding = self.encoding.removeprefix(COMPRESSED_AS).partition(';')[0]
        metric = encoding in _DEPTH_ENCODINGS and 'disparity' not in self.topic.lower()
        return metric and not predicts(self.topic, self.info_topic)


@dataclass(frozen=True)
class Disparity(Stream):
    """
    Disparity of a stereo matcher, stereo_msgs/DisparityImage.

    :param size: width and height, pixels
    :param focal_px: focal length that it belongs to
    :param baseline_m: distance of the two cameras
    """

    size: tuple[int, int]
    focal_px: float
    baseline_m: float


@dataclass(frozen=True)
class Cloud(Stream):
    """
    A lidar, or another source of points.

    :param points: in the first message
    :param chain: frames from its own to the camera's, or None where nothing connects them
    """

    points: int
    chain: tuple[str, ...] | None = None
