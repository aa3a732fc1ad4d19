"""The int8 file: run in integers, as good as its card says, harmful layers float, or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depth_prune_ros.bags.frames import read_frames
from depth_prune_ros.bags.street import Street
from depth_prune_ros.bags.street import street_to_bag
from depth_prune_ros.bags.write import BagWriter
from depth_prune_ros.core.camera import Intrinsics
from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.evaluation.evaluate import evaluate_model
from depth_prune_ros.offline import int8
from depth_prune_ros.offline import int8_search
from depth_prune_ros.offline.card_file import save
from depth_prune_ros.offline.export import export
from depth_prune_ros.offline.int8_search import Progress
from depth_prune_ros.offline.quantize import quantize
import numpy as np
from numpy.typing import NDArray
import onnx
import pytest
from small_model import kernels_of
from small_model import write_small_model
from tiny_model import CARD
from tiny_model import HEIGHT
from tiny_model import WIDTH
from tiny_model import write_tiny_model
from tiny_networks import checkpoint
from tiny_networks import narrow

CONVS = ['/stem/Conv', '/body/Conv', '/wide/Conv', '/narrow/Conv', '/head/Conv']
HARMFUL = {'/wide/Conv', '/narrow/Conv'}
Bags = tuple[Path, Path]


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Bags:
    folder = tmp_path_factory.mktemp('bags')
    for seed, name in enumerate(('street_a', 'street_b'), start=1):
        street_to_bag(folder / name, Street(seed=seed, frames=3, width=160, height=80))
    return folder / 'street_a', folder / 'street_b'


@pytest.fixture(scope='module')
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the same function twice: with tame channels, and with one of thousandfold range."""
    folder = tmp_path_factory.mktemp('models')
    card = replace(
        CARD,
        parity={'torch_onnx': 1e-6},
        metrics={'elsewhere': {'abs_rel': 0.1}},
        provenance={'licence': 'CC0', 'speed': {'ms': 1.0}, 'latency': {'measured_ms': 1.0}},
    )
    return {
        name: write_small_model(folder / f'{name}.onnx', card, blow_up)
        for name, blow_up in (('tame', 1.0), ('wild', 1000.0))
    }


def _quantize(
    source: Path,
    out: Path,
    bags: Bags,
    max_loss: float = 0.005,
    tell: Progress = lambda *_: None,
) -> ModelCard:
    return quantize(source, out, bags=bags[:1], val=bags[1:], max_loss=max_loss, progress=tell)


def _images(bag: Path) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(f.left[:HEIGHT, :WIDTH]) for f in read_frames(bag)]


def _abs_rel(path: Path, bag: Path) -> float:
    frames = read_frames(bag, need=['depth'])
    return evaluate_model(frames, DepthEngine.load(path), EIGEN).metrics.abs_rel


def test_a_tame_model_becomes_int8_as_a_whole(
    models: dict[str, Path], bags: Bags, tmp_path: Path
) -> None:
    (tmp_path / 'out').mkdir()
    card = _quantize(models['tame'], tmp_path / 'out' / 'small.onnx', bags)
    assert card.provenance['int8']['float_layers'] == []
    assert card.provenance['int8']['int8_share_of_macs'] == 1.0
    kernels = kernels_of(tmp_path / 'out' / 'small.onnx', tmp_path)
    assert kernels['QLinearConv'] == 5
    assert (kernels['QLinearAdd'], kernels['QLinearConcat']) == (1, 1)
    assert not {'Conv', 'FusedConv', 'Add', 'Concat'} & set(kernels)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['small.onnx']
    assert (tmp_path / 'out' / 'small.onnx').stat().st_mode & 0o777 == 0o644


def test_weights_have_seven_bits_and_a_scale_per_filter(
    models: dict[str, Path], bags: Bags
) -> None:
    calibrated = int8.calibrate(models['tame'], _images(bags[0]), lambda *_: None)
    graph = int8.quantised(calibrated, ()).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = [
        (arrays[node.input[0]], arrays[node.input[1]])
        for node in graph.node
        if node.op_type == 'DequantizeLinear' and arrays.get(node.input[0], np.zeros(0)).ndim == 4
    ]
    assert len(found) == 5
    for weights, scales in found:
        assert weights.dtype == np.int8
        assert scales.shape == weights.shape[:1]
        assert np.abs(weights.astype(int)).max(axis=(1, 2, 3)).tolist() == [64] * len(weights)


def test_the_layers_that_hurt_stay_float(
    models: dict[str, Path], bags: Bags, tmp_path: Path
) -> None:
    card = _quantize(models['wild'], tmp_path / 'small.onnx', bags)
    about = card.provenance['int8']
    assert set(about['float_layers']) == HARMFUL
    # stem 3x3x3x8, body 3x3x8x8 and twice 1x1x8x8 at half size, head 3x3x16 at full size
    macs = {'stem': 216 * 512, 'body': 576 * 512, 'pair': 128 * 512, 'head': 144 * 2048}
    assert about['int8_share_of_macs'] == pytest.approx(1 - macs['pair'] / sum(macs.values()))
    assert kernels_of(tmp_path / 'small.onnx', tmp_path)['QLinearConv'] == 3


