"""Cards of this and of earlier versions."""

from __future__ import annotations

import json
from typing import Any

from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.errors import ModelError
import pytest
from tiny_model import CARD


def test_a_card_of_before_has_no_other_size_than_its_own() -> None:
    values = json.loads(CARD.to_json())
    del values['size_multiple']
    assert ModelCard.from_json(json.dumps(values)) == CARD
    assert CARD.size_multiple == 0


def test_a_missing_key_is_named() -> None:
    values = json.loads(CARD.to_json())
    del values['macs']
    with pytest.raises(ModelError, match="expected key 'macs' in the model card, found none"):
        ModelCard.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ('lie', 'reason'),
    [
        ({'schema_version': 2}, 'schema version 1, found 2'),
        ({'baseline_m': '0.5'}, "expected baseline_m as float, found '0.5'"),
        ({'parameters': True}, 'expected parameters as int, found True'),
    ],
)
def test_another_version_or_type_is_refused(lie: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        ModelCard.from_json(json.dumps(json.loads(CARD.to_json()) | lie))
