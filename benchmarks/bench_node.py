"""
What the node costs beside the network's run, over DDS, beside a plain node in the same run.

Run by ``make bench-node``. A camera (1242x375 rgb8, 10 and 30 Hz) and a consumer in this process,
the node in its own; with Fast DDS's default transport and with LARGE_DATA for the whole graph,
which takes effect only where discovery is not limited to this computer. Images are taken
reliably. Medians of several rounds, in milliseconds.

latency   from publishing the image to receiving its depth
above     the latency minus the network's run, each at the same percentile
own work  of the node: from the callback to the last publish, without the network's run and
          without waiting for the image before to be done
age       of the image when the work on it starts
cpu       time of all the node's threads on the processors, a second
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

ROUNDS, SECONDS = 3, 15.0
WIDTH, HEIGHT = 1242, 375
WARM_UP = 10
LARGE_DATA = 'LARGE_DATA?max_msg_size=4MB&sockets_size=4MB&non_blocking=true'
# Reliable as the plain node, so that both get every image.
NODE = [
    *('-m', 'depth_prune_ros.ros.depth_node', '--ros-args', '-p'),
    'qos_overrides./image.subscription.reliability:=reliable',
]
PLAIN = Path(__file__).with_name('plain_node.py')
COLUMNS = (
    *('answered', 'latency p50 (ms)', 'latency p99 (ms)'),
    *('inference p50 (ms)', 'inference p99 (ms)', 'above p50 (ms)', 'above p99 (ms)'),
    *('own work p50 (ms)', 'age p50 (ms)', 'age p99 (ms)', 'cpu (ms/s)', 'memory (MB)'),
)


def main() -> None:
    """Run every configuration in a process of its own and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--seconds', type=float, default=SECONDS)
    parser.add_argument('--one', nargs=2, metavar=('NODE', 'RATE'))
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(_measure(asked.one[0], float(asked.one[1]), asked.seconds)))
        return
    print(f'{"":28}' + ''.join(f'{name:>20}' for name in COLUMNS))
    for transport in ('default', 'LARGE_DATA'):
        for rate in (10.0, 30.0):
            found: dict[str, list[dict[str, float]]] = {'depth_node': [], 'plain': []}
            for _ in range(asked.rounds):
                for node, results in found.items():
                    results.append(_in_process(node, rate, asked.seconds, transport))
            for node, results in found.items():
                values = {name: [r.get(name, np.nan) for r in results] for name in COLUMNS}
                shown = ''.join(f'{np.median(values[name]):20.2f}' for name in COLUMNS)
                print(f'{transport:11}{rate:3.0f} Hz {node:11}' + shown, flush=True)


def _in_process(node: str, rate: float, seconds: float, transport: str) -> dict[str, float]:
    """Measure with a transport, which a process has from its start."""
    from depth_prune_ros.ros.context import free_domain
    from depth_prune_ros.ros.context import ros_environment

    environment = {**os.environ, **ros_environment(free_domain())}
    if transport == 'LARGE_DATA':
        environment['FASTDDS_BUILTIN_TRANSPORTS'] = LARGE_DATA
        environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SUBNET'
    command = [sys.executable, __file__, '--seconds', str(seconds), '--one', node, str(rate)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(kind: str, rate: float, seconds: float) -> dict[str, float]:
    """Play the camera and the consumer for a while."""
    from depth_prune_ros.ros.context import ros_context
    from depth_prune_ros.ros.context import spinning
    from depth_prune_ros.ros.context import wait_until
    import rclpy

    command = NODE if kind == 'depth_node' else [str(PLAIN)]
    with tempfile.TemporaryFile() as log, ros_context() as context:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=log, stderr=subprocess.STDOUT
        )
        bench = Bench(rclpy.create_node('bench', context=context))
        with spinning(bench.node):
            assert wait_until(bench.ready, 120.0), 'the node does not start'
            time.sleep(1.0)
            begin_s, before_s = time.monotonic(), _processor_s(process.pid)
            bench.play(rate, seconds)
            used = (_processor_s(process.pid) - before_s) / (time.monotonic() - begin_s)
            time.sleep(1.5)
        status = Path(f'/proc/{process.pid}/status').read_text()
        process.send_signal(signal.SIGINT)
        process.wait()
        log.seek(0)
        printed = [line for line in log.read().decode().splitlines() if 'RESULT ' in line]
    memory_kb = next(int(s.split()[1]) for s in status.splitlines() if s.startswith('VmRSS'))
    own = json.loads(printed[-1].split('RESULT ')[1]) if printed else bench.diagnostics
    found = {**own, **bench.result(), 'memory (MB)': memory_kb / 1024, 'cpu (ms/s)': 1e3 * used}
    for percentile in ('p50 (ms)', 'p99 (ms)'):
        found[f'above {percentile}'] = (
            found[f'latency {percentile}'] - found[f'inference {percentile}']
        )
    return found


