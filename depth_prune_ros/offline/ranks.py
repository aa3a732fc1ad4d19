"""
Several processes that train one network together (torchrun), or one that trains alone.

Each rank computes its part of every batch; what the loss and the batch norms take a mean over is
taken over all ranks, so n processes do what one does with the whole batch, up to the order of
sums. The rule for gradients: every rank's loss is that of the whole batch or its part's mean, and
the gradients are averaged over the ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
import os
from typing import Any
from typing import TypeVar

from depth_prune_ros.core.errors import TrainingError
import torch
from torch import distributed
from torch import nn
from torch import Tensor

# a rank that waits longer for the others (validation and bags are read by rank 0 alone) gives up
_PATIENCE = timedelta(hours=6)
Value = TypeVar('Value')


def rank() -> int:
    """Return this process's number."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """
    Join the processes that torchrun started; alone, do nothing.

    :raises TrainingError: another rank ended
    """
    if int(os.environ.get('WORLD_SIZE', '1')) == 1:
        yield
        return
    distributed.init_process_group('gloo', timeout=_PATIENCE)
    try:
        yield
    except (RuntimeError, KeyboardInterrupt) as error:
        if not _is_of_another(error):
            raise
        msg = f'rank {rank()}: expected {count()} processes, found that another one ended'
        raise TrainingError(msg) from error
    finally:
        distributed.destroy_process_group()


def barrier() -> None:
    """Wait until every rank is here."""
    if count() > 1:
        distributed.barrier()


def is_first() -> bool:
    """Return whether this is rank 0, also before the processes are together."""
    return os.environ.get('RANK', '0') == '0'


def from_first(make: Callable[[], Value]) -> Value:
    """Return on every rank what rank 0 makes; the others wait for it."""
    if count() == 1:
        return make()
    found: list[Any] = [make() if rank() == 0 else None]
    distributed.broadcast_object_list(found, 0)
    value: Value = found[0]
    return value


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Give every rank what rank 0 has, all in one exchange."""
    if count() > 1:
        found = list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1).double() for tensor in found])
        distributed.broadcast(flat, 0)
        _spread(flat, found)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over the ranks, all in one exchange."""
    if count() > 1:
        learned = list(parameters)
        for parameter in learned:
            if parameter.grad is None:  # a part of the batch may have nothing to say of it
                parameter.grad = torch.zeros_like(parameter)
        found = [parameter.grad for parameter in learned if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in found])
        distributed.all_reduce(flat)
        _spread(flat / count(), found)


def all_reduce_mean(values: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of each value over the ranks; one that a rank lacks is 0 there."""
    if count() == 1:
        return dict(values)
    every: list[dict[str, float]] = [{} for _ in range(count())]
    distributed.all_gather_object(every, dict(values))
    names = dict.fromkeys(name for found in every for name in found)
    return {name: sum(found.get(name, 0.0) for found in every) / count() for name in names}


def _spread(flat: Tensor, tensors: list[Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.data.copy_(part.view(tensor.shape))


def any_rank(flag: bool) -> bool:
    """Return whether it holds on any rank; the same on all of them."""
    if count() == 1:
        return flag
    found = torch.tensor(float(flag))
    distributed.all_reduce(found)
    return bool(found > 0)


def all_reduce_sum(value: Tensor) -> Tensor:
    """Return the sum over the ranks; gradients flow back to each rank's summand."""
    if count() == 1:
        return value
    found: Tensor = _Total.apply(value)  # type: ignore[no-untyped-call]
    return found


def global_means(*values: Tensor) -> list[Tensor]:
    """Return the mean of each tensor's elements over the ranks, which may have unlike many."""
    if count() == 1:
        return [value.mean() for value in values]
    number = values[0].new_tensor(float(values[0].numel()))
    sums = all_reduce_sum(torch.stack([*(value.sum() for value in values), number]))
    return list(sums[:-1] / sums[-1])


class _Total(torch.autograd.Function):
    """A sum over ranks, whose gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        out = value.detach().clone().contiguous()
        distributed.all_reduce(out)
        return out

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        out = gradients[0].clone().contiguous()
        distributed.all_reduce(out)
        return out


class _RankNorm(nn.BatchNorm2d):
    """Batch norm over the batch of all ranks; torch's own (SyncBatchNorm) has no CPU support."""

    def forward(self, image: Tensor) -> Tensor:
        """Normalise [N, C, H, W]; with running statistics when it does not train."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(image)
        values = image.float()
        number = image.numel() // image.shape[1] * count()  # the ranks' parts are equal
        mean = all_reduce_sum(values.sum((0, 2, 3))) / number
        # around the mean, in a second exchange: a difference of squares loses its digits
        apart = values - mean.view(1, -1, 1, 1)
        variance = all_reduce_sum(apart.square().sum((0, 2, 3))) / number
        with torch.no_grad():
            rate = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean, rate)
            self.running_var.lerp_(variance * (number / (number - 1)), rate)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = (variance + self.eps).rsqrt() * self.weight
        out = apart * scale.view(1, -1, 1, 1)
        normed: Tensor = (out + self.bias.view(1, -1, 1, 1)).to(image.dtype)
        return normed


def join_norms(network: nn.Module) -> None:
    """Let the batch norms of a network see the batch of all ranks."""
    if count() == 1:
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _RankNorm


def _is_of_another(error: BaseException | None) -> bool:
    """
    Tell whether gloo or nccl complains of a lost connection, or did before this error.

    torchrun asks the others to end when one has, also while they are about to say why.
    """
    signs = ('connection', 'gloo', 'nccl', 'peer', 'timed out')
    while error is not None:
        text = str(error).lower()
        if isinstance(error, RuntimeError) and any(sign in text for sign in signs):
            return True
        error = error.__context__
    return False
