"""
Milliseconds of an exported network in onnxruntime on this computer, as a whole and by layer.

The layers are timed where they run: onnxruntime's profiler times every operator of the whole
network, so that fused activations, the layout of the neighbours' channels and what is still in
the caches are as they will be.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import tempfile
import time
from typing import Any

from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.core.session import LEVELS
from depth_prune_ros.core.session import session_options
from depth_prune_ros.offline.export import write_graph
from depth_prune_ros.offline.networks.base import DepthNetwork
from depth_prune_ros.offline.networks.prunable import Layer
import numpy as np
import onnx
import onnxruntime as ort

VERSION = str(ort.__version__)
# operators that belong to the convolution after them, not to the one before
_PREPARING = ('Concat', 'Resize', 'MaxPool')
_RUNS = 12
_FEWEST_RUNS = 4
_SECONDS = 0.3
_WARMUPS = 2
# others take the processor now and then: what most runs need is not what the network needs
_QUANTILE = 0.25
_ROUNDS = 3
_KERNEL = '_kernel_time'


@dataclass(frozen=True)
class Timing:
    """
    Milliseconds of one inference at each optimisation level.

    :param whole: of the network
    :param layers: of each convolution with the operators that belong to it, by its name
    """

    whole: tuple[float, ...]
    layers: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Model:
    """
    An exported network to be timed.

    :param owners: operator or tensor of the file -> convolution it belongs to
    """

    path: Path
    threads: int
    owners: Mapping[str, str]


def export_model(network: DepthNetwork, size: tuple[int, int], path: Path, threads: int) -> Model:
    """
    Write a network's graph and find out which operator belongs to which layer.

    :param size: height and width of its image
    :param threads: of one inference; 0 leaves it to onnxruntime
    """
    write_graph(network, size, path)
    return Model(path, threads, _owners(network, onnx.load(path).graph))


def time_model(model: Model) -> Timing:
    """Time a model in one round of runs, as a whole and by layer."""
    whole = tuple(_whole(model, level) for level in LEVELS)
    return Timing(whole, tuple(_by_layer(model, level) for level in LEVELS))


def milliseconds(network: DepthNetwork, size: tuple[int, int], threads: int) -> float:
    """
    Return the milliseconds of one inference as core.engine runs it.

    :param size: height and width of its image
    :param threads: of one inference; 0 leaves it to onnxruntime
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'network.onnx'
        write_graph(network, size, path)
        model = Model(path, threads, {})
        return min(_whole(model, level) for _ in range(_ROUNDS) for level in LEVELS)


def _whole(model: Model, level: ort.GraphOptimizationLevel) -> float:
    # one session at a time: the threads of another one go on turning for a while
    run = _runner(_session(model, level))
    return float(np.quantile(list(_repeat(run)), _QUANTILE)) * 1e3


def _by_layer(model: Model, level: ort.GraphOptimizationLevel) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        session = _session(model, level, Path(folder))
        for _ in _repeat(_runner(session)):
            pass
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [event for event in events if event['name'].endswith(_KERNEL)]
    durations: dict[str, list[float]] = {}
    for kernel in sorted(kernels, key=lambda event: float(event['ts'])):
        name = kernel['name'].removesuffix(_KERNEL)
        durations.setdefault(name, []).append(kernel['dur'] / 1e3)
    found: dict[str, float] = {}
    owner = next(iter(model.owners.values()))
    for name, times in durations.items():
        # changes of layout have no name in the file: they belong where they are done
        owner = model.owners.get(name.removesuffix('_nchwc'), owner)
        found[owner] = found.get(owner, 0.0) + float(np.quantile(times[_WARMUPS:], _QUANTILE))
    return found


def _session(
    model: Model, level: ort.GraphOptimizationLevel, profile: Path | None = None
) -> ort.InferenceSession:
    options = session_options(model.threads, level)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / 'run')
    providers = ['CPUExecutionProvider']
    return ort.InferenceSession(str(model.path), sess_options=options, providers=providers)


def _runner(session: ort.InferenceSession) -> Callable[[], Any]:
    image = session.get_inputs()[0]
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    return lambda: session.run(None, {image.name: noise})


def _repeat(run: Callable[[], Any]) -> Iterator[float]:
    """Yield the seconds of some runs after the warm-ups."""
    for _ in range(_WARMUPS):
        run()
    end = time.perf_counter() + _SECONDS
    for number in range(_RUNS):
        start = time.perf_counter()
        if number >= _FEWEST_RUNS and start > end:
            return
        run()
        yield time.perf_counter() - start


def _owners(network: DepthNetwork, graph: onnx.GraphProto) -> dict[str, str]:
    """Return the convolution that every operator, and every tensor it writes, belongs to."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    layers = list(network.layers)
    owners: dict[str, str] = {}
    waiting: list[str] = []
    owner = ''
    for node in graph.node:
        names = (node.name, *node.output)
        if node.op_type == 'Conv':
            owner = _take(network, layers, shapes[node.input[1]])
            owners |= dict.fromkeys(waiting, owner)
            waiting = []
        if not owner or node.op_type in _PREPARING:
            waiting.extend(names)
        else:
            owners |= dict.fromkeys(names, owner)
    return owners


def _take(network: DepthNetwork, layers: list[Layer], weight: Sequence[int]) -> str:
    """Take layers until one has this weight: those that the export leaves out are skipped."""
    while layers:
        layer = layers.pop(0)
        filters = network.channels(layer.output)
        fan_in = 1 if layer.depthwise else network.channels(*layer.inputs)
        shapes = [(filters, fan_in, layer.kernel, layer.kernel)]
        if isinstance(layer.output, int):
            # Decoder.keep_left
            shapes.append((4, fan_in, layer.kernel + 1, layer.kernel + 1))
            shapes.append((filters // 2, fan_in, layer.kernel, layer.kernel))
        if tuple(weight) in shapes:
            return layer.conv
    msg = (
        f'{network.name}: expected layers in the order of computation, found a convolution of '
        f'weight {tuple(weight)} that is none of them; declare every layer where it is computed'
    )
    raise MaskError(msg)
