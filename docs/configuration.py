"""Writes docs/configuration.md from what the package checks: python docs/configuration.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from depth_prune_ros.offline.config import AugmentConfig
from depth_prune_ros.offline.config import LossConfig
from depth_prune_ros.offline.config import PruneConfig
from depth_prune_ros.offline.config import TrainConfig
from depth_prune_ros.offline.run_config import QuantizeConfig
from depth_prune_ros.offline.run_config import RunConfig
from pydantic import BaseModel
from pydantic.fields import FieldInfo

PAGE = Path(__file__).with_suffix('.md')
HEAD = """# All settings

Of the YAML files that `depth-prune train`, `prune` and `run` take. A key that is not named has its
default; one that is not known, or whose value does not fit, is an error that names the line.
Examples: config/. This page is written by docs/configuration.py.
"""
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ('A training', '', TrainConfig),
    ('losses', 'losses.', LossConfig),
    ('augment', 'augment.', AugmentConfig),
    ('prune', 'prune.', PruneConfig),
    ('A run (`depth-prune run`)', '', RunConfig),
    ('quantize, of a run', 'quantize.', QuantizeConfig),
)


def page() -> str:
    """Return the page's text."""
    return '\n'.join([HEAD, *(line for section in SECTIONS for line in _section(*section))])


def _section(title: str, prefix: str, model: type[BaseModel]) -> Iterator[str]:
    about = ' '.join((model.__doc__ or '').split())
    yield from (f'## {title}', '', about, '', '| key | default | |', '|---|---|---|')
    for name, field in model.model_fields.items():
        if not isinstance(field.default, BaseModel) or field.description:
            yield f'| `{prefix}{name}` | {_default(field)} | {field.description or ""} |'
    yield ''


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return 'required'
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return ''
    return f'`{str(value).lower() if isinstance(value, bool) else value}`' if value != '' else ''


if __name__ == '__main__':
    PAGE.write_text(page())
