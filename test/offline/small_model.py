"""A model small enough to be quantised in no time, with a channel that makes it hard if wanted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
import warnings

from depth_prune_ros.core.card import ModelCard
from depth_prune_ros.offline.card_file import save
import onnx
import onnxruntime as ort
from tiny_model import HEIGHT
from tiny_model import WIDTH
import torch
from torch import nn
from torch import Tensor


class Small(nn.Module):
    """Five convolutions, a sum and a concatenation; one channel between two may be blown up."""

    def __init__(self, blow_up: float) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 8, 1)
        self.narrow = nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(16, 1, 3, padding=1)
        for conv in (self.stem, self.body, self.wide, self.narrow, self.head):
            nn.init.normal_(conv.weight, 0, conv.weight[0].numel() ** -0.5, generator=random)
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            self.head.weight[:, 8:] *= 2
            self.head.bias -= 2
            self.wide.weight[0] *= blow_up
            self.narrow.weight[:, 0] /= blow_up

    def forward(self, image: Tensor) -> Tensor:
        stem = torch.relu(self.stem(image.permute(0, 3, 1, 2).float() / 255))
        deep = torch.relu(self.narrow(torch.relu(self.wide(stem + self.body(stem)))))
        whole = nn.functional.interpolate(torch.cat([stem, deep], 1), scale_factor=2)
        return 0.3 * torch.sigmoid(self.head(whole))[:, 0]


def write_small_model(path: Path, card: ModelCard, blow_up: float = 1.0) -> Path:
    """
    Write the model.

    :param blow_up: range of one channel between the layers wide and narrow, against the others;
        what the model computes does not depend on it
    :return: path
    """
    image = torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    network = Small(blow_up).eval()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.onnx.export(network, (image,), str(path), opset_version=17, dynamo=False)
    save(onnx.load(path), card, path)
    return path


def kernels_of(path: Path, folder: Path) -> Counter[str]:
    """Return what onnxruntime really runs, by operator."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / 'optimised.onnx')
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(str(path), sess_options=options, providers=['CPUExecutionProvider'])
    nodes = onnx.load(folder / 'optimised.onnx').graph.node
    return Counter(node.op_type for node in nodes)
