"""`chainrule write`: what it prints, and how it fails."""
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule import text
from chainrule.cli.main import app
from chainrule.errors import DataError
from chainrule.layers import GRU, Dense, Embedding
from chainrule.models import Input, Sequential, load_model

RUNNER = CliRunner()
VOCABULARY = text.CharacterVocabulary("\n abcdé")
CODE = "from chainrule.cli.main import main; main()"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The file of a model that was not trained, which is enough to write."""
    model = Sequential([Input((None,), dtype="int32"), Embedding(7, 8), GRU(8, return_sequences=True), Dense(7)])
    model.set_weights([np.random.default_rng(0).normal(size=array.shape) for array in model.get_weights()])
    model.preparation = VOCABULARY
    model.save(path := tmp_path_factory.mktemp("write") / "model.chain")
    return path


def write(path, *options, **settings):
    result = RUNNER.invoke(app, ["write", str(path), *map(str, options)], **settings)
    assert result.exit_code == 0, result.output
    return result.stdout


def complaint(prompt):
    """What the vocabulary says of a prompt that it does not know."""
    with pytest.raises(DataError) as error:
        VOCABULARY.encode(prompt)
    return str(error.value)


def test_what_python_writes(path):
    model = load_model(path)
    assert write(path, "--prompt", "abé", "--length", 30) == text.generate(
        model, prompt="abé", length=30, temperature=0.8) + "\n"
    options = ["--length", 20, "--temperature", 1.5, "--top-k", 5, "--top-p", 0.9, "--seed", 3, "--window", 4]
    settings = {"length": 20, "temperature": 1.5, "top_k": 5, "top_p": 0.9, "seed": 3, "window": 4}
    assert write(path, *options) == text.generate(model, **settings) + "\n"
    assert write(path, *options, "--stop", "a", "--stop", "d") == text.generate(
        model, **settings, stop=["a", "d"]) + "\n"


def test_a_prompt_from_standard_input(path):
    assert write(path, "--prompt", "-", "--length", 0, input="a b\nc\n") == "a b\nc\n"


def test_several_samples(path):
    texts = text.generate(load_model(path), prompt="a", length=12, temperature=0.8, samples=2)
    assert write(path, "--prompt", "a", "--length", 12, "--samples", 2) == (
        f"--- 1 of 2 ---\n{texts[0]}\n\n--- 2 of 2 ---\n{texts[1]}\n\n")


def test_mistakes_are_one_line(path, tmp_path):
    Sequential([Input((3,)), Dense(2)]).save(other := tmp_path / "other.chain")
    for arguments, message in [
            ([other], f"{other} is no model of text: it has no vocabulary. chainrule fit book.txt makes one."),
            ([tmp_path / "none.chain"], f"{tmp_path / 'none.chain'}: No such file or directory."),
            ([path, "--prompt", "ax"], complaint("ax")),
            ([path, "--top-p", "2"], "top_p is a probability above 0 and up to 1, or None for all tokens; got 2.0.")]:
        result = RUNNER.invoke(app, ["write", *map(str, arguments)])
        assert result.exit_code == 1 and not result.stdout and result.stderr == f"Error: {message}\n"
    assert RUNNER.invoke(app, ["write", str(path), "--temperature", "-1"]).exit_code == 2
    assert "$ chainrule write" in RUNNER.invoke(app, ["write", "--help"]).output


@pytest.mark.parametrize("ends_by", ["a reader that has seen enough", "Ctrl-C"])
def test_a_long_text_ends_quietly(path, ends_by):
    process = subprocess.Popen([sys.executable, "-c", CODE, "write", str(path), "--prompt", "abc", "--length", "9" * 8],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(300).startswith(b"abc")
    if ends_by == "Ctrl-C":
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130 and stderr == b"Stopped.\n" and stdout.endswith(b"\n")
        return
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) == 1
    process.stderr.close()
