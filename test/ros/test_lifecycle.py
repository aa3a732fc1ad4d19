"""What must not kill the node: bad parameters, models and logs are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
import subprocess
from subprocess import CompletedProcess
import sys
from typing import Any

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.ros.context import free_domain
from depth_prune_ros.ros.context import ros_context
from depth_prune_ros.ros.context import ros_environment
from depth_prune_ros.ros.context import wait_until
from depth_prune_ros.ros.node import DepthNode
from depth_prune_ros.ros.node import load_engine
from depth_prune_ros.ros.parameters import DepthParameters
from depth_prune_ros.ros.process import NodeProcess
from graph import camera_info
from graph import image_message
from graph import noise
from lifecycle_msgs.msg import Transition
import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from tiny_model import CARD
from tiny_model import CARD_FX_OVER_WIDTH
from tiny_model import HEIGHT
from tiny_model import tiny_depth
from tiny_model import WIDTH
from tiny_model import write_tiny_model

Running = Callable[..., Any]
INFO = camera_info(WIDTH, HEIGHT, 50.0)


def test_a_model_is_exchanged_while_inactive_and_a_bad_one_is_not(
    running: Running, tiny_model: Path, tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path / 'other.onnx', replace(CARD, name='other', baseline_m=1.5))
    cut = tmp_path / 'cut.onnx'
    cut.write_bytes(other.read_bytes()[:-100])
    lies = write_tiny_model(tmp_path / 'lies.onnx', replace(CARD, input_width=96))
    bare = write_tiny_model(tmp_path / 'bare.onnx', card=None)
    image = noise(WIDTH, HEIGHT)
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        assert 'expected an inactive node' in graph.change_parameters(model=str(other))
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        for bad, reason in (
            ({'model': str(cut)}, 'cut.onnx: expected an ONNX model'),
            ({'model': str(lies)}, 'lies.onnx: expected one input'),
            ({'model': str(bare)}, 'bare.onnx: expected a model card'),
            ({'model': str(other), 'model_sha256': '00'}, 'other.onnx: expected sha256 00'),
            ({'model_sha256': '', 'provider': 'tensorrt'}, 'found tensorrt; install'),
        ):
            assert not graph.change_parameters(**bad)
            assert not graph.change(Transition.TRANSITION_ACTIVATE)
            assert graph.state() == 'inactive'
            assert reason in process.complaint
            assert wait_until(
                lambda text=reason: text in graph.diagnostics.get('message', ''), 30.0
            )
            assert (graph.diagnostics['level'], graph.diagnostics['model']) == ('2', 'tiny')
        assert not graph.change_parameters(provider='auto')
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        graph.wait_for(process)
        metres = graph.ask(image_message(image), INFO).metres
        np.testing.assert_allclose(metres, 3.0 * tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def test_a_model_file_that_is_exchanged_in_place_is_loaded_anew(
    running: Running, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / 'model.onnx')
    sound = write_tiny_model(tmp_path / 'other.onnx', replace(CARD, name='other', baseline_m=1.5))
    with running(f'model:={model}') as (process, graph):
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        for broken, reason in (
            (sound.read_bytes()[:-100], 'model.onnx: expected an ONNX model'),
            (b'', 'model.onnx: expected an ONNX model'),
            (None, 'model.onnx: expected a model file'),
        ):
            model.unlink() if broken is None else model.write_bytes(broken)
            assert not graph.change(Transition.TRANSITION_ACTIVATE)
            assert graph.state() == 'inactive'
            assert reason in process.complaint
        model.write_bytes(sound.read_bytes())
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        assert process.log.count('other: 2 parameters') == 1
        graph.wait_for(process)
        image = noise(WIDTH, HEIGHT)
        metres = graph.ask(image_message(image), INFO).metres
        np.testing.assert_allclose(metres, 3.0 * tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def test_what_auto_leaves_out_is_said_once(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = DepthEngine.load(tiny_model)
    engine.left_out = {'cuda': 'the driver is missing'}
    monkeypatch.setattr('depth_prune_ros.ros.node.load_engine', lambda *given: engine)
    with ros_context(free_domain()) as context:
        model = Parameter('model', value=str(tiny_model))
        node = DepthNode(context=context, parameter_overrides=[model])
        node.start()
        node.trigger_deactivate()
        node.trigger_activate()
        node.destroy_node()
    said = capfd.readouterr().err
    assert said.count('active: /image -> depth') == 2
    assert said.count('provider auto leaves out cuda: the driver is missing') == 1


def test_cleaning_up_frees_what_deactivating_keeps(running: Running, tiny_model: Path) -> None:
    with running(f'model:={tiny_model}') as (process, graph):
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        assert process.log.count('tiny: 2 parameters') == 1
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        assert process.log.count('tiny: 2 parameters') == 1
        graph.wait_for(process)
        image = noise(WIDTH, HEIGHT)
        graph.ask(image_message(image), INFO)
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        assert graph.change(Transition.TRANSITION_CLEANUP)
        graph.next_diagnostics()
        assert 'model' not in graph.diagnostics
        assert graph.diagnostics['message'] == 'not active'
        assert wait_until(lambda: not graph.node.count_publishers('/depth_node/depth'), 30.0)
        assert graph.change(Transition.TRANSITION_CONFIGURE)
        assert process.log.count('tiny: 2 parameters') == 2
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        graph.wait_for(process)
        metres = graph.ask(image_message(image)).metres
        np.testing.assert_allclose(metres, tiny_depth(image, CARD_FX_OVER_WIDTH), rtol=1e-4)


def test_other_threads_are_another_session(running: Running, tiny_model: Path) -> None:
    engine = load_engine(tiny_model, DepthParameters(threads=3))
    (session,) = engine._by_size.values()
    assert session.get_session_options().intra_op_num_threads == 3
    with running(f'model:={tiny_model}') as (process, graph):
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        assert not graph.change_parameters(threads=3)
        assert process.log.count('tiny: 2 parameters') == 1
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        assert process.log.count('tiny: 2 parameters') == 2


def test_an_override_of_a_wrong_type_leaves_a_node_that_can_be_helped(
    running: Running, tiny_model: Path
) -> None:
    reason = "parameter threads: expected type int, found 'many'"
    with running(f'model:={tiny_model}', 'threads:=many', until=reason) as (process, graph):
        assert graph.state() == 'unconfigured'
        assert not graph.change(Transition.TRANSITION_CONFIGURE)
        graph.next_diagnostics()
        assert (graph.diagnostics['level'], graph.diagnostics['message']) == ('2', reason)
        assert not graph.change_parameters(threads=1)
        assert graph.change(Transition.TRANSITION_CONFIGURE)
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def test_overrides_of_words_nobody_knows_are_put_right_one_by_one(
    running: Running, tiny_model: Path
) -> None:
    parameters = (f'model:={tiny_model}', 'fit:=squash', 'output_size:=big')
    with running(*parameters, until="found 'squash'") as (process, graph):
        assert not graph.change_parameters(fit='crop')
        assert not graph.change(Transition.TRANSITION_CONFIGURE)
        assert "output_size: expected network or input, found 'big'" in process.complaint
        assert not graph.change_parameters(output_size='input')
        assert graph.change(Transition.TRANSITION_CONFIGURE)
        assert process.stop() == 0


def _start(command: tuple[str, ...], arguments: tuple[str, ...]) -> CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', *command, '--ros-args', *arguments],
        env={**os.environ, **ros_environment(free_domain())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ('command', 'arguments', 'reason'),
    [
        (('depth_prune_ros.ros.depth_node',), ('--params-file', '/nowhere/p.yaml'), '/p.yaml'),
        (('depth_prune_ros.cli', 'node'), ('-r', '__node:=1bad'), '__node:=1bad'),
    ],
)
def test_arguments_no_node_can_have_are_one_line_and_exit_code_1(
    command: tuple[str, ...], arguments: tuple[str, ...], reason: str
) -> None:
    done = _start(command, arguments)
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert reason in done.stderr.splitlines()[-1]


def test_a_log_folder_that_cannot_be_written_is_done_without(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / 'file'
    occupied.touch()
    monkeypatch.setenv('ROS_LOG_DIR', str(occupied))
    with NodeProcess(['-p', f'model:={tiny_model}'], free_domain()) as process:
        assert wait_until(lambda: 'active:' in process.log, 60.0), process.log
        assert f'{occupied}: expected a log folder to write to' in process.log
        assert process.stop() == 0


@pytest.mark.parametrize(
    ('variable', 'value', 'folder'),
    [('ROS_LOG_DIR', '~/logs', 'logs'), ('ROS_HOME', '~/ros', 'ros/log')],
)
def test_a_log_folder_in_the_home_folder_is_found(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    folder: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.delenv('ROS_LOG_DIR', raising=False)
    monkeypatch.setenv(variable, value)
    with NodeProcess(['-p', f'model:={tiny_model}'], free_domain()) as process:
        assert wait_until(lambda: 'active:' in process.log, 60.0), process.log
        assert process.stop() == 0
    assert list((tmp_path / 'home' / folder).iterdir())
    assert not (tmp_path / '~').exists()


def test_a_transition_that_the_state_does_not_allow_is_refused(
    running: Running, tiny_model: Path
) -> None:
    """Nav2's lifecycle manager, too, configures a node that has started itself."""
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        for wrong in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            assert not graph.change(wrong)
            assert graph.state() == 'active'
            assert f'transition {wrong} refused: ' in process.log
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        assert graph.state() == 'inactive'
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def test_the_camera_is_known_after_an_exchange(running: Running, tiny_model: Path) -> None:
    """Of the image behind an activation, too, depth is in the camera's scale; else it is said."""
    image, text = noise(WIDTH, HEIGHT), 'depth is scaled for the training camera'
    with running(f'model:={tiny_model}') as (process, graph):
        graph.wait_for(process)
        graph.ask(image_message(image))
        assert wait_until(lambda: text in graph.diagnostics.get('message', ''), 30.0)
        assert graph.diagnostics['level'] == '1'
        graph.ask(image_message(image), INFO)
        assert graph.change(Transition.TRANSITION_DEACTIVATE)
        assert graph.change(Transition.TRANSITION_ACTIVATE)
        graph.wait_for(process)
        metres = graph.ask(image_message(image)).metres
        np.testing.assert_allclose(metres, tiny_depth(image, 50.0 / WIDTH), rtol=1e-4)
        assert wait_until(lambda: text not in graph.diagnostics.get('message', ''), 30.0)


def test_a_node_that_cannot_be_configured_advertises_nothing(tiny_model: Path) -> None:
    wrong = Parameter('qos_overrides./depth_node/points.publisher.reliability', value='never')
    with ros_context(free_domain()) as context:
        node = DepthNode(
            context=context,
            parameter_overrides=[Parameter('model', value=str(tiny_model)), wrong],
        )
        before = {publisher.topic_name for publisher in node.publishers}
        for _ in range(2):
            assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
            assert {publisher.topic_name for publisher in node.publishers} == before
        node.destroy_node()
