"""Loading: what a card must not say, and what must not run a network in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import ClassVar

from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.engine import sha256_of
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.core.session import PROVIDERS
import numpy as np
import onnx
from onnx import helper
from onnx import TensorProto
import onnxruntime as ort
import pytest
from tiny_model import CARD
from tiny_model import HEIGHT
from tiny_model import tiny_depth
from tiny_model import WIDTH
from tiny_model import write_tiny_model


@pytest.mark.parametrize(
    ('lie', 'reason'),
    [
        ({'baseline_m': -0.5}, 'expected baseline_m above 0 in the card, found -0.5'),
        ({'baseline_m': float('nan')}, 'expected baseline_m above 0 in the card, found nan'),
        ({'fx_over_width': 0.0}, 'expected fx_over_width above 0 in the card, found 0.0'),
        ({'fy_over_height': -0.5}, 'expected fy_over_height above 0 in the card, found -0.5'),
        ({'fy_over_height': float('nan')}, 'fy_over_height above 0 in the card, found nan'),
        ({'colour': 'bgr'}, "expected colour 'rgb' in the card, found 'bgr'"),
        ({'disparity': 'metres'}, "in the card, found 'metres'"),
        ({'input_width': WIDTH + 32}, r'expected one input tensor\(uint8\) \[1, 32, 96, 3\]'),
        ({'size_multiple': 24}, r'in multiples of size_multiple 24 in the card, found \[32, 64\]'),
    ],
)
def test_a_card_that_lies_is_refused(tmp_path: Path, lie: dict[str, Any], reason: str) -> None:
    model = write_tiny_model(tmp_path / 'lie.onnx', replace(CARD, **lie))
    with pytest.raises(ModelError, match=f'lie.onnx: .*{reason}'):
        DepthEngine.load(model)


@pytest.mark.parametrize('kept', [0, 1, 100, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    model = write_tiny_model(tmp_path / 'cut.onnx')
    model.write_bytes(model.read_bytes()[:kept])
    with pytest.raises(ModelError, match='cut.onnx: expected'):
        DepthEngine.load(model)


@pytest.mark.parametrize('shape', [[1, 3, 32, 64], ['batch', 3, 32, 64]])
def test_a_network_of_others_is_refused_before_it_runs(
    tmp_path: Path, shape: list[int | str]
) -> None:
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, shape)
    same = helper.make_tensor_value_info('out', TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node('Neg', ['image'], ['out'])], 'g', [image], [same])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    onnx.save(model, str(tmp_path / 'other.onnx'))
    with pytest.raises(ModelError, match='other.onnx: expected a model card'):
        DepthEngine.load(tmp_path / 'other.onnx')


@pytest.mark.parametrize('provider', ['cpu', 'auto'])
def test_auto_finds_the_cpu(tmp_path: Path, provider: str) -> None:
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx'), provider=provider)
    assert engine.provider == 'CPUExecutionProvider'
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_allclose(engine.infer(image, 0.7), tiny_depth(image, 0.7), rtol=1e-4)


@pytest.mark.parametrize('provider', ['tensorrt', 'cuda'])
def test_a_missing_provider_is_an_error_that_names_those_there(
    tmp_path: Path, provider: str
) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx')
    with pytest.raises(ConfigError, match=rf'\(.*cpu\), found {provider}; install'):
        DepthEngine.load(model, provider=provider)


class _ElsewhereSession(ort.InferenceSession):
    """A session as on a computer whose accelerators do not start, or start without their own."""

    tried: ClassVar[list[str]] = []
    works: ClassVar[str] = ''

    def __init__(self, model: Any, providers: list[str], **options: Any) -> None:
        self.tried.append(providers[0])
        self._shown = [name for name in providers if name in (self.works, PROVIDERS['cpu'])]
        if providers[0] == PROVIDERS['cuda'] != self.works:
            msg = 'CUDA failure 35: CUDA driver version is insufficient\nat cuda_call.cc:129'
            raise RuntimeError(msg)
        super().__init__(model, providers=[PROVIDERS['cpu']], **options)

    def get_providers(self) -> list[str]:
        return self._shown


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> type[_ElsewhereSession]:
    """Pretend to have every provider; only the cpu's works, unless the test says so."""
    monkeypatch.setattr(ort, 'get_available_providers', lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(ort, 'InferenceSession', _ElsewhereSession)
    monkeypatch.setattr(_ElsewhereSession, 'tried', [])
    monkeypatch.setattr(_ElsewhereSession, 'works', '')
    return _ElsewhereSession


def test_auto_goes_on_to_the_next_provider_and_keeps_the_reasons(
    tmp_path: Path, elsewhere: type[_ElsewhereSession]
) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx')
    engine = DepthEngine.load(model, provider='auto', repeatable=True)
    assert engine.provider == 'CPUExecutionProvider'
    assert list(engine.left_out) == ['tensorrt', 'cuda', 'openvino']
    assert engine.left_out['cuda'] == 'CUDA failure 35: CUDA driver version is insufficient'
    assert engine.left_out['openvino'].startswith('onnxruntime leaves it out')
    # The cpu once more: the model is sound, so it is CUDA's failure.
    assert elsewhere.tried == [
        *(PROVIDERS[name] for name in ('tensorrt', 'cuda', 'cpu', 'openvino', 'cpu')),
    ]


def test_auto_ends_with_the_first_provider_that_works(
    tmp_path: Path, elsewhere: type[_ElsewhereSession]
) -> None:
    elsewhere.works = PROVIDERS['cuda']
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx'), provider='auto')
    assert engine.provider == PROVIDERS['cuda']
    assert list(engine.left_out) == ['tensorrt']
    assert elsewhere.tried == [PROVIDERS['tensorrt'], PROVIDERS['cuda']]


@pytest.mark.parametrize(
    ('provider', 'reason'),
    [
        ('cuda', 'expected cuda to start, found cuda: CUDA failure 35'),
        ('openvino', 'expected openvino to start, found openvino: onnxruntime leaves it out'),
    ],
)
def test_a_provider_that_is_named_and_does_not_start_is_an_error(
    tmp_path: Path, elsewhere: type[_ElsewhereSession], provider: str, reason: str
) -> None:
    model = write_tiny_model(tmp_path / 'm.onnx')
    with pytest.raises(ConfigError, match=reason):
        DepthEngine.load(model, provider=provider)


@pytest.mark.parametrize('provider', ['cuda', 'auto'])
def test_a_broken_file_is_not_the_providers_fault(
    tmp_path: Path, elsewhere: type[_ElsewhereSession], provider: str
) -> None:
    (tmp_path / 'm.onnx').write_bytes(b'no model')
    with pytest.raises(ModelError, match='m.onnx: expected an ONNX model'):
        DepthEngine.load(tmp_path / 'm.onnx', provider=provider)


def test_the_digest_is_of_the_bytes_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_tiny_model(tmp_path / 'other.onnx', replace(CARD, name='other')).read_bytes()
    model = write_tiny_model(tmp_path / 'm.onnx')
    expected = sha256_of(model)
    assert DepthEngine.load(model, sha256=expected.upper()).sha256 == expected
    plain = Path.read_bytes

    def read_and_exchange(path: Path) -> bytes:
        found = plain(path)
        path.write_bytes(other)
        return found

    monkeypatch.setattr(Path, 'read_bytes', read_and_exchange)
    engine = DepthEngine.load(model)
    assert (engine.card.name, engine.sha256) == ('tiny', expected)


@pytest.mark.parametrize('repeatable', [False, True])
def test_threads_sleep_between_two_images(tmp_path: Path, repeatable: bool) -> None:
    """The default takes a whole core, 94 of 100 ms at 10 images a second."""
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'tiny.onnx'), repeatable=repeatable)
    options = engine._by_size[WIDTH, HEIGHT].get_session_options()
    assert options.get_session_config_entry('session.intra_op.spin_duration_us') == '1000'


