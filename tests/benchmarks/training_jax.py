"""Training loops in JAX: gradparity's, the two that one would write by hand, optax and Keras."""

import functools

import jax
import jax.numpy as jnp
from training_others import by_gradparity, by_keras
from training_task import BATCH_SIZE, LEARNING_RATE, Task


def loss(params, x, t):
    hidden = jax.nn.sigmoid(x @ params["W1"] + params["b1"])
    y = jax.nn.softmax(hidden @ params["W2"] + params["b2"])
    return -jnp.sum(t * jnp.log(y + 1e-7)) / BATCH_SIZE


def step(params, indices, x, t):
    value, gradient = jax.value_and_grad(loss)(params, x[indices], t[indices])
    return jax.tree.map(lambda leaf, slope: leaf - LEARNING_RATE * slope, params, gradient), value


def scan(task: Task):
    """One `lax.scan` over each epoch, inside jit."""
    x, t, batches = map(jnp.asarray, (task.digits.train_x, task.one_hot, task.batches))

    @jax.jit
    def epoch(params, batches, x, t):
        return jax.lax.scan(lambda params, indices: step(params, indices, x, t), params, batches)

    def train():
        params = jax.tree.map(jnp.asarray, task.params)
        for of_epoch in batches:
            params, losses = epoch(params, of_epoch, x, t)
        return jax.block_until_ready((params, losses))[0]

    return train


def loop(task: Task):
    """A loop in Python over a jitted step, which may reuse the memory of the parameters."""
    x, t = jnp.asarray(task.digits.train_x), jnp.asarray(task.one_hot)
    batches = [[jnp.asarray(indices) for indices in epoch] for epoch in task.batches]
    jitted = jax.jit(step, donate_argnums=0)

    def train():
        params, losses = jax.tree.map(jnp.array, task.params), []
        for epoch in batches:
            for indices in epoch:
                params, value = jitted(params, indices, x, t)
                losses.append(value)
        return jax.block_until_ready((params, losses))[0]

    return train


def optax_loop(task: Task):
    """The loop of optax's tutorials."""
    import optax

    x, t = jnp.asarray(task.digits.train_x), jnp.asarray(task.one_hot)
    optimizer = optax.sgd(LEARNING_RATE)

    @jax.jit
    def update(params, state, x, t):
        value, gradient = jax.value_and_grad(loss)(params, x, t)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    def train():
        params = jax.tree.map(jnp.asarray, task.params)
        state, losses = optimizer.init(params), []
        for epoch in task.batches:
            for indices in epoch:
                params, state, value = update(params, state, x[indices], t[indices])
                losses.append(value)
        return jax.block_until_ready((params, losses))[0]

    return train


LOOPS = {
    "gradparity": functools.partial(by_gradparity, "jax"),
    "scan": scan,
    "loop over a jitted step": loop,
    "optax": optax_loop,
    "keras": by_keras,
}
