"""Running statistics taken anew: for weights that were put together, such as an average, and never trained on.

Batch normalisation follows the mean and variance of the batches while weights are trained. Weights that come from
elsewhere make other activations, and what was followed does not belong to them (Izmailov et al. 2018, section 3.2).
"""
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule.errors import SettingError
from chainrule.layers.binding import Tree, apply, branch, lookup, walk
from chainrule.training.stream import Stream


def followers(network) -> dict[str, str]:
    """The layers that follow statistics of the batches: the path of the setting that says how slowly, by their path."""
    return {path: f"{path}/{layer.statistics_momentum}" if path else layer.statistics_momentum
            for path, layer in walk(network) if layer.statistics_momentum and _own_state(layer)}


def _own_state(layer) -> list[str]:
    """The names of a layer's own state."""
    return [name for name, weight in layer.own_weights().items() if not weight.trainable]


def check_can_follow(who: str, objective, run, inputs, rows: int, data) -> None:
    """Raise where running statistics could not be taken anew at the end, before anything is trained.

    Args:
        who: what ends with weights that were never trained on, as messages call it.
        objective: loss and metrics.
        run: the state of the run at its beginning.
        inputs: some rows of input, for their shapes.
        rows: the rows of a batch.
        data: the training data.

    Raises:
        SettingError: a layer keeps state of which it does not say how it follows the batches; or the data can be read
            once.
    """
    network = objective.network
    assigned = _assigned(objective, run, inputs, rows)
    for path, layer in walk(network):
        momentum = layer.statistics_momentum
        if momentum is None and path in assigned:
            raise SettingError(
                f"{who} ends with weights that were never trained on, and {layer.describe(path)} assigns state in "
                f"training ({', '.join(assigned[path])}), which may not belong to them. Say in its class how running "
                f"statistics follow the batches, so that they can be taken anew: statistics_momentum = 'momentum' for "
                f"moving = momentum * moving + (1 - momentum) * batch; or statistics_momentum = '' where it keeps "
                f"something else, which then stays as training left it.")
        if momentum and path in assigned and not isinstance(vars(layer).get(momentum), Real):
            raise SettingError(
                f"statistics_momentum = {momentum!r} of {layer.describe(path)} must name a setting that is a number, "
                f"by which its running statistics follow the batches; got {vars(layer).get(momentum)!r}.")
    following = [path for path in followers(network) if path in assigned]
    source = data.source if isinstance(data, Stream) else None
    if following and getattr(source, "read_once", False):
        raise SettingError(
            f"{who} ends with weights that were never trained on: the running statistics of {following[0]!r} are then "
            f"taken anew by one more pass over the training data, and {source!r} can be read once. Give the function "
            f"that makes the iterator, without calling it.")


def _assigned(objective, run, inputs, rows: int) -> dict[str, list[str]]:
    """The names of the state that layers assign in training, by their path; integers, which count, are left out."""
    found = {}

    def see(run, inputs):
        after = apply(objective.network, run.weights, run.state, (inputs,), training=True, key=run.key,
                      dtype=objective.dtype)[1].new_state
        for path, layer in walk(objective.network):
            before, left = lookup(run.state, path), lookup(after, path)
            names = [name for name in _own_state(layer)
                     if left[name] is not before[name] and jnp.issubdtype(before[name].dtype, jnp.floating)]
            if names:
                found[path] = names

    shaped = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), inputs)
    jax.eval_shape(see, run, shaped)
    return found


def averaged_statistics(program, run, numbers, data) -> Tree:
    """The state whose running statistics are averages over all batches of the training data, weights held still.

        moving = sum(n_k * batch_k) / sum(n_k),  n_k the rows of batch k

    The batches are those that the next epoch would have; random layers draw as in training. All other state stays.

    Args:
        program: the `TrainingProgram`.
        run: the state of the run, its weights those that the statistics are for.
        numbers: the numbers as they stand.
        data: the training data on the device, or a `Stream`, which is read through once more.
    """
    paths = followers(program.objective.network)
    if not paths:
        return run.state
    taken, step, steps = run.state, 0, program.batches.steps
    while step < steps:
        stop = program.batches.chunk_end(step)
        there = data.at(run.key, int(run.epoch), step) if isinstance(data, Stream) else data
        taken = program.compiled_statistics(run._replace(state=taken), numbers, there, np.int32(step), np.int32(stop))
        step = stop
    state = jax.tree.map(lambda leaf: leaf, run.state)  # a copy of the dicts
    for path in paths:
        branch(state, path).update(lookup(taken, path))
    return state


def follow(program, run, numbers, data, start, stop) -> Tree:
    """The state after the batches from `start` to `stop`, each as important as its rows; nothing is trained.

    The momentum that makes a running statistic the average of all that came is `k / (k + n)` after `k` rows, at a
    batch of `n`.
    """
    batches, objective = program.batches, program.objective
    order = batches.order(run.key, run.epoch)
    momenta = followers(objective.network).values()

    def add(step, state):
        before = (step * batches.size).astype(objective.number)
        after = jnp.minimum((step + 1) * batches.size, batches.count).astype(objective.number)
        settings = numbers.settings | dict.fromkeys(momenta, before / after)

        def see(batch):
            return apply(objective.network, run.weights, state, (batch.x,), training=True, rows=batch.rows,
                         key=program.step_key(run._replace(step=step)), settings=settings,
                         dtype=objective.dtype)[1].new_state

        return batches.with_batch(step, order, data, see)

    return lax.fori_loop(start, stop, add, run.state)