def test_the_card_tells(models: dict[str, Path], bags: Bags, tmp_path: Path) -> None:
    returned = _quantize(models['wild'], tmp_path / 'yard.onnx', bags)
    engine, before = DepthEngine.load(tmp_path / 'yard.onnx'), DepthEngine.load(models['wild'])
    card, about = engine.card, engine.card.provenance['int8']
    assert card.to_json() == returned.to_json()
    assert (card.name, card.provenance['licence']) == ('yard', 'CC0')
    assert set(card.provenance) == {'licence', 'int8'}  # not the float one's milliseconds
    assert about['from_sha256'] == before.sha256
    assert about['calibrated_on'] == {'street_a': 3}
    assert (about['protocol'], about['max_loss']) == ('eigen', 0.005)
    judged = about['abs_rel']['street_b']
    assert judged['frames'] == 3
    assert judged['before'] == pytest.approx(_abs_rel(models['wild'], bags[1]), rel=1e-4)
    assert judged['after'] == pytest.approx(_abs_rel(tmp_path / 'yard.onnx', bags[1]), rel=1e-4)
    assert judged['after'] <= 1.005 * judged['before']
    assert set(card.metrics) == {'street_b'}
    assert card.metrics['street_b']['abs_rel'] == judged['after']
    assert set(card.parity) == {'torch_onnx', 'float_int8'}
    assert 0 < card.parity['float_int8'] < 0.5


def test_harm_is_the_difference_a_layer_makes_alone(models: dict[str, Path], bags: Bags) -> None:
    images = _images(bags[0])
    found = {}
    for name, path in models.items():
        calibrated = int8.calibrate(path, images, lambda *_: None)
        found[name] = int8.harms(calibrated, images, lambda *_: None)
        assert [layer for layer in found[name] if layer.endswith('Conv')] == CONVS
    tame, wild = found['tame'], found['wild']
    assert set(sorted(wild, key=lambda layer: -wild[layer])[:2]) == HARMFUL
    for layer in tame:
        assert 0 < tame[layer] < 0.1
        if layer in HARMFUL:
            assert wild[layer] > 10 * tame[layer]
        else:
            assert wild[layer] == pytest.approx(tame[layer], rel=0.05)


