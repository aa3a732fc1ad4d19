"""One file for the node: ONNX with normalisation and the model card inside."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
import tempfile
import warnings

from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.core.engine import DepthEngine
from depth_prune_ros.core.errors import ModelError
from depth_prune_ros.offline.card_file import check_file
from depth_prune_ros.offline.card_file import save
from depth_prune_ros.offline.checkpoint import Checkpoint
from depth_prune_ros.offline.cost import cost
from depth_prune_ros.offline.networks.base import Decoder
from depth_prune_ros.offline.networks.base import DepthNetwork
import numpy as np
import onnx
import torch
from torch import nn
from torch import Tensor

TOLERANCE = 1e-4


class Deployed(nn.Module):
    """The network as the node sees it: uint8 [1, H, W, 3] RGB to left disparity [1, H, W]."""

    def __init__(self, network: DepthNetwork) -> None:
        """Wrap a copy of a network, its finest head for the left disparity alone."""
        super().__init__()
        self.network = copy.deepcopy(network)
        decoder = self.network.get_submodule('decoder')
        assert isinstance(decoder, Decoder)
        decoder.keep_left()
        std, mean = torch.tensor(network.std), torch.tensor(network.mean)
        self.register_buffer('scale', (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer('shift', (mean / std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return the finest left disparity, fractions of the width."""
        scaled = image.permute(0, 3, 1, 2).float() * self.get_buffer('scale')
        normalised = scaled - self.get_buffer('shift')
        return self.network.predict(normalised)[0][:, 0]


def export(checkpoint: Checkpoint, path: Path, name: str = '') -> ModelCard:
    """
    Write a checkpoint's network as the file the node loads.

    The file is loaded through core.engine and compared with torch before it takes its name.

    :param name: the model's name in its card; the file's stem by default
    :raises ModelError: masks are left, or ONNX and torch differ by more than 1e-4 (relative),
        or the network says nan, or the file cannot be written
    """
    if checkpoint.masks:
        msg = 'expected a compact checkpoint, found masks in it; first run: depth-prune compact'
        raise ModelError(msg)
    check_file(path)
    network = checkpoint.build()
    card = make_card(checkpoint, network, name or path.stem)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / 'draft.onnx'
        write_graph(network, (card.input_height, card.input_width), draft)
        model = onnx.load(draft)
        save(model, card, draft)
        difference = _difference(network, draft)
    if not difference <= TOLERANCE:
        msg = f'{path}: expected ONNX within {TOLERANCE:g} of torch, found {difference:.2g}'
        raise ModelError(msg)
    card = replace(card, parity={**card.parity, 'torch_onnx': difference})
    save(model, card, path)
    return card


def make_card(checkpoint: Checkpoint, network: DepthNetwork, name: str) -> ModelCard:
    """Return the card of a checkpoint: what its training left, and what the network costs."""
    about = checkpoint.card
    height, width = about['input_height'], about['input_width']
    counted = cost(network.layers, network.widths, height * width)
    return ModelCard(
        name=name,
        network=checkpoint.network,
        input_height=height,
        input_width=width,
        baseline_m=about['baseline_m'],
        fx_over_width=about['fx_over_width'],
        fy_over_height=about.get('fy_over_height', 0.0),
        parameters=counted.params,
        macs=counted.macs,
        size_multiple=network.multiple,
        widths=checkpoint.widths,
        provenance=about.get('provenance', {}),
        parity=about.get('parity', {}),
        metrics=about.get('metrics', {}),
        mean=network.mean,
        std=network.std,
    )


def write_graph(network: DepthNetwork, size: tuple[int, int], path: Path) -> None:
    """
    Write the graph that the node runs, without a card.

    :param size: height and width of its image
    """
    image = torch.zeros(1, *size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter that torch prefers needs onnxscript and gives the same graph.
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.onnx.export(
            Deployed(network).eval(),
            (image,),
            str(path),
            input_names=['image'],
            output_names=['disparity'],
            opset_version=17,
            dynamo=False,
        )


def _difference(network: DepthNetwork, path: Path) -> float:
    """Return the largest relative difference between torch and core.engine on random images."""
    engine = DepthEngine.load(path)
    rng = np.random.default_rng(0)
    card = engine.card
    own, step = (card.input_height, card.input_width), card.size_multiple
    worst = 0.0
    for size in (own, own, own, (own[0] + step, own[1] + 2 * step)):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        with torch.no_grad():
            wanted = network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
        wanted = wanted[0][0, 0].numpy() * (own[1] / size[1])
        difference = (np.abs(engine.run(image) - wanted) / wanted).max()
        worst = float(np.maximum(worst, difference))  # nan where one of them is
    return worst
