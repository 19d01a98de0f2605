"""Training loops that belong to no one framework: gradparity's, Keras, scikit-learn, autograd."""

import warnings

import numpy as np
from training_task import BATCH_SIZE, EPOCHS, LEARNING_RATE, NET, SEED, Task

from gradparity.backends import get_backend
from gradparity.models import train


def by_gradparity(name: str, task: Task):
    backend = get_backend(name, dtype="float32")

    def run():
        return train(
            NET,
            task.digits,
            backend,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=SEED,
        )

    return run


def by_keras(task: Task):
    """Keras's `fit`, on the backend that the environment names."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(100, activation="sigmoid"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(LEARNING_RATE)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")

    def run():
        model.set_weights(list(task.params.values()))
        x, t = task.digits.train_x, task.digits.train_t
        model.fit(x, t, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
        return dict(zip(task.params, model.get_weights(), strict=True))

    return run


def by_scikit_learn(task: Task):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)  # three epochs are not meant to converge
    model = MLPClassifier(
        (100,),
        solver="sgd",
        activation="logistic",
        batch_size=BATCH_SIZE,
        learning_rate_init=LEARNING_RATE,
        momentum=0,
        alpha=0,
        max_iter=EPOCHS,
        n_iter_no_change=10**6,  # never stop early
        random_state=SEED,
        warm_start=True,
    )
    x, t = task.digits.train_x, task.digits.train_t
    model.partial_fit(x[:BATCH_SIZE], t[:BATCH_SIZE], classes=np.arange(10))

    def run():
        W1, b1, W2, b2 = (leaf.copy() for leaf in task.params.values())
        model.coefs_, model.intercepts_ = [W1, W2], [b1, b2]
        del model._optimizer  # it would go on with the weights of the last run
        model.fit(x, t)
        (W1, W2), (b1, b2) = model.coefs_, model.intercepts_
        return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}

    return run


def by_hips_autograd(task: Task):
    import autograd
    import autograd.numpy as anp

    def loss(params, x, t):
        hidden = 1 / (1 + anp.exp(-(anp.dot(x, params["W1"]) + params["b1"])))
        logits = anp.dot(hidden, params["W2"]) + params["b2"]
        e = anp.exp(logits - anp.max(logits, axis=-1, keepdims=True))
        y = e / anp.sum(e, axis=-1, keepdims=True)
        return -anp.sum(t * anp.log(y + 1e-7)) / BATCH_SIZE

    value_and_gradient = autograd.value_and_grad(loss)
    x, t = task.digits.train_x, task.one_hot

    def run():
        params, losses = {name: leaf.copy() for name, leaf in task.params.items()}, []
        for epoch in task.batches:
            for indices in epoch:
                value, gradient = value_and_gradient(params, x[indices], t[indices])
                for name, slope in gradient.items():
                    params[name] -= np.float32(LEARNING_RATE) * slope
                losses.append(value)
        return params

    return run


LOOPS = {"scikit-learn": by_scikit_learn, "HIPS autograd": by_hips_autograd}
