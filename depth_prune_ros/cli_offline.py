"""The commands that make a network: train, prune, compact, inspect."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import TYPE_CHECKING

from depth_prune_ros.cli_terminal import bars
from depth_prune_ros.cli_terminal import following
from depth_prune_ros.cli_terminal import say
from depth_prune_ros.cli_terminal import stoppable
from depth_prune_ros.cli_terminal import table
from depth_prune_ros.cli_terminal import training_shown
import typer

if TYPE_CHECKING:
    from depth_prune_ros.offline.config import TrainConfig
    from depth_prune_ros.offline.progress import Report
    from depth_prune_ros.offline.training_data import TrainingData

Config = Annotated[Path | None, typer.Option(help='YAML file (docs/configuration.md).')]
Bags = Annotated[list[Path], typer.Option(help='Bag to learn from; repeat for more.')]
Val = Annotated[list[Path], typer.Option(help='Bag to be judged on; repeat for more.')]
Teacher = Annotated[list[Path], typer.Option(help='Checkpoint to distil from; repeat for more.')]
Out = Annotated[Path, typer.Option(help='Folder of the run; one begun there goes on.')]
New = Annotated[Path, typer.Option(help='Folder for the network, without checkpoints so far.')]
Run = Annotated[Path, typer.Argument(help='Folder of a run, or one of its checkpoints.')]


def train(
    bags: Bags,
    out: Out,
    config: Config = None,
    val: Val = [],  # noqa: B006
    start: Annotated[
        Path | None,
        typer.Option(
            help='Checkpoint to fine-tune; shipped: the dense one of the package, which is taken '
            'where no --config is given; none: a new network.'
        ),
    ] = None,
    teacher: Teacher = [],  # noqa: B006
) -> None:
    """
    Train a depth network, or fine-tune the one of a checkpoint.

    Without --config one is made that suits what the bags have, and kept in the run.

    Example: depth-prune train --bags bags/yard --val bags/street --out runs/robot
    """
    from depth_prune_ros.bags.topics import topic_options
    from depth_prune_ros.offline import stages
    from depth_prune_ros.offline.checkpoint import load_unmasked

    if start is None and config is None:
        start = Path('shipped')
    start = None if start == Path('none') else start
    for run in filter(None, (start, *teacher)):
        load_unmasked(run)  # a wrong name is refused before bags are read
    config = config or _suit(bags, out)
    with _training(bags, val, config, out) as (settings, data, report):
        last = stages.train(settings, data, out, report, start=start, teachers=teacher)
    _say_metrics(last)
    command = ['export', out, f'{out}.onnx']
    if not teacher and start in (None, Path('shipped')):
        command = ['prune', out, '--budget', 'macs=0.2', '--config', config]
        for option, paths in (('--bags', bags), ('--val', val)):
            command += [part for path in paths for part in (option, path)]
        command += ['--out', f'{out}_masked']
    say(f'{last}: trained. {following(*topic_options(), *command)}')


def prune(
    run: Run,
    bags: Bags,
    out: Out,
    budget: Annotated[
        str,
        typer.Option(help='What may stay: macs=0.2, params=5e5, latency=12ms, none (no limit).'),
    ],
    config: Config = None,
    val: Val = [],  # noqa: B006
    multiple: Annotated[
        int | None,
        typer.Option('--round', help='Widths in multiples of it, as in prune.multiple.'),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help='What a filter costs: budget, params, macs, latency, or paper (all alike, iconvs '
            'stay whole).'
        ),
    ] = None,
) -> None:
    """
    Learn one mask per filter, down to a budget.

    Masks and weights are learned jointly, over the whole network.

    Example: depth-prune prune runs/dense --budget macs=0.2 --config config/prune_small.yaml
    --bags bags/0005 --bags bags/street1 --val bags/0002 --out runs/masked
    """
    from depth_prune_ros.offline import stages

    changes = {'multiple': multiple, 'form': form}
    _prepare_budget(run, budget, config, changes)
    with _training(bags, val, config, out, changes) as (settings, data, report):
        last = stages.prune(settings, data, out, report, start=run, budget=budget)
    _say_metrics(last)
    _say_latency(last)
    say(f'{last}: masked. {following("compact", out, "--out", f"{out}_compact")}')


def compact(run: Run, out: New) -> None:
    """
    Remove the masked filters.

    Example: depth-prune compact runs/masked --out runs/compact
    """
    from depth_prune_ros.offline import stages

    small = stages.remove_masked(run, out)
    difference = small.card['parity']['masked_compact']
    say(
        f'{out}: {sum(small.widths.values())} filters, largest difference to the masked network '
        f'{difference:.1g}. {following("train", "--start", out, "--teacher", "DENSE_RUN", "...")}'
    )


def inspect(
    run: Run,
    picture: Annotated[
        Path | None, typer.Option(help='Draw the widths before and after (.png or .svg).')
    ] = None,
) -> None:
    """
    Show the groups of filters and what they cost.

    Example: depth-prune inspect runs/masked --picture widths.png
    """
    from depth_prune_ros.offline.inspect import describe
    from depth_prune_ros.offline.inspect import draw_widths

    groups, summary = describe(run)
    rows = [
        (
            g.name,
            ' '.join(g.members),
            f'{g.dense}',
            f'{g.kept}',
            f'{g.params:.1%}',
            f'{g.macs:.1%}',
        )
        for g in groups
    ]
    table(('group', 'layers', 'width', 'kept', 'params', 'MACs'), rows)
    say(summary)
    if picture:
        draw_widths(groups, summary, picture)
        say(f'picture: {picture}')


def add_offline_commands(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (train, prune, compact, inspect):
        app.command()(command)


def _suit(bags: list[Path], out: Path) -> Path:
    """Say what bags have, and return the file of the configuration that suits it."""
    from depth_prune_ros.offline.suit import suited_config

    file, lines = suited_config(bags, out)
    say('\n'.join(lines))
    return file


def _prepare_budget(
    run: Path, budget: str, config: Path | None, changes: Mapping[str, Any]
) -> None:
    """Refuse a budget that cannot be met before bags are read; make the table of a latency."""
    from depth_prune_ros.offline import ranks
    from depth_prune_ros.offline.budget import check_budget
    from depth_prune_ros.offline.budget import takes_table
    from depth_prune_ros.offline.checkpoint import load_unmasked
    from depth_prune_ros.offline.config import read_config

    settings = read_config(config, changes)
    takes_table(settings, budget)  # a latency wants its unit
    before = load_unmasked(run)
    settings = settings.model_copy(update={'network': before.network})
    if ranks.is_first():
        with bars() as progress:
            check_budget(settings, budget, before.widths, partial(progress, 'measuring layers'))


def _say_latency(run: Path) -> None:
    from depth_prune_ros.offline.checkpoint import load
    from depth_prune_ros.offline.latency_stage import Latency

    if found := load(run).card['provenance'].get('latency'):
        latency = Latency(**found)
        say(latency.line())
        latency.check()


def _say_metrics(run: Path) -> None:
    """Print what the last validation found, bag by bag."""
    from depth_prune_ros.core.card import judged_by
    from depth_prune_ros.offline.checkpoint import load

    card = load(run).card
    found = card.get('metrics', {})
    if found:
        say(f'validation, protocol {judged_by(card["provenance"])}:')
        names = list(next(iter(found.values())))
        rows = [
            (bag, *(f'{metrics[name]:.4f}' for name in names)) for bag, metrics in found.items()
        ]
        table(('bag', *names), rows)


@contextmanager
def _training(
    bags: list[Path],
    val: list[Path],
    config: Path | None,
    out: Path,
    prune: Mapping[str, Any] | None = None,
) -> Iterator[tuple[TrainConfig, TrainingData, Report]]:
    """Read configuration (with changes to its prune section) and bags, and show the progress."""
    from depth_prune_ros.offline import ranks
    from depth_prune_ros.offline.config import read_config
    from depth_prune_ros.offline.machine import keep_freed_memory
    from depth_prune_ros.offline.training_data import read_data

    keep_freed_memory()
    settings = read_config(config, prune)
    with ranks.process_group(), stoppable(), bars() as progress:
        data = read_data(bags, val, settings, lambda name, n: progress(f'reading {name}', n, 0))
        with training_shown(progress, 'training', out, settings) as report:
            yield settings, data, report
