"""PyTorch: all tensors in memory, each epoch's order gathered at once, Adam fused, nothing read back before the end."""
import contextlib

import numpy as np
import torch
from jobs import ADAM_EPSILON, LEARNING_RATE
from networks import EPSILON, KEPT, Convolution, Dense, Dropout, Embed, Flatten, Normalise, Pool, Recur, Relu
from torch import nn

HELD_BATCH = 1000


class Sequences(nn.Module):
    """An LSTM whose output is the hidden states alone."""

    def __init__(self, part: Recur):
        super().__init__()
        self.lstm = nn.LSTM(part.inputs, part.units, batch_first=True)
        self.lstm.bias_hh_l0.requires_grad_(False)  # both trained, the bias would move twice as fast as the others' one

    def forward(self, x):
        return self.lstm(x)[0]


LAYERS = {
    Dense: lambda part: [nn.Linear(part.inputs, part.units), *[nn.ReLU()] * part.relu],
    Convolution: lambda part: [nn.Conv2d(part.inputs, part.filters, 3), nn.ReLU()],
    Pool: lambda part: [nn.MaxPool2d(2)],
    Flatten: lambda part: [nn.Flatten()],
    Normalise: lambda part: [nn.BatchNorm1d(part.units, eps=EPSILON, momentum=1 - KEPT)],
    Relu: lambda part: [nn.ReLU()],
    Dropout: lambda part: [nn.Dropout(part.rate)],
    Embed: lambda part: [nn.Embedding(part.tokens, part.units)],
    Recur: lambda part: [Sequences(part)],
}


def in_torch_layout(part, arrays, before):
    """The weights of one layer: outputs come first, and an image that is flattened has its channels first."""
    if isinstance(part, Convolution):
        return [arrays[0].transpose(3, 2, 0, 1), arrays[1]]
    if isinstance(part, Dense):
        kernel = arrays[0]
        if isinstance(before, Flatten):
            kernel = kernel.reshape(*before.shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        return [kernel.T, arrays[1]]
    if isinstance(part, Recur):
        return [arrays[0].T, arrays[1].T, arrays[2], np.zeros_like(arrays[2])]  # the second bias adds to the first
    return arrays


class TorchRun:
    """A module and the loop that everybody writes."""

    def __init__(self, job, data, weights, precision, compiled=False, channels_last=False):
        torch.manual_seed(0)
        self.job, self.precision = job, precision
        self.layout = torch.channels_last if channels_last and job.kind == "convolution" else torch.contiguous_format
        self.model = nn.Sequential(*[layer for part in job.layers for layer in LAYERS[type(part)](part)])
        self._set_weights(weights)
        self.model.to(memory_format=self.layout)
        self.x, self.y = self._inputs(data.x), self._targets(data.y)
        if job.held:
            self.x_held, self.y_held = self._inputs(data.x_held), self._targets(data.y_held)
        self.shuffled_x, self.shuffled_y = torch.empty_like(self.x), torch.empty_like(self.y)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trained, LEARNING_RATE, eps=ADAM_EPSILON, fused=True)
        self.cross_entropy = (nn.functional.binary_cross_entropy_with_logits if job.outputs == 1
                              else nn.functional.cross_entropy)
        self.forward = torch.compile(self.model, dynamic=False) if compiled else self.model
        self.loss_of = torch.compile(self._loss_of, dynamic=False) if compiled else self._loss_of

    def _set_weights(self, weights):
        parts = self.job.layers
        arrays = [array for number, part in enumerate(parts)
                  for array in in_torch_layout(part, weights[number], parts[number - 1] if number else None)]
        held = [tensor for name, tensor in self.model.state_dict().items() if not name.endswith("num_batches_tracked")]
        for tensor, array in zip(held, arrays, strict=True):
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def _inputs(self, x):
        x = torch.from_numpy(np.ascontiguousarray(x))
        if self.job.kind == "convolution":
            return x.permute(0, 3, 1, 2).contiguous(memory_format=self.layout)
        return x.long() if self.job.kind == "recurrence" else x

    def _targets(self, y):
        y = torch.from_numpy(np.ascontiguousarray(y))
        return y.float()[:, None] if self.job.outputs == 1 else y.long()

    def _autocast(self):
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast("cpu", dtype=getattr(torch, self.precision))

    def _loss_of(self, x, y):
        with self._autocast():
            logits = self.model(x)
        if self.job.kind == "recurrence":
            y = y.flatten()
            logits = logits.flatten(0, 1)
        return self.cross_entropy(logits.float(), y), logits

    def train(self, epochs):
        for _ in range(epochs):
            self._epoch()
            if self.job.held:
                self._judge()

    def _epoch(self):
        self.model.train()
        order = torch.randperm(self.job.rows)
        torch.index_select(self.x, 0, order, out=self.shuffled_x)
        torch.index_select(self.y, 0, order, out=self.shuffled_y)
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.long)
        batches = zip(self.shuffled_x.split(self.job.batch_size), self.shuffled_y.split(self.job.batch_size),
                      strict=True)
        for x, y in batches:
            loss, logits = self.loss_of(x, y)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            total += loss.detach() * len(x)
            if self.job.held:
                right += (logits.detach().argmax(1) == y).sum()
        return (total / self.job.rows).item(), right.item() / self.job.rows

    def _judge(self):
        self.model.eval()
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.long)
        with torch.inference_mode():
            for x, y in zip(self.x_held.split(HELD_BATCH), self.y_held.split(HELD_BATCH), strict=True):
                loss, logits = self._loss_of(x, y)
                total += loss * len(x)
                right += (logits.argmax(1) == y).sum()
        return (total / self.job.held).item(), right.item() / self.job.held

    def logits(self, x):
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            return self.model(self._inputs(x)).float().numpy()

    def predictors(self):
        self.model.eval()

        def call(x):
            with torch.inference_mode():
                return self.forward(torch.from_numpy(x)).numpy()

        return {"model(x)": call}


def make(job, data, weights, precision, **options):
    return TorchRun(job, data, weights, precision, **options)
