"""launch and launch_ros where they are not: classes that keep what they were made with."""

from __future__ import annotations

from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType
from types import SimpleNamespace
from typing import Any

from ament_index_python import packages
import pytest

ROOT = Path(__file__).parents[2]
MODULES = (
    *('launch', 'launch.action', 'launch.actions', 'launch.conditions', 'launch.events'),
    *('launch.event_handlers', 'launch.events.process', 'launch.launch_description_sources'),
    *('launch.substitutions', 'launch_ros', 'launch_ros.actions'),
)


class Made:
    """Anything a launch file makes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Keep arguments and options."""
        self.arguments = arguments
        self.options = options

    def perform(self, context: SimpleNamespace) -> str:
        """Return the value of a LaunchConfiguration."""
        return str(context.launch_configurations[self.arguments[0]])


class StandIn(ModuleType):
    """A module that has every class it is asked for."""

    def __getattr__(self, name: str) -> type[Made]:
        """Make the class."""
        if name.startswith('__'):
            raise AttributeError(name)
        made = type(name, (Made,), {})
        setattr(self, name, made)
        return made


def load(file: str, patch: pytest.MonkeyPatch) -> ModuleType:
    """Return a launch file as a module that sees the stand-ins and this package's own folder."""
    for name in MODULES:
        patch.setitem(sys.modules, name, StandIn(name))
    patch.setattr(packages, 'get_package_share_directory', lambda package: str(ROOT))
    patch.setattr(packages, 'get_package_prefix', lambda package: str(ROOT))
    spec = spec_from_file_location(file.partition('.')[0], ROOT / 'launch' / file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context_for(module: ModuleType, **given: str) -> SimpleNamespace:
    """Return the context in which a launch file's declared arguments have their values."""
    declared = {
        action.arguments[0]: action.options['default_value']
        for action in module.generate_launch_description().arguments[0]
        if type(action).__name__ == 'DeclareLaunchArgument'
    }
    return SimpleNamespace(launch_configurations={**declared, **given}, is_shutdown=False)


def kind(made: Any) -> str:
    """Return the name of what was made."""
    return type(made).__name__
