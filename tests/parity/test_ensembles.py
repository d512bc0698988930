"""TabM beside an implementation in PyTorch: predictions of every member, and the steps that training takes."""
import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.layers import Dense, DenseBatchEnsemble, DenseEnsemble, EnsembleMean, EnsembleView
from chainrule.optimizers import SGD

pytestmark = pytest.mark.peers

ROWS, FEATURES, MEMBERS, WIDTH, CLASSES = 24, 5, 4, 7, 3
DRAW = np.random.default_rng(0)
X, LABELS = DRAW.normal(size=(ROWS, FEATURES)).astype("float32"), DRAW.integers(0, CLASSES, ROWS)


class BatchEnsembleLinear(torch.nn.Module):
    """`((x * r) W) * s + b` with r, s and b for each member, as in the paper."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.r = torch.nn.Parameter(torch.empty(MEMBERS, inputs))
        self.weight = torch.nn.Parameter(torch.empty(inputs, outputs))
        self.s = torch.nn.Parameter(torch.empty(MEMBERS, outputs))
        self.bias = torch.nn.Parameter(torch.empty(MEMBERS, outputs))

    def forward(self, x):
        return (x * self.r) @ self.weight * self.s + self.bias


class EnsembleHead(torch.nn.Module):
    """A linear layer of each member's own."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(MEMBERS, inputs, outputs))
        self.bias = torch.nn.Parameter(torch.empty(MEMBERS, outputs))

    def forward(self, x):
        return torch.einsum("bmi,mio->bmo", x, self.weight) + self.bias


class SharedLinear(torch.nn.Module):
    """A linear layer that all members share, as between the first scaling and the heads of TabM-mini."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(inputs, outputs))
        self.bias = torch.nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class Network(torch.nn.Module):
    """TabM, or TabM-mini: the logits of every member, `(rows, members, classes)`."""

    def __init__(self, middle):
        super().__init__()
        self.first = torch.nn.Parameter(torch.empty(MEMBERS, FEATURES))
        self.hidden = torch.nn.ModuleList([middle(FEATURES, WIDTH), middle(WIDTH, WIDTH)])
        self.head = EnsembleHead(WIDTH, CLASSES)

    def forward(self, x):
        x = x[:, None].expand(-1, MEMBERS, -1) * self.first
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.head(x)


def both(middle, layer):
    """Our network and the same in PyTorch, all weights drawn at random."""
    ours = cr.Sequential([cr.Input((FEATURES,)), EnsembleView(MEMBERS), layer(WIDTH, "relu"), layer(WIDTH, "relu"),
                          DenseEnsemble(CLASSES, "softmax"), EnsembleMean()])
    ours.set_weights([DRAW.normal(size=array.shape) * 0.6 for array in ours.get_weights()])
    theirs = Network(middle)
    with torch.no_grad():
        for parameter, array in zip(theirs.parameters(), ours.get_weights(), strict=True):
            parameter.copy_(torch.from_numpy(array))
    return ours, theirs


@pytest.mark.parametrize("middle, layer", [(BatchEnsembleLinear, DenseBatchEnsemble), (SharedLinear, Dense)],
                         ids=["TabM", "TabM-mini"])
def test_predictions_and_training_are_those_of_pytorch(middle, layer):
    ours, theirs = both(middle, layer)
    steps = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9)
    ours.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    labels = torch.from_numpy(LABELS)
    for _ in range(6):
        logits = theirs(torch.from_numpy(X))
        members = torch.softmax(logits, -1).detach().numpy()
        np.testing.assert_allclose(ours.predict_members(X), members.swapaxes(0, 1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(ours.predict(X), members.mean(1), rtol=1e-4, atol=1e-6)
        # The mean over members and rows of each member's own cross-entropy.
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(MEMBERS))
        steps.zero_grad()
        loss.backward()
        steps.step()
        assert ours.train_on_batch(X, LABELS) == pytest.approx(loss.item(), rel=1e-4)
        for array, parameter in zip(ours.get_weights(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(array, parameter.detach().numpy(), rtol=1e-4, atol=1e-5)
