"""Fixtures of the offline tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: images are tiny, and sums come out alike on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
