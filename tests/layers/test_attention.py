"""Attention layers: masks, reading step by step, settings, messages."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import (
    AdditiveAttention,
    Attention,
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    GroupQueryAttention,
    MultiHeadAttention,
    TokenAndPositionEmbedding,
    TransformerBlock,
)
from chainrule.layers.binding import Call, initialise
from chainrule.models import load_model

X = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")
PADDED = np.array([[1, 3, 2, 0, 0], [2, 4, 1, 3, 2], [4, 0, 0, 0, 0]])
KEY = np.array([1, 2], "uint32")


def randomised(layer, x=X):
    """Weights for a layer, biases included, none of them zero."""
    layer(x)
    weights, _ = initialise(layer, KEY)
    draw = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: leaf + 0.3 * draw.normal(size=leaf.shape).astype(leaf.dtype), weights)


def evaluate(layer, weights, x, **options):
    call = Call(layer, weights, {})
    return call.run(call.copy(layer), (x,), options)


def network(attend):
    """Padded words through attention and a mean over the real ones."""
    words = cr.Input((None,), dtype="int32")
    x = Embedding(5, 8, mask_zero=True, embeddings_initializer="random_normal")(words)
    return cr.Model(words, GlobalAveragePooling1D()(attend(x)))


@pytest.mark.parametrize("attend", [
    lambda: MultiHeadAttention(2, 4), lambda: GroupQueryAttention(4, 4, 2, rotary=True),
    lambda: TransformerBlock(2), lambda: TransformerBlock(4, causal=True, normalize_first=False),
    lambda: (lambda layer: lambda x: layer([x, x]))(Attention(use_scale=True)),
    lambda: (lambda layer: lambda x: layer([x, x]))(AdditiveAttention()),
])
def test_a_padded_batch_gives_what_each_sequence_gives_alone(attend):
    model = network(attend())
    together = model.predict(PADDED)
    for words, y in zip(PADDED, together, strict=True):
        np.testing.assert_allclose(y, model.predict(words[words > 0][None])[0], rtol=1e-4, atol=1e-6)


def test_explicit_masks_are_those_that_come_with_the_inputs():
    layer, mask = MultiHeadAttention(2, 4), np.array([[1, 1, 1, 1, 0, 0], [1] * 6], bool)
    expected = layer(X, attention_mask=np.broadcast_to(mask[:, None], (2, 6, 6)))
    for options in ({"value_mask": mask}, {"key_mask": mask}, {"mask": mask},
                    {"attention_mask": np.broadcast_to(mask[:, None, None], (2, 2, 6, 6)), "key_mask": mask}):
        np.testing.assert_allclose(layer(X, X, **options), expected, rtol=1e-5, atol=1e-6)
    block = TransformerBlock(2)
    np.testing.assert_allclose(block(X, mask=mask)[:1, :4], block(X[:1, :4]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [
    lambda: MultiHeadAttention(2, 4), lambda: MultiHeadAttention(2, 2, value_dim=5, rotary=True, output_shape=7),
    lambda: GroupQueryAttention(4, 4, 2, rotary=True),
    lambda: TransformerBlock(2, causal=True, rotary=True),
    lambda: TransformerBlock(4, causal=True, normalize_first=False, num_key_value_heads=1, normalization="rms"),
])
def test_step_by_step_is_the_whole_causal_run(make):
    layer = make()
    weights = randomised(layer)
    causal = {} if isinstance(layer, TransformerBlock) else {"use_causal_mask": True}
    whole = evaluate(layer, weights, X, **causal)
    bound = lambda: Call(layer, weights, {}).copy(layer)
    step = jax.jit(lambda x, cache: bound().step(x, cache))
    prompt, cache = step(X[:, :3], bound().initial_cache(2, 9))  # several entries, then one after another
    pieces = [prompt]
    for time in range(3, 6):
        y, cache = step(X[:, time], cache)
        pieces.append(y[:, None])
    np.testing.assert_allclose(jnp.concatenate(pieces, 1), whole, rtol=1e-4, atol=1e-5)
    assert cache["index"] == 6


def test_tokens_and_positions_step_by_step():
    layer, words = TokenAndPositionEmbedding(5, 6, 4), np.array([[1, 4, 2]])
    weights = randomised(layer, words)
    bound, pieces = Call(layer, weights, {}).copy(layer), []
    cache = bound.initial_cache(1, 6)
    for time in range(3):
        y, cache = bound.step(words[:, time : time + 1], cache)
        pieces.append(y)
    np.testing.assert_allclose(jnp.concatenate(pieces, 1), evaluate(layer, weights, words), rtol=1e-6)


def test_a_block_that_sees_the_future_cannot_be_read_step_by_step():
    layer = TransformerBlock(2)
    weights = randomised(layer)
    bound = Call(layer, weights, {}).copy(layer)
    with pytest.raises(SettingError) as error:
        bound.step(X, bound.initial_cache(2, 6))
    assert str(error.value) == (
        "A TransformerBlock that is read step by step must be causal, or what comes later would change what it said "
        "before: TransformerBlock(..., causal=True).")


def test_queries_values_and_keys_by_name():
    query, value, key = X[:, :2], X[:, 1:5, :5], X[:, 2:, 3:6]
    layer = MultiHeadAttention(2, 4, output_shape=(3, 2))
    y, scores = layer(query=query, value=value, key=key, return_attention_scores=True)
    assert y.shape == (2, 2, 3, 2) and scores.shape == (2, 2, 2, 4)
    np.testing.assert_array_equal(layer(query, value, key), y)
    symbols = [cr.Input(array.shape[1:]) for array in (query, value, key)]
    model = cr.Model(symbols, layer(symbols[0], value=symbols[1], key=symbols[2]))
    np.testing.assert_allclose(model.predict([query, value, key]), y, rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, 2, 8)) == (None, 2, 3, 2)


def test_one_head_for_each_pair_in_a_group():
    shared = GroupQueryAttention(4, 4, 2)
    weights = randomised(shared)
    spread = weights | {name: jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, -2), weights[name])
                        for name in ("key", "value")}
    full = MultiHeadAttention(4, 4)
    full(X)
    np.testing.assert_allclose(evaluate(shared, weights, X), evaluate(full, spread, X), rtol=1e-4, atol=1e-5)


def test_dropout_in_training_only():
    layer = MultiHeadAttention(2, 4, dropout=0.5)
    key = jax.random.key(0)
    drawn = layer(X, training=True, key=key)
    np.testing.assert_array_equal(layer(X, X, training=True, key=key), drawn)
    assert np.abs(drawn - layer(X)).max() > 0.01
    np.testing.assert_array_equal(layer(X, key=key), layer(X))


def test_a_transformer_learns_to_say_again_what_came_first(tmp_path):
    words = np.random.default_rng(0).integers(0, 4, (128, 4))
    model = cr.Sequential([cr.Input((4,), dtype="int32"), TokenAndPositionEmbedding(4, 4, 8),
                           TransformerBlock(2, 16, causal=True), Dense(4)])
    model.compile(cr.optimizers.Adam(0.02), cr.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(words, np.repeat(words[:, :1], 4, 1), epochs=25, batch_size=32, verbose=0)
    assert history.history["loss"][-1] < 0.2 < 1 < history.history["loss"][0]
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(words), model.predict(words))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: MultiHeadAttention(0, 4), "MultiHeadAttention: `num_heads` must be a positive integer; got 0."),
    (lambda: MultiHeadAttention(2, 4, dropout=1.0),
     "MultiHeadAttention: `rate` is the share of inputs to drop, at least 0 and below 1; got 1.0."),
    (lambda: MultiHeadAttention(2, 4, rotary="yes"),
     "MultiHeadAttention: `rotary` is True, False or a RotaryEmbedding; got 'yes'."),
    (lambda: MultiHeadAttention(2, 3, rotary=True),
     "MultiHeadAttention: `rotary` turns pairs of features, so the size of a head must be even; got 3."),
    (lambda: MultiHeadAttention(2, 4, value_dim=0),
     "MultiHeadAttention: `value_dim` must be a positive integer; got 0."),
    (lambda: GroupQueryAttention(4, 3, 2),
     "GroupQueryAttention: `num_key_value_heads` must divide `num_query_heads`; got 2 and 3."),
    (lambda: Attention(score_mode="cosine"), "Attention: `score_mode` is 'dot' or 'concat'; got 'cosine'."),
    (lambda: TransformerBlock(2, normalization="batch"),
     "TransformerBlock: `normalization` is 'layer' or 'rms'; got 'batch'."),
])
def test_settings_that_cannot_be(make, message):
    with pytest.raises(SettingError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(("call", "message"), [
    (lambda: MultiHeadAttention(2, 4)(X[:, 0]),
     "MultiHeadAttention takes sequences, (batch, times, features), each as an argument of its own: layer(query, "
     "value, key). The query is (None, 8)."),
    (lambda: MultiHeadAttention(2, 4)([X, X]),
     "MultiHeadAttention takes sequences, (batch, times, features), each as an argument of its own: layer(query, "
     "value, key). The query is 2 inputs in one."),
    (lambda: MultiHeadAttention(2, 4)(X, X, X[:, :3]),
     "MultiHeadAttention needs one key for each value; got 3 keys and 6 values, in arrays of shape (None, 3, 8) and "
     "(None, 6, 8)."),
    (lambda: Attention()(X),
     "Attention takes a list of sequences, (batch, times, features) each: layer([query, value]) or layer([query, "
     "value, key]); got one input of shape (None, 6, 8)."),
    (lambda: AdditiveAttention()([X, X[..., :3]]),
     "AdditiveAttention compares queries with keys of as many features; got (None, 6, 8) and (None, 6, 3)."),
    (lambda: Attention()([X, X, X[:, :3]]),
     "Attention needs one key for each value; got 3 keys and 6 values, in arrays of shape (None, 3, 8) and "
     "(None, 6, 8)."),
    (lambda: TransformerBlock(3)(X),
     "TransformerBlock cannot divide 8 features into 3 heads. Set `num_heads` to one of [1, 2, 4, 8]."),
    (lambda: TransformerBlock(2)(X[:, 0]),
     "TransformerBlock takes sequences, (batch, times, features); got (None, 8)."),
])
def test_inputs_that_do_not_fit(call, message):
    with pytest.raises(ShapeError) as error:
        call()
    assert str(error.value) == message