ANY_SIZE = replace(CARD, size_multiple=8)


def test_an_image_of_other_proportions_is_not_stretched(tmp_path: Path) -> None:
    """A camera of half the width, the same lens: half the network's image, the same depth."""
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx', ANY_SIZE))
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    fx = CARD.fx_over_width * WIDTH
    half = image[:, : WIDTH // 2]
    depth = engine.infer(half, fx / (WIDTH // 2))
    assert depth.shape == (HEIGHT, WIDTH // 2)
    whole = engine.infer(image, fx / WIDTH)
    np.testing.assert_allclose(depth, whole[:, : WIDTH // 2], rtol=1e-5)


def test_a_file_of_one_size_stretches(tmp_path: Path) -> None:
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx'))
    assert engine.infer(np.zeros((HEIGHT, WIDTH // 2, 3), np.uint8), 1.0).shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ('card', 'size', 'expected'),
    [
        (CARD, (40, 32), 'expected an image of 64x32, found 40x32'),
        (ANY_SIZE, (36, 32), 'expected an image of 64x32 or multiples of 8, found 36x32'),
        (ANY_SIZE, (64, 0), 'multiples of 8, found 64x0'),
    ],
)
def test_a_size_that_the_network_does_not_have_is_an_error(
    tmp_path: Path, card: ModelCard, size: tuple[int, int], expected: str
) -> None:
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx', card))
    with pytest.raises(ModelError, match=expected):
        engine.run(np.zeros((size[1], size[0], 3), np.uint8))


def test_sessions_of_a_few_sizes_are_kept(tmp_path: Path) -> None:
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx', ANY_SIZE))
    sizes = [(8 * n, 16) for n in range(1, 9)]
    for width, height in sizes:
        engine.run(np.zeros((height, width, 3), np.uint8))
    assert list(engine._by_size) == [(WIDTH, HEIGHT), *sizes[-4:]]


@pytest.mark.parametrize('faster', [0, 1])
def test_another_size_runs_in_the_layout_that_was_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: int
) -> None:
    """It is not measured again: an image would wait for that."""
    # the second of both layouts is timed first
    seconds = iter([1.0 - faster, float(faster)])
    monkeypatch.setattr('depth_prune_ros.core.session._seconds', lambda _: next(seconds))
    engine = DepthEngine.load(write_tiny_model(tmp_path / 'm.onnx', ANY_SIZE), threads=1)
    engine.run(np.zeros((16, 16, 3), np.uint8))
    found = [session.get_session_options() for session in engine._by_size.values()]
    levels = ['ORT_ENABLE_ALL', 'ORT_ENABLE_EXTENDED']
    assert [one.graph_optimization_level.name for one in found] == 2 * [levels[faster]]
    assert [one.intra_op_num_threads for one in found] == [1, 1]
