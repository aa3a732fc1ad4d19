"""
Every error this package raises on purpose.

::

    DepthPruneError
    +-- BagError          a bag that is missing, empty, damaged or lacks a topic
    +-- ImageError        an image or a cloud whose encoding, size or rows do not fit
    |   +-- EncodingError an encoding or a layout that nothing here reads
    +-- CameraError       intrinsics or a baseline that cannot be used
    +-- ModelError        a model file that is not ours or does not fit its card
    +-- CheckpointError   a checkpoint that is missing, damaged or of another network
    +-- ConfigError       a setting that is unknown, of a wrong type or impossible
    +-- MaskError         filters whose declared coupling or budget does not work out
    +-- TrainingError     a training that cannot go on (no frames, NaN loss)
    +-- ReplayError       a node or player process that did not do its part

The command line and the node turn each into one line: what was expected, what was found,
what to do next.
"""


class DepthPruneError(Exception):
    """Root of all errors raised on purpose by this package."""


class BagError(DepthPruneError):
    """A bag that is missing, empty, damaged or lacks what is asked of it."""


class ImageError(DepthPruneError):
    """An image or a cloud whose encoding, size or rows do not fit."""


class EncodingError(ImageError):
    """An encoding or layout that nothing here reads: the next image or cloud has it, too."""


class CameraError(DepthPruneError):
    """Intrinsics or a baseline that cannot be used."""


class ModelError(DepthPruneError):
    """A model file that is not ours or does not fit its card."""


class CheckpointError(DepthPruneError):
    """A checkpoint that is missing, damaged or of another network."""


class ConfigError(DepthPruneError):
    """A setting that is unknown, of a wrong type or impossible."""


class MaskError(DepthPruneError):
    """Filters whose declared coupling or budget does not work out."""


class TrainingError(DepthPruneError):
    """A training that cannot go on."""


class ReplayError(DepthPruneError):
    """A node or player process that did not do its part."""
