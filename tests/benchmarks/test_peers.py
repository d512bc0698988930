"""Every variant starts at the same loss and learns, on a tiny version of each job that it takes part in."""
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jobs
import numpy as np
import pytest
import report
from networks import (
    Convolution,
    Dense,
    Dropout,
    Embed,
    Flatten,
    Normalise,
    Pool,
    Recur,
    Relu,
)
from peers import EVERY, VARIANTS, chosen_variants, takes_part
from processes import environment

KINDS = ("dense", "normalised", "convolutional", "recurrent")
JOB_OF = dict(zip(KINDS, ("784-500-300-10", "784-500-300-10 normalised", "convolutional", "LSTM"), strict=True))


def tiny(kind: str) -> jobs.Job:
    """A job of that kind whose epochs take no time; the shapes of images and windows are those of the real ones."""
    if kind == "dense":
        return jobs.Job(kind, jobs.perceptron(6, 8, 3), 400, 20)
    if kind == "normalised":
        layers = Dense(6, 16), Normalise(16), Relu(), Dropout(0.1), Dense(16, 3)
        return jobs.Job(kind, layers, 400, 20, held=1000)
    if kind == "convolutional":
        return jobs.Job(kind, (Convolution(1, 2, 26), Pool(), Flatten((13, 13, 2)), Dense(338, 3)), 64, 8)
    layers = Embed(64, 16), Recur(16, 16, jobs.WINDOW), Dense(16, 64, places=jobs.WINDOW)
    return jobs.Job(kind, layers, 64, 4)


def run_of(variant, job, data):
    module = importlib.import_module(f"peers.{variant.module}")
    return module.make(job, data, job.weights(), "float32", **variant.options)


def logits_by_numpy(job, weights, x):
    """Of a perceptron, from the weights that all start from."""
    for part, (kernel, bias) in zip(job.layers, weights, strict=True):
        x = x @ kernel + bias
        x = np.maximum(x, 0) if part.relu else x
    return x


def check_learns(variant, kind, epochs=20):
    job = tiny(kind)
    data = job.data()
    run = run_of(variant, job, data)
    before = run.logits(data.x)
    first = jobs.loss(job, before, data.y)
    if kind == "dense":
        wanted = logits_by_numpy(job, job.weights(), data.x)  # up to a constant in each row, which softmax forgets
        np.testing.assert_allclose(before - before[:, :1], wanted - wanted[:, :1], rtol=1e-3, atol=1e-4)
    run.train(1)
    run.train(epochs)
    last = jobs.loss(job, run.logits(data.x), data.y)
    assert last < first - 0.1, f"{variant.name}, {kind}: {first:.4f} before, {last:.4f} after"
    for name, predict in run.predictors().items() if kind == "dense" else ():
        assert np.asarray(predict(data.x[:1])).shape == (1, 3), name
    return first


@pytest.mark.parametrize("name", ["JAX by hand", "chainrule", "chainrule, no kernels"])
@pytest.mark.parametrize("kind", KINDS)
def test_those_that_need_no_peer_learn(name, kind):
    check_learns(next(variant for variant in VARIANTS if variant.name == name), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_chainrule_starts_where_jax_by_hand_does(kind):
    job = tiny(kind)
    data = job.data()
    chosen = [variant for variant in VARIANTS if variant.name in ("chainrule", "JAX by hand")]
    one, two = (np.reshape(run_of(variant, job, data).logits(data.x[:8]), -1) for variant in chosen)
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", jobs.JOBS)
def test_who_does_not_train_has_learned_nothing(name):
    job = jobs.quick(jobs.JOBS[name])
    data = job.data()
    x, y = jobs.judged(data)
    loss = jobs.loss(job, run_of(VARIANTS[-1], job, data).logits(x), y)
    results = [{"loss": loss}, *[{"loss": 0.8 * job.blind_loss}] * 2]
    for tolerance in (job.tolerance, jobs.JOBS[name].tolerance):
        report.add_agreement({"blind_loss": job.blind_loss, "tolerance": tolerance, "results": results})
        assert [result["learns"] for result in results] == [False, True, True]


def check_in_a_process_of_its_own(name: str) -> None:
    """For `test_peers_learn`: Keras takes its backend from the environment, once for a process."""
    variant = next(variant for variant in VARIANTS if variant.name == name)
    for kind in KINDS[:1] if variant.slow_start else KINDS:
        if JOB_OF[kind] in variant.jobs:
            job = tiny(kind)
            data = job.data()
            by_hand = run_of(VARIANTS[-1], job, data).logits(data.x)
            first = check_learns(variant, kind)
            assert abs(first - jobs.loss(job, by_hand, data.y)) < 1e-3 * first


@pytest.mark.peers
@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS if variant.kind == "library"])
def test_peers_learn(name, tmp_path):
    variant = next(variant for variant in VARIANTS if variant.name == name)
    for library in variant.needs:
        if importlib.util.find_spec(library) is None:  # imported in the other process alone
            pytest.skip(f"{library} is not installed")
    root = Path(jobs.__file__).parents[1]
    code = f"import sys; sys.path[:0] = {[str(root / 'benchmarks'), str(Path(__file__).parent)]!r}; " \
           f"import test_peers; test_peers.check_in_a_process_of_its_own({name!r})"
    one_thread = {"OMP_NUM_THREADS": "1"}  # several would wait for one another in layers as small as these
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600,
                          env=environment(str(tmp_path), variant.environment | one_thread))
    assert done.returncode == 0, done.stderr[-3000:]


def test_variants_are_told_apart():
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names)
    assert all(set(variant.jobs) <= set(jobs.JOBS) for variant in VARIANTS)
    assert set(EVERY) == set(jobs.JOBS)


def test_variants_are_chosen_by_library_or_name():
    assert [variant.name for variant in chosen_variants(["PyTorch", "Flax"])] == [
        "PyTorch", "PyTorch, channels last", "PyTorch, torch.compile", "Flax"]
    assert [variant.name for variant in chosen_variants(["Keras on JAX"])] == ["Keras on JAX"]
    assert chosen_variants(None) == list(VARIANTS)


def test_who_takes_part():
    variants = {variant.name: variant for variant in VARIANTS}
    assert not takes_part(variants["scikit-learn"], "LSTM", "float32", quick=False)
    assert not takes_part(variants["scikit-learn"], "784-500-300-10", "bfloat16", quick=False)
    compiled = variants["PyTorch, torch.compile"]
    assert takes_part(compiled, "convolutional", "float32", quick=False)
    assert not takes_part(compiled, "convolutional", "float32", quick=True)
    assert takes_part(compiled, "28-64-64-1", "float32", quick=True)


def test_a_quick_job_is_the_same_network():
    for job in jobs.JOBS.values():
        small = jobs.quick(job)
        assert replace(small, rows=job.rows, held=job.held, compared_epochs=job.compared_epochs,
                       block_epochs=job.block_epochs, tolerance=job.tolerance) == job
        assert small.rows <= job.rows
