"""docs/configuration.md has every setting, its default, and what it means."""

from __future__ import annotations

from pathlib import Path

import configuration

DOCS = Path(__file__).resolve().parents[1] / 'docs'


def test_the_page_is_what_the_package_checks() -> None:
    text = (DOCS / 'configuration.md').read_text()
    assert text == configuration.page(), 'python docs/configuration.py writes it anew'
    assert '| `losses.jumps` | `0.0` | of the hints: where they jump, by themselves |' in text


def test_every_setting_is_explained() -> None:
    rows = [line for line in configuration.page().splitlines() if line.startswith('| `')]
    assert len(rows) > 60
    assert [row for row in rows if row.endswith('|  |')] == []
