"""`chainrule fit` on a text: a network that learns to write like it."""
import math
import shlex
from pathlib import Path

from rich.markup import escape

from chainrule.cli import terminal, text_networks
from chainrule.cli.fitting import as_asked, hidden_sizes, interruptible, run_of, train

_SAMPLE = 160  # characters shown after each epoch
_UNITS = {"characters": "character", "words": "word", "byte_pairs": "byte pair"}


def fit_text(options) -> None:
    """Train a network to foretell the next token of a text, show what it writes after each epoch, and save it."""
    from chainrule import text
    from chainrule.errors import SettingError, UnknownNameError, did_you_mean
    from chainrule.saving.archive import check_target

    path, level = Path(options.data), options.tokens or "characters"
    if level not in _UNITS:
        raise UnknownNameError(f"There are no tokens {level!r}. {did_you_mean(level, _UNITS)}")
    if options.vocabulary is not None and level == "characters":
        raise SettingError("--vocabulary is for words and byte_pairs; of characters there are as many as the text has.")
    output = options.output or Path(f"{path.stem}.chain")
    check_target(output)  # before the training, which would be lost
    corpus = text.read(path, options.encoding)
    recipe = _recipe(options, corpus, level)
    data = _windows(corpus, recipe, level, options)
    model = text_networks.build(recipe, len(data.vocabulary), carry=recipe.carries)
    steps = -(-len(data.train) // recipe.batch_size) * recipe.epochs
    _compile(model, options, recipe.learning_rate, steps)
    model.preparation = data.vocabulary
    say = terminal.console().print if not options.quiet else lambda *_, **__: None
    _introduce(path, corpus, data, options.validation, level, model, recipe, say)

    def save(output: Path) -> None:
        _free(model, recipe).save(output)

    characters = len(corpus) / max(len(data.encode(corpus)), 1)  # in a token
    callbacks = [] if options.quiet else [_sampler(model, corpus, data, level, characters)]
    run = run_of(options, path.stem)
    with interruptible(model, output, save, run):
        train(model, data.train, validation_data=data.validation, patience=recipe.patience, epochs=recipe.epochs,
              batch_size=recipe.batch_size, shuffle=not recipe.carries, seed=options.seed, say=say,
              quiet=options.quiet, callbacks=callbacks, run=run, resume=options.resume)
        save(output)
    _report(model, data, level, characters, _other_command(options, recipe), output, say, options.quiet)


def _recipe(options, corpus: str, level: str) -> text_networks.TextRecipe:
    """What suits the text, and what was asked for."""
    from chainrule.errors import SettingError

    size = len(corpus) if level == "characters" else len(corpus) // 4
    recipe = as_asked(text_networks.recipe(options.network, size), hidden=hidden_sizes(options.hidden),
                      length=options.length, epochs=options.epochs, batch_size=options.batch_size,
                      learning_rate=options.learning_rate, dropout=options.dropout)
    if recipe.carries and options.batch_size is None:
        recipe = recipe._replace(batch_size=_streams(recipe, size * (options.validation or 1)))
    if not recipe.hidden:
        raise SettingError("--hidden needs at least one layer for text, such as 256.")
    if recipe.kind == "transformer" and len(set(recipe.hidden)) > 1:
        raise SettingError(f"--hidden gives the width of each block of a Transformer, and all are the same, such as "
                           f"128,128,128; got {options.hidden}.")
    if recipe.kind == "transformer" and recipe.hidden[0] % 2:
        raise SettingError(f"--hidden gives the width of each block of a Transformer, an even number; got "
                           f"{recipe.hidden[0]}.")
    return recipe


def _streams(recipe: text_networks.TextRecipe, size: float) -> int:
    """Rows of a batch: fewer where a short text, cut into as many streams, would have none as long as a window."""
    rows = recipe.batch_size
    while rows > 1 and size / rows < recipe.length + 2:
        rows //= 2
    return rows


def _windows(corpus: str, recipe: text_networks.TextRecipe, level: str, options):
    """The text in windows; in as many streams as a batch has rows where states are carried along."""
    from chainrule import text

    settings = {} if options.vocabulary is None else {"size": options.vocabulary}
    streams = recipe.batch_size if recipe.carries else None
    return getattr(text, level)(corpus, recipe.length, validation=options.validation, streams=streams, **settings)


def _compile(model, options, learning_rate: float, steps: int) -> None:
    """Next-token cross-entropy; the rate falls along a cosine; gradients are clipped, as recurrent networks need."""
    from chainrule import losses, optimizers, schedules

    chosen = optimizers.get(options.optimizer)
    chosen.learning_rate = schedules.CosineDecay(learning_rate, steps)
    chosen.clipnorm = 1.0
    model.compile(chosen, losses.SparseCategoricalCrossentropy(from_logits=True), device=options.device)


def _free(model, recipe: text_networks.TextRecipe):
    """The model for use: of any number of rows, each text beginning anew."""
    if not recipe.carries:
        return model
    free = text_networks.build(recipe, len(model.preparation))
    free.compile(model.optimizer, model.loss)
    free.set_variables(model.variables()[0], free.variables()[1])
    free.preparation = model.preparation
    return free


def _introduce(path: Path, corpus: str, data, validation: float, level: str, model, recipe, say) -> None:
    """What is trained on what."""
    held = "" if data.validation is None else f", the last {100 * validation:.0f} % held out"
    say(f"[bold]{escape(path.name)}[/bold]: {len(corpus):,} characters, {len(data.vocabulary):,} different "
        f"{_UNITS[level]}s{held}", soft_wrap=True)
    context = f"windows of {recipe.length}" + ", states carried from each to the next" * recipe.carries
    say(f"Network: {text_networks.describe(recipe)}, {model.count_params():,} weights; {context}\n", soft_wrap=True)


def _sampler(model, corpus: str, data, level: str, characters: float):
    """A callback that shows, after each epoch, how sure the network is and what it writes."""
    from chainrule import text
    from chainrule.training.events import Callback

    class Sampler(Callback):
        passive = True
        logs = None

        def on_epoch_begin(self, epoch, logs=None):
            self._show(epoch)  # after the line of the epoch before, which is written at its end

        def on_epoch_end(self, epoch, logs=None):
            self.logs = logs

        def on_train_end(self, logs=None):
            self._show(None)

        def _show(self, epoch):
            if self.logs is None:
                return
            nats = self.logs.get("val_loss")
            if nats is not None:
                print(f"  {_describe_loss(nats, level, characters)} on the held-out end")
            written = text.generate(model, data.vocabulary, prompt=_prompt(corpus), length=_SAMPLE, temperature=0.8,
                                    seed=epoch or 0)
            print("".join(f"  | {line}\n" for line in written.strip().splitlines()))
            self.logs = None

    return Sampler()


def _prompt(corpus: str) -> str:
    """Something to begin with: the first word of the text; the first character of one that is blank."""
    words = corpus.split(maxsplit=1)
    return words[0][:20] if words else corpus[:1]


def _describe_loss(nats: float, level: str, characters: float) -> str:
    """`1.523 nats (2.197 bits) a character`; of longer tokens the bits of each character too."""
    bits = nats / math.log(2)
    if level == "characters":
        return f"{nats:.3f} nats ({bits:.3f} bits) a character"
    return f"{nats:.3f} nats ({bits:.3f} bits) a {_UNITS[level]}, {bits / characters:.3f} bits a character"


def _other_command(options, recipe: text_networks.TextRecipe) -> tuple[str, str]:
    """A command that trains another kind of network on the same text, read in the same way, and what is other in it."""
    kind, why = ("transformer", "by attention") if recipe.carries else ("lstm", "by recurrence")
    words = ["chainrule", "fit", str(options.data), "--network", kind, "--output", f"{kind}.chain"]
    for name in ("tokens", "vocabulary", "encoding", "length"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", str(value)]
    return shlex.join(words), why


def _report(model, data, level: str, characters: float, other: tuple[str, str], output: Path, say, quiet: bool) -> None:
    """How well the model foretells the text it has not seen, where it is, and what to try next."""
    nats = None
    if data.validation is not None:
        best = min(model.history.history["val_loss"])
        nats = f"{best:.4f}" if quiet else _describe_loss(best, level, characters)
    if quiet:
        print(nats or "")
        return
    if nats is not None:
        say(f"\nHeld-out end of the text: [bold green]{nats}[/bold green]")
    say(f"\nSaved to [bold]{escape(str(output))}[/bold] ({output.stat().st_size / 1e6:.1f} MB)\n\nTry next:",
        soft_wrap=True)
    file = shlex.quote(str(output))
    for line, why in ((f"chainrule write {file} --length 500", "some of its own"),
                      (f"chainrule write {file} --temperature 0.5 --seed 1", "surer of itself, and another text"),
                      other):
        say(f"  [cyan]{escape(line)}[/cyan]  [dim]{why}[/dim]", soft_wrap=True)
