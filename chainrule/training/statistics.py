"""Running statistics taken anew: for weights that were put together, such as an average, and never trained on.

Batch normalisation follows the mean and variance of the batches while weights are trained. Weights that come from
elsewhere make other activations, and what was followed does not belong to them (Izmailov et al. 2018, section 3.2).
"""
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule.layers import BatchNormalization
from chainrule.layers.binding import Tree, apply, branch, lookup, walk
from chainrule.training.stream import Stream


def followers(network) -> list[str]:
    """The paths of the layers that follow statistics of the batches.

    Statistics that layers of one's own follow are not known here: they stay as training left them.
    """
    return [path for path, layer in walk(network) if isinstance(layer, BatchNormalization)]


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
    paths = followers(objective.network)

    def add(step, state):
        before = (step * batches.size).astype(objective.number)
        after = jnp.minimum((step + 1) * batches.size, batches.count).astype(objective.number)
        settings = numbers.settings | {f"{path}/momentum" if path else "momentum": before / after for path in paths}

        def see(batch):
            return apply(objective.network, run.weights, state, (batch.x,), training=True, rows=batch.rows,
                         key=program.step_key(run._replace(step=step)), settings=settings,
                         dtype=objective.dtype)[1].new_state

        return batches.with_batch(step, order, data, see)

    return lax.fori_loop(start, stop, add, run.state)