def test_an_exported_network_runs_in_integers(tmp_path: Path) -> None:
    export(checkpoint('mobilenet', narrow('mobilenet', 8), 5), tmp_path / 'float.onnx')
    engine = DepthEngine.load(tmp_path / 'float.onnx')
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(4)]
    calibrated = int8.calibrate(tmp_path / 'float.onnx', images, lambda *_: None)
    # the card counts four heads of two disparities, which the training needs; the file has the
    # finest left one alone, in blocks of 2x2 pixels
    trained = sum(2 * 9 * 8 * HEIGHT * WIDTH // 4**scale for scale in range(4))
    left = 4 * 16 * 8 * HEIGHT * WIDTH // 4
    assert sum(calibrated.macs.values()) == engine.card.macs - trained + left
    heads = [name for name in calibrated.layers if '/disp' in name]
    assert len(heads) == 1
    save(int8.quantised(calibrated, heads), engine.card, tmp_path / 'int8.onnx')
    convs = [name for name in calibrated.layers if name.endswith('/Conv')]
    kernels = kernels_of(tmp_path / 'int8.onnx', tmp_path)
    assert kernels['QLinearConv'] == len(convs) - 1
    assert kernels['Conv'] + kernels['FusedConv'] == 1
    small = DepthEngine.load(tmp_path / 'int8.onnx')
    # at the size of the file, and at another
    for image in (images[0], images[0][:, : WIDTH // 2]):
        assert 0 < np.abs(small.run(image) / engine.run(image) - 1).mean() < 0.2


def test_a_loss_beyond_the_limit_is_refused(
    models: dict[str, Path], bags: Bags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_search, 'LEAST_INT8', 1.0)
    wanted = (
        r'^expected AbsRel to grow by at most 0.50% in int8, found \d+\.\d\d% on street_b at best '
        r'\(0\.\d{4} before, \d\.\d{4} after, 0 layers float\); calibrate on bags more like it'
    )
    with pytest.raises(ModelError, match=wanted):
        _quantize(models['wild'], tmp_path / 'out' / 'a.onnx', bags)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_leaves_what_was_there(
    models: dict[str, Path], bags: Bags, tmp_path: Path
) -> None:
    (tmp_path / 'a.onnx').mkdir()
    (tmp_path / 'file').write_bytes(b'no folder')
    folder = 'the name of a file to be written, found a folder'
    for out, wanted in (('a.onnx', folder), ('file/a.onnx', 'to write .*, found: File exists')):
        with pytest.raises(ModelError, match=f'{out}: expected {wanted}'):
            _quantize(models['tame'], tmp_path / out, bags)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.onnx', 'file']


def test_no_room_for_the_files_in_between_is_said(
    models: dict[str, Path], bags: Bags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(_: str, prepared: str, **__: object) -> None:
        Path(prepared).write_bytes(models['tame'].read_bytes()[:100])

    monkeypatch.setattr('depth_prune_ros.offline.int8.quant_pre_process', cut_short)
    with pytest.raises(ModelError, match='where that is full, TMPDIR names another folder'):
        _quantize(models['tame'], tmp_path / 'a.onnx', bags)


def test_the_steps_are_reported(models: dict[str, Path], bags: Bags, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    _quantize(models['wild'], tmp_path / 'a.onnx', bags, tell=lambda *at: seen.append(at))
    assert seen == [
        *(('reading street_b', n, 0) for n in (1, 2, 3)),
        ('judging the float model', 3, 3),
        *(('reading street_a to calibrate', n, 0) for n in (1, 2, 3)),
        *(('calibrating', n, 3) for n in (1, 2, 3)),
        ('judging with 0 layers float', 3, 3),
        *(('measuring each layer', n, 7) for n in range(1, 8)),
        ('judging with 1 layers float', 3, 3),
        ('judging with 2 layers float', 3, 3),
    ]


def _mono_bag(path: Path, *, images: bool = True, lidar: bool = False) -> Path:
    """Make a bag of a camera and, not connected with it, a lidar."""
    camera = Intrinsics(WIDTH, HEIGHT, 48.0, 48.0, 31.5, 15.5)
    with BagWriter(path) as bag:
        bag.camera_info('/camera/camera_info', 10**9, 'camera', camera)
        if images:
            black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            bag.image('/camera/image_raw', 10**9, 'camera', black)
        if lidar:
            bag.points('/lidar', 10**9, 'lidar', np.ones((9, 4), np.float32))
    return path


def test_calibration_needs_images_alone(
    models: dict[str, Path], bags: Bags, tmp_path: Path
) -> None:
    mono = _mono_bag(tmp_path / 'mono', lidar=True)
    card = _quantize(models['tame'], tmp_path / 'a.onnx', (mono, bags[1]), max_loss=10)
    assert card.provenance['int8']['calibrated_on'] == {'mono': 1}


def test_models_that_cannot_be_quantised(
    models: dict[str, Path], bags: Bags, tmp_path: Path
) -> None:
    _quantize(models['tame'], tmp_path / 'int8.onnx', bags)
    write_tiny_model(tmp_path / 'no_card.onnx', None)
    write_tiny_model(tmp_path / 'no_conv.onnx')
    before = sorted(tmp_path.iterdir())
    for name, wanted in (
        ('int8', r'int8\.onnx: expected a float model, found an int8 one; give the file it was'),
        ('no_card', 'expected a model card in the metadata'),
        ('no_conv', r'no_conv\.onnx: expected convolutions to quantise, found none'),
        ('missing', r'missing\.onnx: expected a model file, found: No such file'),
    ):
        with pytest.raises(ModelError, match=wanted):
            _quantize(tmp_path / f'{name}.onnx', tmp_path / 'a.onnx', bags)
    with pytest.raises(ModelError, match='expected another file than the float model'):
        _quantize(models['tame'], models['tame'].parent / '.' / 'tame.onnx', bags)
    assert sorted(tmp_path.iterdir()) == before


def test_bags_that_do_not_do(models: dict[str, Path], bags: Bags, tmp_path: Path) -> None:
    empty, mono = _mono_bag(tmp_path / 'empty', images=False), _mono_bag(tmp_path / 'mono')
    out = tmp_path / 'a.onnx'
    with pytest.raises(BagError, match='empty: expected an image topic, found'):
        _quantize(models['tame'], out, (empty, bags[1]))
    with pytest.raises(BagError, match='mono: expected frames with depth, found none'):
        _quantize(models['tame'], out, (bags[0], mono))
    with pytest.raises(BagError, match='bags of different names, found street_b, street_b'):
        _quantize(models['tame'], out, (*bags, bags[1]))
    with pytest.raises(ConfigError, match=r'validate on \(--val\), found 1 and 0'):
        _quantize(models['tame'], out, bags[:1])
    for loss in (-0.1, float('nan'), float('inf')):
        with pytest.raises(ConfigError, match=f'a loss from 0, such as 0.05, found {loss}'):
            _quantize(models['tame'], out, bags, max_loss=loss)
    assert not out.exists()
