"""Which parameters and topics depth.launch.py gives to each node, with launch stood in for."""

from __future__ import annotations

from typing import Any

from depth_prune_ros.ros.outputs import TOPICS
from launch_stand_in import context_for
from launch_stand_in import load
from launch_stand_in import Made
from launch_stand_in import ROOT
import pytest


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes the nodes from arguments, by executable."""
    module = load('depth.launch.py', monkeypatch)

    def make(outer: str = '', **given: str) -> dict[str, dict[str, Any]]:
        context = context_for(module, **given)
        context.launch_configurations['ros_namespace'] = outer
        return {node.options['executable']: node.options for node in module.make_nodes(context)}

    return make


def _remaps(node: dict[str, Any]) -> dict[str, str]:
    rules = node['remappings']
    assert len(dict(rules)) == len(rules)
    return dict(rules)


def test_the_topics_of_the_node(nodes: Any) -> None:
    remaps = _remaps(nodes(image='/a/image', camera_info='/a/info')['depth_node'])
    assert remaps == {
        'image': '/a/image',
        'camera_info': '/a/info',
        **{f'~/{name}': f'/depth_node/{name}' for name in TOPICS},
    }


def test_each_topic_moves_alone(nodes: Any) -> None:
    for argument, here in {
        'image': 'image',
        'camera_info': 'camera_info',
        'depth_info': '~/camera_info',
        'points': '~/points',
        'preview': '~/preview',
    }.items():
        remaps = _remaps(nodes(**{argument: '/moved/there'})['depth_node'])
        assert [name for name, to in remaps.items() if to == '/moved/there'] == [here]


@pytest.mark.parametrize(
    ('outer', 'namespace', 'space'),
    [('', 'robot', '/robot'), ('', '/robot', '/robot'), ('fleet', 'robot', '/fleet/robot')],
)
def test_topics_follow_the_namespace(nodes: Any, outer: str, namespace: str, space: str) -> None:
    made = nodes(outer, namespace=namespace, name='eye', image='camera/image', reliable='true')
    node = made['depth_node']
    assert node['namespace'] == namespace
    assert node['name'] == 'eye'
    assert _remaps(node)['image'] == f'{space}/camera/image'
    assert _remaps(node)['~/depth'] == f'{space}/eye/depth'
    override = f'qos_overrides.{space}/camera/image.subscription.reliability'
    assert node['parameters'][1][override] == 'reliable'
    assert _remaps(made['rviz2'])['/depth_node/points'] == f'{space}/eye/points'
    assert _remaps(made['point_cloud_xyz_node'])['image_rect'] == f'{space}/eye/depth'


def test_the_parameters_of_the_node(nodes: Any) -> None:
    (file,) = nodes()['depth_node']['parameters']
    assert file == str(ROOT / 'config' / 'depth.param.yaml')
    given = {'max_depth': '40.0', 'fit': 'crop', 'rectify': 'true', 'points_stride': '4'}
    file, values = nodes(params_file='mine.yaml', **given)['depth_node']['parameters']
    assert file == 'mine.yaml'
    assert values == {
        'max_depth': 40.0,
        'fit': 'crop',
        'rectify': True,
        'points_stride': 4,
    }


@pytest.mark.parametrize(
    ('given', 'told'),
    [('', []), ('1', [{'use_sim_time': True}]), ('false', [{'use_sim_time': False}])],
)
def test_the_clock_is_that_of_file_and_launch_unless_it_is_given(
    nodes: Any, given: str, told: list[dict[str, bool]]
) -> None:
    made = nodes(use_sim_time=given)
    assert made['depth_node']['parameters'][1:] == told
    assert made['point_cloud_xyz_node']['parameters'] == told
    assert made['rviz2']['parameters'] == told


def test_reliable_keeps_a_topic_that_has_its_whole_name(nodes: Any) -> None:
    values = nodes(namespace='robot', image='/a/image', reliable='true')['depth_node'][
        'parameters'
    ][1]
    assert values['qos_overrides./a/image.subscription.reliability'] == 'reliable'


@pytest.mark.parametrize('given', ['true', 'false'])
def test_a_dead_node_is_started_again_unless_not_wanted(nodes: Any, given: str) -> None:
    node = nodes(respawn=given)['depth_node']
    assert node['respawn'] is (given == 'true')
    assert node['respawn_delay'] > 0


def test_respawning_is_the_default(nodes: Any) -> None:
    assert nodes()['depth_node']['respawn'] is True


@pytest.mark.parametrize(
    ('given', 'info'),
    [
        ({}, '/depth_node/camera_info'),
        ({'depth': '/front/depth'}, '/front/camera_info'),
        ({'depth': 'front/depth', 'namespace': 'robot'}, '/robot/front/camera_info'),
        # Beside depth lies the camera's own: nobody may publish there.
        (
            {'depth': '/cam/depth', 'camera_info': '/cam/camera_info'},
            '/depth_node/camera_info',
        ),
        ({'depth': '/front/depth', 'depth_info': '/front/info'}, '/front/info'),
    ],
)
def test_depth_image_proc_hears_the_camera_info_of_depth(
    nodes: Any, given: dict[str, str], info: str
) -> None:
    made = nodes(**given)
    assert _remaps(made['depth_node'])['~/camera_info'] == info
    remaps = _remaps(made['point_cloud_xyz_node'])
    # Its subscription: camera_info in the folder of the topic that image_rect resolves to.
    folder = remaps['image_rect'].rpartition('/')[0]
    assert remaps[f'{folder}/camera_info'] == info
    assert remaps['points'] == 'depth_image_proc/points'


def test_rviz_shows_the_topics_of_the_node(nodes: Any) -> None:
    given = {'image': '/a/image', 'depth': '/b/depth', 'points': '/c', 'preview': '/d'}
    rviz = nodes(**given)['rviz2']
    assert _remaps(rviz) == {
        '/image': '/a/image',
        '/depth_node/depth': '/b/depth',
        '/depth_node/points': '/c',
        '/depth_node/preview': '/d',
    }
    assert rviz['arguments'] == ['-d', str(ROOT / 'config' / 'depth.rviz')]


def test_rviz_takes_the_raw_image_beside_a_compressed_one(nodes: Any) -> None:
    made = nodes(image='/a/image/compressed', image_transport='compressed')
    assert _remaps(made['depth_node'])['image'] == '/a/image/compressed'
    assert _remaps(made['rviz2'])['/image'] == '/a/image'


def test_what_is_beside_the_node_is_wanted_explicitly(nodes: Any) -> None:
    made = nodes(rviz='true')
    wanted = {name: node['condition'] for name, node in made.items() if 'condition' in node}
    assert {name: made.arguments for name, made in wanted.items()} == {
        'rviz2': ('true',),
        'point_cloud_xyz_node': ('false',),
    }
    assert all(isinstance(condition, Made) for condition in wanted.values())


def test_the_transport_is_for_all_nodes_or_none(nodes: Any) -> None:
    assert [node['additional_env'] for node in nodes().values()] == [{}] * 3
    large = [node['additional_env'] for node in nodes(large_data='true').values()]
    assert large[0]['FASTDDS_BUILTIN_TRANSPORTS'].startswith('LARGE_DATA')
    assert large == [large[0]] * 3
