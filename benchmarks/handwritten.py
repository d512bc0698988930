"""The jobs as somebody who knows JAX would write them by hand: the yardstick for the cost of the engine.

The epoch is one `lax.scan` over batches, the data live on the device, optax's Adam makes the updates. There are no
metrics beyond the loss, no callbacks, no weights, and a short last batch is dropped.
"""
import jax
import jax.numpy as jnp
import optax


def initial(key, widths):
    """Glorot-uniform kernels and zero biases."""
    layers = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        key, own = jax.random.split(key)
        limit = (6 / (inputs + outputs)) ** 0.5
        layers.append((jax.random.uniform(own, (inputs, outputs), minval=-limit, maxval=limit), jnp.zeros(outputs)))
    return layers


def forward(layers, x):
    """A multilayer perceptron with ReLU, without the last activation."""
    for kernel, bias in layers[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return x @ layers[-1][0] + layers[-1][1]


def binary_loss(layers, x, y):
    """Binary cross-entropy from logits."""
    return optax.sigmoid_binary_cross_entropy(forward(layers, x)[:, 0], y).mean()


def categorical_loss(layers, x, y):
    """Categorical cross-entropy from logits and labels."""
    return optax.softmax_cross_entropy_with_integer_labels(forward(layers, x), y).mean()


def make_epochs(loss, batch_size: int, learning_rate: float):
    """A compiled function that trains for a number of epochs, and the start of its optimiser."""
    optimizer = optax.adam(learning_rate, eps=1e-7)

    def step(carry, rows, x, y):
        layers, state = carry
        value, gradients = jax.value_and_grad(loss)(layers, x[rows], y[rows])
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(layers, updates), state), value

    @jax.jit
    def epochs(carry, key, x, y, count):
        steps = len(x) // batch_size

        def epoch(number, carry):
            order = jax.random.permutation(jax.random.fold_in(key, number), len(x))
            batches = order[: steps * batch_size].reshape(steps, batch_size)
            return jax.lax.scan(lambda carry, rows: step(carry, rows, x, y), carry, batches)[0]

        carry = jax.lax.fori_loop(0, count, epoch, carry)
        return carry, loss(carry[0], x[:batch_size], y[:batch_size])

    return epochs, optimizer.init
