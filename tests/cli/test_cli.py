"""The command line: what it prints, what it leaves, and how it fails."""
import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule.cli.main import app
from chainrule.layers import Dense
from chainrule.models import Input, Sequential, load_model

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The demo, run once."""
    folder = tmp_path_factory.mktemp("cli")
    before = os.getcwd()
    os.chdir(folder)
    try:
        result = RUNNER.invoke(app, ["fit", "digits"])
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return folder / "digits.chain", result.output


def failure(*arguments) -> str:
    """What a command that fails says, on the error output alone."""
    result = RUNNER.invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1 and not result.stdout and "Traceback" not in result.output
    return result.stderr


def test_the_demo(trained):
    path, output = trained
    assert output.startswith("digits: 1,438 images of 8 × 8 pixels to train on, 359 to test on\n"
                             "Network: 64 → 256 → 128 → 10 units, 50,826 weights\n")
    accuracy = float(re.search(r"Held-out accuracy: ([\d.]+) % \(\d+ of 359\)", output)[1])
    assert accuracy >= 97
    assert re.search(r"\n 0 +36 ", output)
    assert max(len(line) for line in output.splitlines() if not line.startswith("Epoch")) <= 84
    assert "Saved to digits.chain (" in output and path.is_file()


def test_what_to_try_next_works(trained):
    path, output = trained
    lines = re.findall(r"^  chainrule (.*?)  ", output, re.MULTILINE)
    assert len(lines) == 3
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        for line in lines:
            result = RUNNER.invoke(app, line.split() + ["--epochs", "2"] * line.startswith("fit"))
            assert result.exit_code == 0, result.output
    finally:
        os.chdir(before)


def test_the_model_takes_raw_pixels(trained):
    from chainrule.datasets import digits

    (_, _), (x, y) = digits.load_data()
    assert (load_model(trained[0]).predict(x).argmax(-1) == y).mean() >= 0.97


def test_evaluate(trained):
    result = RUNNER.invoke(app, ["evaluate", str(trained[0]), "digits"])
    assert result.exit_code == 0
    accuracy = re.search(r"Held-out accuracy: (.*)", trained[1])[1]
    assert f"Accuracy: {accuracy}\n" in result.output and "Loss:" in result.output


def test_predict_a_data_set_and_files_agree(trained, tmp_path):
    from chainrule.datasets import digits

    (_, _), (x, _) = digits.load_data()
    x = x[:30]
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(3))
    np.savetxt(tmp_path / "x.csv", x.reshape(30, 64), delimiter=",")
    names = ",".join(f"pixel_{index}" for index in range(64))
    (tmp_path / "headed.csv").write_text(names + "\n" + (tmp_path / "x.csv").read_text())
    outputs = [RUNNER.invoke(app, ["predict", str(trained[0]), str(tmp_path / name)])
               for name in ("x.npy", "x.npz", "x.csv", "headed.csv")]
    assert all(output.exit_code == 0 and output.stdout == outputs[0].stdout for output in outputs)
    rows = list(csv.DictReader(outputs[0].stdout.splitlines()))
    assert len(rows) == 30 and rows[3]["row"] == "3" and 0.1 <= float(rows[0]["probability"]) <= 1
    result = RUNNER.invoke(app, ["predict", str(trained[0]), "digits", "--output", str(tmp_path / "out.csv")])
    assert result.exit_code == 0 and result.stdout.startswith("359 rows written to ")
    with open(tmp_path / "out.csv", newline="") as file:
        assert list(csv.DictReader(file))[:30] == rows


def test_predict_with_one_probability_and_with_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), "float32"))
    for activation, expected in [("sigmoid", "row,class,probability\n0,0,0.5000\n1,0,0.5000\n"),
                                 (None, "row,output_0\n0,0\n1,0\n")]:
        model = Sequential([Input((3,)), Dense(1, activation=activation)])
        model.save(tmp_path / "model.chain")
        result = RUNNER.invoke(app, ["predict", str(tmp_path / "model.chain"), str(tmp_path / "x.npy")])
        assert result.stdout.replace("\r\n", "\n") == expected


def test_quiet(tmp_path):
    result = RUNNER.invoke(app, ["fit", "digits", "-q", "--epochs", "2", "--output", str(tmp_path / "m.chain")])
    assert result.exit_code == 0 and re.fullmatch(r"0\.\d{4}\n", result.output)


def test_the_seed_decides(tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        RUNNER.invoke(app, ["fit", "digits", "-q", "--epochs", "2", "--seed", str(seed),
                            "--output", str(tmp_path / name)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_mistakes_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "text.csv").write_text("a,b\n1,x\n")
    (tmp_path / "rows.txt").write_text("1,2\n")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nothing")
    Sequential([Input((3,)), Dense(2)]).save(tmp_path / "model.chain")
    model = tmp_path / "model.chain"
    assert failure("fit", "digit") == "Error: There is no data set 'digit'. Did you mean 'digits'?\n"
    assert failure("fit", "digits", "--optimizer", "adm") == (
        "Error: There is no optimizer 'adm'. Did you mean 'adam'?\n")
    assert failure("fit", "digits", "--output", tmp_path / "no" / "m.chain") == (
        f"Error: {tmp_path / 'no' / 'm.chain'} cannot be written: there is no folder {tmp_path / 'no'}. Make it "
        f"first.\n")
    assert failure("evaluate", tmp_path / "none.chain", "digits") == (
        f"Error: {tmp_path / 'none.chain'}: No such file or directory.\n")
    assert failure("evaluate", tmp_path / "rows.txt", "digits") == (
        f"Error: {tmp_path / 'rows.txt'} cannot be read as a chainrule model: it is not a zip archive, or a damaged "
        f"one (File is not a zip file).\n")
    assert failure("predict", model, tmp_path / "none.csv") == (
        f"Error: There is no file {tmp_path / 'none.csv'}. Give images, rows in .npy, .npz or .csv, or one of the data "
        f"sets cifar10, digits, fashion_mnist, mnist.\n")
    assert failure("predict", model, tmp_path / "rows.txt") == (
        f"Error: {tmp_path / 'rows.txt'} is none of .npy, .npz and .csv, the files that rows are read from.\n")
    assert failure("predict", model, tmp_path / "text.csv") == (
        f"Error: {tmp_path / 'text.csv'} cannot be read: could not convert string 'x' to float32 at row 0, column 2.\n")
    assert failure("predict", model, tmp_path / "bad.npy").startswith(f"Error: {tmp_path / 'bad.npy'} cannot be read: ")
    assert failure("predict", model, "digts") == "Error: There is no data set 'digts'. Did you mean 'digits'?\n"
    assert failure("evaluate", model, "digits").startswith("Error: The input of the model")


@pytest.mark.parametrize("arguments", [
    ["fit"], ["fit", "digits", "--hidden", "a"], ["fit", "digits", "--dropout", "2"], ["nothing"], ["fit", "--no"]])
def test_wrong_usage_leaves_with_2(arguments):
    assert RUNNER.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("command", ["fit", "evaluate", "predict", "doctor"])
def test_help_has_examples(command):
    result = RUNNER.invoke(app, [command, "--help"])
    assert result.exit_code == 0 and f"$ chainrule {command}" in result.output


def test_version():
    from importlib.metadata import version

    assert RUNNER.invoke(app, ["--version"]).output == f"chainrule {version('chainrule')}\n"


def test_doctor(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 0 and "All is well." in result.output
    for word in ("python", "jaxlib", "devices", "precision", "compiler", "extra tables", "cache"):
        assert word in result.output
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "none"))
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 1 and result.stderr == "Error: not well: data folder.\n"


def test_ctrl_c_keeps_what_was_trained(tmp_path):
    code = "from chainrule.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "fit", "digits", "--epochs", "2000", "--validation", "0", "--output", "m.chain"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "Epoch" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(
        r"\nStopping at the next opportunity; Ctrl-C once more to stop at once.\nStopped. The weights after epoch \d+ "
        r"are kept in m.chain. To go on: chainrule resume runs/digits\n", stderr)
    assert load_model(tmp_path / "m.chain").count_params() == 50_826


def test_a_reader_that_has_seen_enough(tmp_path):
    Sequential([Input((3,)), Dense(2)]).save(tmp_path / "model.chain")
    np.save(tmp_path / "x.npy", np.zeros((100_000, 3), "float32"))
    code = "from chainrule.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "predict", "model.chain", "x.npy"], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "row,output_0,output_1\n"
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