def _processor_s(pid: int) -> float:
    """Return the processor time of a process's threads: user and system."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Bench:
    """The camera and the consumer."""

    def __init__(self, node: Any) -> None:
        """Make the publishers and subscriptions."""
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo
        from sensor_msgs.msg import Image

        self.node = node
        self.diagnostics: dict[str, float] = {}
        self._sent: dict[int, float] = {}
        self._latency: dict[int, float] = {}
        self._images = node.create_publisher(Image, '/image', QoSProfile(depth=1))
        self._infos = node.create_publisher(CameraInfo, '/camera_info', QoSProfile(depth=1))
        node.create_subscription(Image, '/depth_node/depth', self._received, QoSProfile(depth=1))
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnosed, 10)
        data = np.random.default_rng(0).integers(0, 256, WIDTH * HEIGHT * 3, np.uint8)
        self._image = Image(encoding='rgb8', width=WIDTH, height=HEIGHT, step=3 * WIDTH)
        self._image.data.frombytes(data.data)
        fx, cx, cy = 721.5, 609.6, 172.9
        self._info = CameraInfo(width=WIDTH, height=HEIGHT)
        self._info.k = [fx, 0.0, cx, 0.0, fx, cy, 0.0, 0.0, 1.0]
        self._info.p = [fx, 0.0, cx, 0.0, 0.0, fx, cy, 0.0, 0.0, 0.0, 1.0, 0.0]

    def ready(self) -> bool:
        """Tell whether the node listens and publishes."""
        return bool(
            self._images.get_subscription_count()
            and self.node.count_publishers('/depth_node/depth')
        )

    def play(self, rate: float, seconds: float) -> None:
        """Publish images at a steady rate."""
        begin = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            now_ns = time.time_ns()
            stamp = self._image.header.stamp
            stamp.sec, stamp.nanosec = divmod(now_ns, 1_000_000_000)
            self._info.header.stamp = stamp
            self._sent[now_ns] = time.perf_counter()
            self._infos.publish(self._info)
            self._images.publish(self._image)

    def result(self) -> dict[str, float]:
        """Return the part of the images that was answered, and how late."""
        late = list(self._latency.values())[WARM_UP:] or [float('nan')]
        return {
            'answered': len(self._latency) / len(self._sent),
            'latency p50 (ms)': 1e3 * float(np.percentile(late, 50)),
            'latency p99 (ms)': 1e3 * float(np.percentile(late, 99)),
        }

    def _received(self, message: Any) -> None:
        now_s = time.perf_counter()
        stamp = message.header.stamp
        sent_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._latency[sent_ns] = now_s - self._sent[sent_ns]

    def _diagnosed(self, message: Any) -> None:
        values = {value.key: value.value for value in message.status[0].values}
        self.diagnostics = {name: float(values[name]) for name in COLUMNS if values.get(name)}


if __name__ == '__main__':
    main()
