"""What a run is refused for before its first stage, and how: with file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import nullcontext
from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import MaskError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.offline import checkpoint as checkpoints
from depth_prune_ros.offline import latency_table
from depth_prune_ros.offline.latency import Timing
from depth_prune_ros.offline.latency_fit import Sample
from depth_prune_ros.offline.networks.catalogue import build
from depth_prune_ros.offline.pipeline import Pipeline
from depth_prune_ros.offline.pipeline import Watch
from depth_prune_ros.offline.run_config import read_run_config
import pytest
from robot_bags import RobotBag
from tiny_networks import checkpoint
from tiny_networks import narrow
import yaml

MOBILENET = latency_table.key('mobilenet_subpixel', (32, 64), 2)
WHOLE = latency_table.NETWORKS * latency_table.ROUNDS


def _file(folder: Path, **values: Any) -> Path:
    for name in 'ab':
        (folder / name).mkdir(exist_ok=True)
    bags = {'bags': [str(folder / 'a')], 'val': [str(folder / 'b')], 'out': str(folder / 'out')}
    common = {'height': 32, 'width': 64}
    file = folder / 'run.yaml'
    all_values = {'name': 'yard', **bags, 'start': 'none', 'common': common, **values}
    file.write_text(yaml.safe_dump(all_values))
    return file


def _table(path: Path) -> Path:
    """Write a table of two networks, in which every layer takes as long."""
    dense = build('mobilenet_subpixel')
    samples = []
    for widths, layer_ms in ((dense.widths, 0.5), (narrow('mobilenet_subpixel', 8), 0.1)):
        layers = {layer.conv: layer_ms for layer in dense.layers}
        whole = layer_ms * len(layers), layer_ms * len(layers)
        samples.append(asdict(Sample(widths, Timing(whole, (layers, layers)))))
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {'key': asdict(MOBILENET), 'samples': samples}
    values |= {'done': WHOLE, 'total': WHOLE}
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'budget': 'macs=0.0001'}, r'budget: expected a budget above \d+ macs .* floor'),
        ({'budget': 'params=5'}, r'budget: expected a budget above \d+ params .* found 5;'),
        ({'prune': {'prune': {'floor': 0.9}}}, 'budget: expected a budget above'),
        ({'prune': {'prune': {'form': 'paper'}}, 'budget': 'macs=0.1'}, 'budget: expected a bud'),
        ({'budget': 'params=99999999'}, r'budget: expected at most the dense \d+ params'),
        ({'quantize': {'max_loss': float('inf')}}, 'quantize.max_loss: .* finite number'),
        (
            {'prune': {'baseline_m': 0.2}},
            r'prune.baseline_m: expected one baseline .*0.54 m in train.*, found 0.2 m',
        ),
        (
            {'finetune': {'shares': {'street*': 0.2}}},
            r"finetune.shares: expected a bag named like 'street\*' \(in shares\), found a",
        ),
        (
            {'train': {'imagenet_weights': 'no.pth'}},
            'train.imagenet_weights: expected ImageNet weights no.pth, found none',
        ),
        (
            {'prune': {'prune': {'latency_table': 'no.json'}}},
            'prune.prune.latency_table: no.json: expected a latency table, found none',
        ),
        ({'prune': {'steps': 20}}, 'prune.prune.warmup: expected at most 15 steps'),
        ({'train': {'losses': {'photometric': 0, 'depth': 0}}}, 'train.losses.photometric: '),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = _file(tmp_path, **values)
    with pytest.raises(ConfigError, match=rf'^{file}(:\d+)?: {message}') as caught:
        read_run_config(file)
    assert '\n' not in str(caught.value)


def test_the_smallest_amount_that_is_named_is_reachable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_run_config(_file(tmp_path, budget='params=5'))
    smallest = int(str(caught.value).partition('above ')[2].split()[0])
    read_run_config(_file(tmp_path, budget=f'params={smallest}'))


def test_a_budget_is_one_of_the_network_that_is_started_from(tmp_path: Path) -> None:
    budget = 'params=500000'
    read_run_config(_file(tmp_path, budget=budget))
    checkpoints.save(
        tmp_path / 'start', checkpoint('mobilenet_subpixel', narrow('mobilenet_subpixel'))
    )
    file = _file(tmp_path, budget=budget, start=str(tmp_path / 'start'))
    with pytest.raises(ConfigError, match='budget: expected at most the dense .* params'):
        read_run_config(file)


def test_a_latency_is_priced_by_the_table_that_is_named(tmp_path: Path) -> None:
    prune = {'prune': {'latency_table': str(_table(tmp_path / 'table.json'))}}
    read_run_config(_file(tmp_path, prune=prune, budget='latency=0.8'))
    for budget, message in (('0.001ms', 'above .* ms latency'), ('999ms', 'at most the dense')):
        file = _file(tmp_path, prune=prune, budget=f'latency={budget}')
        with pytest.raises(ConfigError, match=f'budget: expected .*{message}'):
            read_run_config(file)


def test_a_latency_is_priced_by_the_computers_table_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def training(_folder: Path, _config: object) -> Iterator[Any]:
        pytest.fail('a training began')
        yield

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    _table(MOBILENET.file())
    config = read_run_config(_file(tmp_path, budget='latency=0.001ms'))
    with pytest.raises(MaskError, match='expected a budget above .* ms latency'):
        Pipeline(config, Watch(training, lambda *_: None, lambda *_: None)).run()


def test_our_configuration_for_rgbd_bags_sees_what_is_near_in_a_room() -> None:
    """The heads end at 0.3 of the width; a RealSense's focal length is 0.6 of it."""
    ours = Path(__file__).resolve().parents[2] / 'config' / 'run_own_robot.yaml'
    baseline_m = yaml.safe_load(ours.read_text())['common']['baseline_m']
    assert baseline_m * 0.6 / 0.3 < 0.4


def test_a_protocol_of_stereo_wants_stereo_to_judge_on(tmp_path: Path) -> None:
    bag = RobotBag()
    bag.image('/camera/image_raw', 10**9)
    bag.info('/camera/camera_info', 10**9)
    mono = bag.write(tmp_path / 'mono')
    file = _file(tmp_path, val=[str(mono)], protocol='kitti2015')
    with pytest.raises(ConfigError, match=r':\d+: protocol: expected a stereo pair in .*mono, f'):
        read_run_config(file)


def test_a_refused_int8_model_names_the_float_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        msg = 'too much is lost; keep the float model'
        raise ModelError(msg)

    monkeypatch.setattr('depth_prune_ros.offline.pipeline.quantize', refuse)
    config = read_run_config(_file(tmp_path, quantize={'max_loss': 0.0}))
    run = Pipeline(config, Watch(lambda *_: nullcontext(), lambda *_: None, lambda *_: None))
    with pytest.raises(ModelError, match='keep the float model: .*/yard.onnx, which is judged'):
        run._quantize(tmp_path)
