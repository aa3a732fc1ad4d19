"""KITTI's PNGs of depth or disparity: which belongs to which image."""

from __future__ import annotations

from pathlib import Path
import re

from depth_prune_ros.core.errors import BagError


def match_pngs(folder: Path, count: int, *, whole: bool = True) -> dict[int, Path]:
    """
    Say which PNG belongs to which image of the bag, counted from 0 in the order of recording.

    As many PNGs as images: in the order of their names. Else each name has to have a number (the
    last six or more digits in a row: 0000000005.png, 000005_10.png) below the number of images:
    that is the image's. KITTI's official depth leaves out a drive's first and last five frames.
    Of a bag that is cut short nobody knows how many images there were: there the names have to
    have numbers, below those that are left or one for every image from 0 on.

    :param count: images that the bag has
    :param whole: whether those are all that were recorded
    :raises BagError: PNGs that do not fit
    """
    paths = sorted(folder.glob('*.png'))
    in_order = dict(enumerate(paths))
    if paths and len(paths) == count and whole:
        return in_order
    numbers = [re.findall(r'\d{6,}', path.stem) for path in paths]
    found = {int(n[-1]): path for n, path in zip(numbers, paths, strict=True) if n}
    numbered = bool(paths) and len(found) == len(paths)
    if numbered and (max(found) < count or (found == in_order and not whole)):
        return found
    names = f'{paths[0].name} .. {paths[-1].name}' if paths else 'none'
    msg = (
        f'{folder}: expected one PNG for each of the {count} frames, or PNGs numbered below '
        f'{count}, found {len(paths)} ({names}); '
    ) + (
        'is this the ground truth of this bag?'
        if whole
        else 'the bag is damaged: how many frames it had, and so which PNG is whose, is not known'
    )
    raise BagError(msg)
