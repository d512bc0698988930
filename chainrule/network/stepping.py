"""A network that reads sequences step by step: what its layers carry from one step to the next is kept between calls.

Reading one step costs one step, where running the network anew costs all that came before. A layer takes part in one of
three ways: it treats each step by itself (`each_step`), it carries something along (`can_step` and `step`), or it is a
network or shortcut made of such layers. Behind a layer that gives a whole sequence one output (`LSTM(8)`), there are no
steps any more, and every layer may follow.
"""
from typing import Any

import jax

from chainrule.layers.binding import Call, Tree
from chainrule.layers.recurrent import Recurrent
from chainrule.layers.residual import Residual
from chainrule.network.graph import Network


class CannotStepError(Exception):
    """A layer needs the whole sequence at once; used between the functions of this file alone."""


class Stepping(Call):
    """One evaluation of a network for the next step of sequences.

    Args:
        root, weights, state, dtype: as for `Call`.
        caches: what the layers carried out of the step before, by place in the network; empty before the first.
        length: how many steps the sequences have at most, for layers that keep them all.

    Attributes:
        first_caches: what the layers carry before the first step.
        new_caches: what they carry out of this one.
        goes_on: whether all that is carried serves for sequences of any length.
    """

    def __init__(self, root, weights: Tree, state: Tree, caches: dict[str, Any], length: int, dtype: str):
        super().__init__(root, weights, state, dtype=dtype)
        self.checks_inputs = False  # a step is shorter than the sequences that the network was declared for
        self.caches, self.length = caches, length
        self.first_caches, self.new_caches, self.goes_on = {}, {}, True
        self._whole: dict[int, Any] = {}  # arrays without an axis of steps, kept so that their ids stay their own
        self._inside = False  # within a layer that knows itself what to do with a step

    def run(self, bound, inputs, options):
        layer = bound._origin
        arrays = [leaf for leaf in jax.tree.leaves((inputs, options)) if hasattr(leaf, "shape")]
        are_whole = [id(leaf) in self._whole for leaf in arrays]
        if self._inside:
            return super().run(bound, inputs, options)
        if arrays and all(are_whole):
            return self._mark_whole(self._plainly(super().run, bound, inputs, options))
        if any(are_whole):
            raise CannotStepError
        if _is_transparent(layer):
            return super().run(bound, inputs, options)  # which comes here again with each layer inside
        if layer.each_step and not options:
            return self._plainly(super().run, bound, inputs, options)
        if not hasattr(layer, "can_step") or not bound.can_step(inputs, options):
            raise CannotStepError
        return self._carried_on(bound, inputs[0])

    def _plainly(self, function, *arguments):
        """What a function gives where the layers that it calls are evaluated as always."""
        self._inside = True
        try:
            return function(*arguments)
        finally:
            self._inside = False

    def _mark_whole(self, outputs):
        self._whole |= {id(leaf): leaf for leaf in jax.tree.leaves(outputs)}
        return outputs

    def _carried_on(self, bound, x):
        """The output of a layer with a memory, which is taken from the step before and kept for the next."""
        layer = bound._origin
        place = f"{self.path(layer)}#{len(self.new_caches)}"  # a layer that is used twice has two memories
        is_recurrent = isinstance(layer, Recurrent)
        first = bound.initial_states(len(x)) if is_recurrent else bound.initial_cache(len(x), self.length)
        cache = self.caches.get(place, first)
        computed = self.computed_dtype(layer)
        x = x if computed is None else self.cast(x, computed)
        y, after = self._plainly(bound.step, x[:, 0] if is_recurrent else x, cache)
        self.first_caches[place], self.new_caches[place] = first, after
        self.goes_on &= getattr(layer, "goes_on", False)
        if not is_recurrent:
            return y
        y = y[:, None] if layer.return_sequences else self._mark_whole(y)
        return [y, *self._mark_whole(after)] if layer.return_state else y


def _is_transparent(layer) -> bool:
    """Whether a layer does nothing but call others, and add."""
    is_graph = isinstance(layer, Network) and layer.__dict__.get("_graph") is not None
    return isinstance(layer, Residual) or (is_graph and type(layer).call is Network.call)
