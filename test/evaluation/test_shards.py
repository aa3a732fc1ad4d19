"""Shards add up to one run, to the last bit; and what is no shard is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
import json
from pathlib import Path
import shutil

from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import BagError
from depth_prune_ros.core.errors import ConfigError
from depth_prune_ros.core.metrics import EIGEN
from depth_prune_ros.evaluation.breakdown import analyse
from depth_prune_ros.evaluation.gallery import Gallery
from depth_prune_ros.evaluation.report import results_to_json
from depth_prune_ros.evaluation.results import Result
from depth_prune_ros.evaluation.results import result_from_json
from depth_prune_ros.evaluation.run import evaluate_bags
from depth_prune_ros.evaluation.run import identity
from depth_prune_ros.evaluation.run import Job
from depth_prune_ros.evaluation.shards import merge_shards
from depth_prune_ros.evaluation.shards import Merged
from depth_prune_ros.evaluation.shards import parse_shard
from depth_prune_ros.evaluation.shards import Shard
from depth_prune_ros.evaluation.shards import write_shard
from evaluation_scenes import camera_topics
from evaluation_scenes import HEIGHT
from evaluation_scenes import IMAGE
from evaluation_scenes import image_message
from evaluation_scenes import stamp_of
from evaluation_scenes import WIDTH
from evaluation_scenes import write_bag
import numpy as np
import pytest

SIZES = (7, 1, 5)


@pytest.fixture(scope='module')
def job(red_engine: DepthEngine, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Write three bags of random depths, some of it staying; a model and a topic are judged."""
    folder = tmp_path_factory.mktemp('bags')
    generator = np.random.default_rng(0)
    bags = []
    for number, size in enumerate(SIZES):
        stamps = [stamp_of(i) for i in range(size)]
        topics = camera_topics(stamps, red=30 + 40 * number, right=(WIDTH, HEIGHT))
        gt = generator.uniform(3, 60, (HEIGHT, WIDTH)).astype(np.float32)
        for name, spread in (('/left/depth', 0.01), ('/recorded', 0.2)):
            noise = [generator.normal(1, spread, gt.shape) for _ in stamps]
            depths = [(gt * n).clip(1).astype(np.float32) for n in noise]
            messages = [image_message(s, d, '32FC1') for s, d in zip(stamps, depths, strict=True)]
            topics[name] = (IMAGE, list(zip(stamps, messages, strict=True)))
        bags.append(write_bag(folder / f'bag{number}', topics))
    return Job(tuple(bags), EIGEN, (('red', red_engine),), ('/recorded',))


def write(job: Job, folder: Path, shard: Shard) -> tuple[Result, ...]:
    """Evaluate a shard into a folder of its own."""
    gallery = Gallery()
    results = evaluate_bags(job, shard=shard, on_frame=gallery, workers=2)
    evaluated = Merged(results, gallery.shots(), 'a title')
    write_shard(folder / str(shard.number), evaluated, shard, identity(job))
    return results


def without_latency(results: tuple[Result, ...]) -> str:
    """Return metrics.json without what a clock measured."""
    timeless = [
        replace(r, latencies_ms=(), latency_ms={'p50': None, 'p99': None}) for r in results
    ]
    return json.dumps(results_to_json(analyse(timeless)))


@pytest.mark.parametrize('count', [1, 2, 3, 13])
def test_merged_shards_equal_one_run_exactly(job: Job, count: int, tmp_path: Path) -> None:
    whole = evaluate_bags(job, workers=1)
    found = [write(job, tmp_path, Shard(i + 1, count)) for i in range(count)]
    assert sum(results[0].frames for results in found) == sum(SIZES)
    folders = [tmp_path / str(i + 1) for i in reversed(range(count))]
    merged = merge_shards(folders)
    assert without_latency(merged.results) == without_latency(whole)
    assert len(merged.results[0].latencies_ms) == sum(SIZES)
    assert merged.title == 'a title'
    flickers = [f.detail.flicker for f in merged.results[0].per_frame if f.detail]
    assert sum(flicker is not None for flicker in flickers) == sum(SIZES) - len(SIZES)


def test_merged_gallery_has_the_best_and_the_worst(job: Job, tmp_path: Path) -> None:
    for i in range(3):
        write(job, tmp_path, Shard(i + 1, 3))
    merged = merge_shards([tmp_path / str(i + 1) for i in range(3)])
    gallery = Gallery()
    evaluate_bags(job, on_frame=gallery)
    single = gallery.shots()
    for kind in ('best', 'worst'):
        ours = [(s.bag, s.index, s.abs_rel) for s in merged.shots if s.kind == kind]
        assert ours == [(s.bag, s.index, s.abs_rel) for s in single if s.kind == kind]
    by_place = {(s.bag, s.index): s for s in single}
    for shot in merged.shots:
        if (shot.bag, shot.index) in by_place:
            np.testing.assert_array_equal(shot.picture, by_place[shot.bag, shot.index].picture)
    assert {s.kind for s in merged.shots} == {'best', 'median', 'worst'}


def test_results_survive_json_to_the_last_bit(job: Job) -> None:
    for result in evaluate_bags(job):
        text = json.dumps(result.to_json(), allow_nan=False)
        assert result_from_json(json.loads(text)) == result


