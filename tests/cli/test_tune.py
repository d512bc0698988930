"""`chainrule tune`: searches from the command line."""
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from chainrule.cli.main import app
from chainrule.models import load_model

QUICK = ("tune", "digits", "--hidden", "8", "--epochs", "2")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_search_shows_the_best_and_saves_it(here):
    done = run(*QUICK, "--hidden", "16", "--trials", 5)
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "digits: 1,438 images to train and to judge on, 359 to test on hidden: 8 or 16 activation: relu" in text
    assert "dropout: 0.05 to 0.5" in text and "At most 5 trials, by random" in text
    share = float(re.search(r"Held-out accuracy of the best: ([\d.]+) %", text)[1])
    assert share > 30
    assert "Saved to digits-tuned.chain" in text
    model = load_model("digits-tuned.chain")
    assert model.class_names == [str(digit) for digit in range(10)]
    found = sorted(path.name for path in (here / "runs" / "tune-digits").iterdir())
    assert {"best.chain", "search.sqlite", "parallel.png", "slices.png"} <= set(found)
    assert (here / "runs" / "tune-digits" / "slices.png").stat().st_size > 10_000
    again = run("evaluate", "digits-tuned.chain", "digits")
    assert f"{share} %" in again.output


def test_a_search_goes_on(here):
    first = run(*QUICK, "--trials", 3, "--quiet", "--run", "search")
    assert first.exit_code == 0 and re.fullmatch(r"0\.\d{4}\n", first.stdout)
    twice = run(*QUICK, "--trials", 6, "--run", "search")
    assert twice.exit_code == 1
    assert twice.stderr == ("Error: search holds a search already. Go on with it by resume=True (--resume), or give "
                            "another folder.\n")
    more = run(*QUICK, "--trials", 6, "--run", "search", "--resume")
    assert more.exit_code == 0 and "Going on with 3 trials that are over" in more.output
    other = run("tune", "digits", "--hidden", "8", "--epochs", "3", "--run", "search", "--resume")
    assert other.stderr == ("Error: search holds a search that was begun with epochs=2, where this one has epochs=3. "
                            "New trials could not be compared with its own: give what it was begun with, or another "
                            "folder.\n")


def test_halving_and_a_rate_for_all(here):
    done = run(*QUICK, "--trials", 4, "--by", "halving", "--learning-rate", "0.01", "--weight-decay", "0", "--quiet",
               "--run", "search", "--output", "own.chain")
    assert done.exit_code == 0, done.output
    model = load_model("own.chain")
    assert model.optimizer.learning_rate == pytest.approx(0.01) and not model.optimizer.weight_decay


def test_ctrl_c_ends_with_what_there_is(here):
    code = "from chainrule.cli.main import main; main()"
    arguments = ["tune", "digits", "--hidden", "8", "--epochs", "2", "--trials", "100000", "--run", "search"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=here, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    ends = time.monotonic() + 240
    while not (here / "search" / "best.chain").is_file():
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Stopped; what was found until then is kept." in output and "Held-out accuracy of the best:" in output
    load_model("digits-tuned.chain")


@pytest.mark.parametrize(("words", "message"), [
    (("digits", "--by", "randm"), "There is no way to search 'randm'. Did you mean 'random'?"),
    (("digits", "--resume"), "--resume needs the folder of the search: --run runs/tune-digits."),
    (("digist",), "There is no data set 'digist'. Did you mean 'digits'?"),
    (("digits", "--network", "convolution"), "There is no network 'convolution'. Did you mean 'convolutional'?"),
    (("digits", "--monitor", "val_acuracy"),
     "tune judges by 'val_acuracy', which trials will not report. Did you mean 'val_accuracy'?"),
])
def test_what_cannot_be_searched(here, words, message):
    done = run("tune", *words)
    assert done.exit_code == 1 and done.stderr == f"Error: {message}\n"


def test_ranges_that_are_none(here):
    done = run("tune", "digits", "--learning-rate", "0.1,0.001")
    assert done.exit_code == 2
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())
    assert ("--learning-rate is a number, or a smaller and a larger one above 0 with a comma between, such as "
            "0.001,0.1; got '0.1,0.001'") in words


def test_the_help_has_examples():
    text = run("tune", "--help").output
    assert "chainrule tune digits --minutes 2" in text and "--by" in text
