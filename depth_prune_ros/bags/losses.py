"""What a damaged or odd bag could not give: noticed while reading, told once afterwards."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import json
import logging
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Damage:
    """
    One damaged place of a file.

    :param file: the file
    :param offset: where it begins in the file, bytes; None where that is not known
    :param size: how many bytes are lost; None where that is not known
    :param reason: what is wrong, in a few words
    """

    file: Path
    offset: int | None
    size: int | None
    reason: str

    @property
    def is_end(self) -> bool:
        """Tell whether all before it is there: it is the end of its file."""
        if not self.offset or self.size is None or not self.file.is_file():
            return False
        return self.offset + self.size >= self.file.stat().st_size


@dataclass(frozen=True)
class Loss:
    """
    What could not be read of one bag.

    :param bag: the bag, as it was named
    :param damages: its damaged places, in the order of finding
    :param bag_bytes: size of the bag's files
    :param frames_read: frames that could be read; None where no frames were asked for
    """

    bag: Path
    damages: tuple[Damage, ...]
    bag_bytes: int
    frames_read: int | None = None

    @property
    def bytes_lost(self) -> int | None:
        """Bytes that could not be read; None where the size of no damaged place is known."""
        sizes = [damage.size for damage in self.damages if damage.size is not None]
        return sum(sizes) if sizes else None

    def __str__(self) -> str:
        """Say it in one line."""
        first = self.damages[0]
        place = '' if first.offset is None else f' at byte {first.offset}'
        others = len(self.damages) - 1
        more = f', and {others} more place{"s" if others > 1 else ""}' if others else ''
        lost = f'{self.bytes_lost} bytes' if self.bytes_lost else 'an unknown part'
        read = '' if self.frames_read is None else f', frames read: {self.frames_read}'
        return (
            f'{self.bag}: {first.file.name}: {first.reason}{place}{more}: {lost} lost, '
            f'{self.bag_bytes} bytes present{read}'
        )


@dataclass
class Findings:
    """
    What reading had to say.

    :param losses: bag -> what of it is lost
    :param warnings: oddities that cost nothing but should be known, one line each
    """

    losses: dict[Path, Loss] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add_loss(self, loss: Loss) -> None:
        """Join with what is known of the same bag: it may be read several times."""
        known = self.losses.get(loss.bag)
        if known is not None:
            damages = tuple(dict.fromkeys((*known.damages, *loss.damages)))
            frames = known.frames_read if loss.frames_read is None else loss.frames_read
            loss = Loss(loss.bag, damages, loss.bag_bytes, frames)
        self.losses[loss.bag] = loss

    def add_warning(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def of(self, bag: Path) -> dict[str, Any]:
        """Return what JSON can keep of the reading of one bag, for tell_again."""
        losses = [asdict(loss) for loss in self.losses.values()]
        kept = {'bag': bag, 'losses': losses, 'warnings': self.warnings}
        return dict(json.loads(json.dumps(kept, default=str)))


def tell_again(found: Mapping[str, Any], bag: Path) -> None:
    """
    Tell once more what an earlier reading of a bag had to say.

    :param found: of Findings.of
    :param bag: the same bag, wherever it lies now
    """

    def here(text: str) -> str:
        return text.replace(found['bag'], str(bag), 1)

    for loss in found['losses']:
        damages = [Damage(**{**one, 'file': Path(here(one['file']))}) for one in loss['damages']]
        report_loss(Loss(**{**loss, 'bag': bag, 'damages': tuple(damages)}))
    for text in found['warnings']:
        warn(here(text))


OnDamage = Callable[[Damage], None]
_collecting: list[Findings] = []


def words_of(error: Exception) -> str:
    """Return what an exception of a library says, in one line."""
    return ' '.join(str(error).split()).rstrip('.') or type(error).__name__


@contextmanager
def collect_findings() -> Iterator[Findings]:
    """
    Collect what reading has to say inside the with statement, whatever thread it comes from.

    Where nobody collects, it goes to this module's logger.
    """
    findings = Findings()
    _collecting.append(findings)
    try:
        yield findings
    finally:
        _collecting.remove(findings)


def report_loss(loss: Loss) -> None:
    """Tell a loss to whoever collects."""
    for findings in _collecting:
        findings.add_loss(loss)
    if not _collecting:
        _log.warning('%s', loss)


def warn(text: str) -> None:
    """Tell an oddity in one line to whoever collects."""
    for findings in _collecting:
        findings.add_warning(text)
    if not _collecting:
        _log.warning('%s', text)
