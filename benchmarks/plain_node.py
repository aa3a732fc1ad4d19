"""A depth node as a user would write it: a queue of 10, everything in the callback."""

from __future__ import annotations

from contextlib import suppress
import json
import time

from depth_prune_ros.core.models import shipped_model
import numpy as np
import onnxruntime
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image


class PlainNode(Node):
    """Subscribe, run, publish."""

    def __init__(self) -> None:
        """Load the shipped model."""
        super().__init__('plain_node')
        self.session = onnxruntime.InferenceSession(
            str(shipped_model()), providers=['CPUExecutionProvider']
        )
        self.name = self.session.get_inputs()[0].name
        self.height, self.width = self.session.get_inputs()[0].shape[1:3]
        self.times: list[dict[str, float]] = []
        self.publisher = self.create_publisher(Image, '/depth_node/depth', 10)
        self.create_subscription(Image, '/image', self.on_image, 10)
        self.get_logger().info('active: plain')

    def on_image(self, message: Image) -> None:
        """Turn an image into depth."""
        start = time.perf_counter()
        stamp = message.header.stamp
        age_s = time.time() - stamp.sec - stamp.nanosec * 1e-9
        image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        rows = np.linspace(0, message.height - 1, self.height).astype(int)
        columns = np.linspace(0, message.width - 1, self.width).astype(int)
        fitted = image[rows][:, columns]
        begin = time.perf_counter()
        disparity = self.session.run(None, {self.name: fitted[None]})[0][0]
        inference_s = time.perf_counter() - begin
        depth = (0.5 * 0.58 / np.maximum(disparity, 1e-6)).astype(np.float32)
        answer = Image(header=message.header, encoding='32FC1')
        answer.height, answer.width, answer.step = *depth.shape, 4 * depth.shape[1]
        answer.data = depth.tobytes()
        self.publisher.publish(answer)
        own_s = time.perf_counter() - start - inference_s
        self.times.append({'age': age_s, 'inference': inference_s, 'own work': own_s})


def main() -> None:
    """Spin until interrupted, then print the medians."""
    rclpy.init()
    node = PlainNode()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    found = {
        f'{name} p{percent} (ms)': 1e3
        * float(np.percentile([t[name] for t in node.times], percent))
        for name in ('age', 'inference', 'own work')
        for percent in (50, 99)
        if node.times
    }
    print('RESULT ' + json.dumps(found), flush=True)


if __name__ == '__main__':
    main()