def test_shards_cover_every_frame_once() -> None:
    for total in (0, 1, 7, 100):
        for count in (1, 2, 3, 8):
            spans = [Shard(i + 1, count).frames(total) for i in range(count)]
            assert [f for low, high in spans for f in range(low, high)] == list(range(total))


def test_more_shards_than_frames(job: Job) -> None:
    with pytest.raises(BagError, match='shard 1/50: expected frames, found 0; take fewer shards'):
        evaluate_bags(job, shard=Shard(1, 50))


@pytest.mark.parametrize('text', ['0/2', '3/2', '1', 'a/b', '1/0', '-1/2', '²/3'])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ConfigError, match=f"such as 1/4 .*, found '{text}'"):
        parse_shard(text)
    assert parse_shard('2/3') == Shard(2, 3)


def test_shards_that_do_not_belong_together(job: Job, tmp_path: Path) -> None:
    first, second = tmp_path / '1', tmp_path / '2'
    write(job, tmp_path, Shard(1, 2))
    with pytest.raises(ConfigError, match='expected the shards 1 to 2, each once, found 1$'):
        merge_shards([first])
    with pytest.raises(ConfigError, match='each once, found 1, 1'):
        merge_shards([first, first])
    with pytest.raises(ConfigError, match=r'2/shard.json: expected what depth-prune evaluate'):
        merge_shards([first, second])
    other = replace(job, rules=replace(EIGEN, median_scaling=True))
    write(other, tmp_path, Shard(2, 2))
    with pytest.raises(ConfigError, match='2: expected a shard of the same bags, models, gro'):
        merge_shards([first, second])
    shutil.rmtree(second)
    write(job, tmp_path, Shard(2, 2))
    (second / 'shot_0_0.png').unlink()
    with pytest.raises(ConfigError, match='shot_0_0.png: expected a picture of the shard'):
        merge_shards([first, second])
    (second / 'shard.json').write_text('{"version": 99}')
    with pytest.raises(ConfigError, match='expected a shard of version 2'):
        merge_shards([first, second])


@pytest.mark.parametrize(
    ('part', 'foreign', 'found'),
    [
        ('shard', [1, 2], 'TypeError'),
        ('shard', {'part': 1}, 'TypeError'),
        ('results', [{}], 'KeyError'),
        ('results', 3, 'TypeError'),
        ('shots', [7], 'AttributeError'),
        ('shots', [{'abs_rel': [], 'pictures': []}], 'ValueError'),
        ('shots', [{'abs_rel': [], 'pictures': ['shot_0_0.png'], 'colour': 1}], 'TypeError'),
        ('title', None, "KeyError.*'title'"),
    ],
)
def test_a_shard_of_other_parts(
    job: Job, part: str, foreign: object, found: str, tmp_path: Path
) -> None:
    write(job, tmp_path, Shard(1, 1))
    path = tmp_path / '1' / 'shard.json'
    parts = json.loads(path.read_text())
    parts[part] = foreign
    path.write_text(json.dumps({k: v for k, v in parts.items() if v is not None}))
    with pytest.raises(ConfigError, match=f'shard.json: expected what .* writes, found: {found}'):
        merge_shards([path.parent])


def test_a_topic_may_cover_a_part_of_the_bag(job: Job, tmp_path: Path) -> None:
    """Of six images the first two have depth on the topic: the second half has none."""
    stamps = [stamp_of(i) for i in range(6)]
    topics = camera_topics(stamps, red=30)
    depth = np.full((HEIGHT, WIDTH), 7, np.float32)
    for name, some in (('/left/depth', stamps), ('/recorded', stamps[:2])):
        topics[name] = (IMAGE, [(s, image_message(s, depth, '32FC1')) for s in some])
    half = Job((write_bag(tmp_path / 'bag', topics),), EIGEN, topics=('/recorded',))
    whole = evaluate_bags(half)
    for number in (1, 2):
        write(half, tmp_path, Shard(number, 2))
    merged = merge_shards([tmp_path / '1', tmp_path / '2'])
    assert without_latency(merged.results) == without_latency(whole)
    assert (whole[0].frames_in, whole[0].frames_out, whole[0].frames) == (6, 2, 2)
    for number in (1, 2):
        folder = tmp_path / str(number)
        found = json.loads((folder / 'shard.json').read_text())
        found['results'][0] |= {'frames_out': 0, 'per_frame': []}
        (folder / 'shard.json').write_text(json.dumps(found))
    with pytest.raises(ConfigError, match='expected depth of /recorded in the shards, found none'):
        merge_shards([tmp_path / '1', tmp_path / '2'])


def test_shards_of_another_truth_bag_or_model_are_not_merged(job: Job, tmp_path: Path) -> None:
    write(job, tmp_path, Shard(1, 2))
    engine = copy.copy(job.engines[0][1])
    engine.sha256 = '0' * 64
    longer = replace(job, bags=(*job.bags[:2], shutil.copytree(job.bags[0], tmp_path / 'bag2')))
    for other in (
        replace(job, ground_truth='/recorded'),
        replace(job, engines=(('red', engine),)),
        longer,
    ):
        write(other, tmp_path, Shard(2, 2))
        with pytest.raises(ConfigError, match='2: expected a shard of the same bags, models, gro'):
            merge_shards([tmp_path / '1', tmp_path / '2'])
        shutil.rmtree(tmp_path / '2')
