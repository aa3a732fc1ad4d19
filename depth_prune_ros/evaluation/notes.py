"""What a reader of the figures has to know, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from depth_prune_ros.evaluation.breakdown import judged_for_both
from depth_prune_ros.evaluation.results import Result

# What Tally counts -> what it means.
_SENTENCES = {
    'stamps back': '{n} times the stamps go back; flicker is taken over rising stamps only.',
    'no ground truth': (
        '{n} of {frames} frames have no ground truth (lidar with /tf_static, a registered depth '
        'image of the same size, or --ground-truth).'
    ),
    'ground truth out of range': (
        "{n} of {frames} frames have no ground truth inside the protocol's crop and range."
    ),
}


def notes(results: Sequence[Result]) -> tuple[str, ...]:
    """Say what limits the figures of these results, the first of them compared with the others."""
    first = results[0]
    found = list(first.remarks)
    for origin, count in first.ground_truth.items():
        found.append(f'Ground truth: {origin} ({count} of {first.frames_in} frames).')
    if not first.frames and not any(result.frames for result in results):
        found.append('No frame has ground truth: there are pictures, but no figures.')
    for key, sentence in _SENTENCES.items():
        if first.counts.get(key):
            found.append(sentence.format(n=first.counts[key], frames=first.frames_in))
    for result in results:
        without = result.counts.get('no prediction', 0)
        if without:
            found.append(
                f'{result.name}: no depth of exactly their stamp for {without} of '
                f'{result.frames_in} frames; these are not judged.'
            )
    for other in results[1:]:
        if other.frames and first.frames and not judged_for_both(first, other):
            found.append(
                f'{first.name} and {other.name}: no frame was judged for both, so that there is '
                'nothing to compare; judge them on the same bags.'
            )
    return tuple(found)
