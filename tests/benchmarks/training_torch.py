"""Training loops in PyTorch: gradparity's, those written by hand, the tutorial's and Keras."""

import functools

import torch
from torch.nn import functional
from training_others import by_gradparity, by_keras
from training_task import BATCH_SIZE, LEARNING_RATE, Task


def loss(params, x, t):
    W1, b1, W2, b2 = params
    hidden = torch.sigmoid(torch.addmm(b1, x, W1))
    y = torch.softmax(torch.addmm(b2, hidden, W2), -1)
    return torch.sum(t * torch.log(y + 1e-7)) / -BATCH_SIZE


def fused_loss(params, x, t):
    """Return the cross entropy without the offset, in PyTorch's one operation for it."""
    W1, b1, W2, b2 = params
    hidden = torch.sigmoid(torch.addmm(b1, x, W1))
    return functional.cross_entropy(torch.addmm(b2, hidden, W2), t)


def eager(loss, task: Task):
    """Autograd on tensors that are all there already, with updates in place."""
    x, batches = torch.from_numpy(task.digits.train_x), torch.from_numpy(task.batches)
    t = torch.from_numpy(task.digits.train_t if loss is fused_loss else task.one_hot)
    batch_x, batch_t = x[:BATCH_SIZE].clone(), t[:BATCH_SIZE].clone()

    def train():
        params = [torch.tensor(leaf, requires_grad=True) for leaf in task.params.values()]
        losses = []
        for epoch in batches:
            for indices in epoch:
                torch.index_select(x, 0, indices, out=batch_x)
                torch.index_select(t, 0, indices, out=batch_t)
                value = loss(params, batch_x, batch_t)
                gradient = torch.autograd.grad(value, params)
                with torch.no_grad():
                    torch._foreach_add_(params, gradient, alpha=-LEARNING_RATE)
                losses.append(value.detach())
        return dict(zip(task.params, [leaf.detach() for leaf in params], strict=True))

    return train


def compiled_step(task: Task):
    """The whole step in `torch.compile`."""
    x, t = torch.from_numpy(task.digits.train_x), torch.from_numpy(task.one_hot)
    batches = torch.from_numpy(task.batches)

    @torch.compile
    def step(params, indices):
        batch_x, batch_t = x.index_select(0, indices), t.index_select(0, indices)
        gradient, value = torch.func.grad_and_value(loss)(params, batch_x, batch_t)
        for leaf, slope in zip(params, gradient, strict=True):
            leaf.sub_(slope, alpha=LEARNING_RATE)
        return value

    def train():
        params = [torch.tensor(leaf) for leaf in task.params.values()]
        for epoch in batches:
            losses = [step(params, indices) for indices in epoch]
        assert len(losses) == len(epoch)
        return dict(zip(task.params, params, strict=True))

    return train


def backward_by_hand(task: Task):
    """No autograd at all: derivatives that were worked out on paper."""
    x, t = torch.from_numpy(task.digits.train_x), torch.from_numpy(task.one_hot)
    batches = torch.from_numpy(task.batches)

    @torch.no_grad()
    def train():
        W1, b1, W2, b2 = params = [torch.tensor(leaf) for leaf in task.params.values()]
        losses = []
        for epoch in batches:
            for indices in epoch:
                batch_x, batch_t = x.index_select(0, indices), t.index_select(0, indices)
                hidden = torch.addmm(b1, batch_x, W1).sigmoid_()
                y = torch.softmax(torch.addmm(b2, hidden, W2), -1)
                losses.append(torch.sum(batch_t * torch.log(y + 1e-7)) / -BATCH_SIZE)
                # Without the offset of 1e-7, which changes nothing that counts.
                dz = (y - batch_t).div_(BATCH_SIZE)
                dh = (dz @ W2.T).mul_(hidden).mul_(1 - hidden)
                W2.addmm_(hidden.T, dz, alpha=-LEARNING_RATE)
                b2.sub_(dz.sum(0), alpha=LEARNING_RATE)
                W1.addmm_(batch_x.T, dh, alpha=-LEARNING_RATE)
                b1.sub_(dh.sum(0), alpha=LEARNING_RATE)
        return dict(zip(task.params, params, strict=True))

    return train


def tutorial(task: Task):
    """The loop of PyTorch's tutorial: a module, a DataLoader and an optimizer."""
    x, t = torch.from_numpy(task.digits.train_x), torch.from_numpy(task.digits.train_t)
    data = torch.utils.data.TensorDataset(x, t)
    loader = torch.utils.data.DataLoader(data, BATCH_SIZE, shuffle=True, drop_last=True)
    first, second = torch.nn.Linear(784, 100), torch.nn.Linear(100, 10)
    model = torch.nn.Sequential(first, torch.nn.Sigmoid(), second)
    own = {"W1": first.weight, "b1": first.bias, "W2": second.weight, "b2": second.bias}
    criterion = torch.nn.CrossEntropyLoss()

    def train():
        torch.manual_seed(0)
        with torch.no_grad():
            for name, leaf in task.params.items():
                own[name].copy_(torch.from_numpy(leaf.T))
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
        losses = []
        for _ in task.batches:
            for batch_x, batch_t in loader:
                optimizer.zero_grad()
                value = criterion(model(batch_x), batch_t)
                value.backward()
                optimizer.step()
                losses.append(value.detach())
        return {name: leaf.detach().numpy().T for name, leaf in own.items()}

    return train


LOOPS = {
    "gradparity": functools.partial(by_gradparity, "torch"),
    "eager autograd": functools.partial(eager, loss),
    "eager autograd, fused loss": functools.partial(eager, fused_loss),
    "torch.compile": compiled_step,
    "backward by hand": backward_by_hand,
    "tutorial": tutorial,
    "keras": by_keras,
}
