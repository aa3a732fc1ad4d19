"""Which files a bag consists of: one file, or a folder with or without metadata.yaml."""

from __future__ import annotations

from pathlib import Path

from depth_prune_ros.bags.inflate import inflate_file
from depth_prune_ros.bags.losses import Damage
from depth_prune_ros.core.errors import BagError

SUFFIXES = ('.mcap', '.db3', '.bag')
PACKED = '.zstd'


def bag_files(bag: Path) -> tuple[list[Path], list[Damage]]:
    """
    List the storage files of a bag, and those that its metadata.yaml names and that are gone.

    :raises BagError: nothing there, or nothing that is a bag
    """
    if not bag.exists():
        msg = f'{bag}: expected a bag, found nothing there; check the path'
        raise BagError(msg)
    if bag.is_file():
        _check_suffix(bag)
        return [bag], []
    for suffix in SUFFIXES:
        here = sorted(path for path in bag.iterdir() if path.is_file() and _kind(path) == suffix)
        if here:
            return _listed(bag, here)
    msg = f'{bag}: expected a folder with .mcap, .db3 or .bag files, found none of them'
    raise BagError(msg)


def bag_name(bag: Path) -> str:
    """Return a bag's name: its folder's or file's, without the storage's endings."""
    name = bag.resolve().name
    plain = name.removesuffix(PACKED)
    return next((plain.removesuffix(end) for end in SUFFIXES if plain.endswith(end)), name)


def unpack(files: list[Path], folder: Path) -> tuple[list[Path], list[Damage]]:
    """Decompress those files that are compressed as a whole into a folder, as far as they go."""
    whole, damages = [], []
    for file in files:
        if file.suffix == PACKED:
            target = folder / file.stem
            lost = inflate_file(file, target)
            if lost is not None:
                damages.append(Damage(file, file.stat().st_size - lost, lost, 'cut short'))
            file = target
        whole.append(file)
    return whole, damages


def _listed(bag: Path, here: list[Path]) -> tuple[list[Path], list[Damage]]:
    """Keep to the files that metadata.yaml names, if it names any that is there."""
    names = _names(bag / 'metadata.yaml')
    listed = [path for path in here if path.name in names]
    if not listed:
        return here, []
    gone = sorted(names - {path.name for path in here})
    return listed, [Damage(bag / name, None, None, 'is missing') for name in gone]


def _names(metadata: Path) -> set[str]:
    """Find the file names in a metadata.yaml, be it damaged or of any version."""
    if not metadata.is_file():
        return set()
    lines = metadata.read_text(encoding='utf-8', errors='replace').splitlines()
    # Older versions name files with their folder.
    words = (line.split(': ')[-1].strip(' -\'"').rpartition('/')[2] for line in lines)
    return {word for word in words if _kind(Path(word)) in SUFFIXES}


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == PACKED else path.suffix


def _check_suffix(bag: Path) -> None:
    if _kind(bag) in SUFFIXES:
        return
    hint = '; rename it to .bag first' if bag.suffix == '.active' else ''
    msg = (
        f'{bag}: expected a folder, or a file {", ".join(SUFFIXES)} (also with {PACKED} behind), '
        f'found {bag.suffix or "no suffix"}{hint}'
    )
    raise BagError(msg)
