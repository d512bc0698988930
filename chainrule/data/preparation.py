"""What made raw data into the inputs of a model, and is kept in its file: vocabularies, scalings."""
from chainrule.configuration import Configurable


class Preparation(Configurable):
    """How text or a table became numbers: settings alone, so that a model's file can hold it as data.

    A model has at most one, as `model.preparation`; `fit` takes it from a `Source` that has one. What it means is up to
    the commands and functions that read it: a vocabulary for `text.generate`, a scaling for forecasts.

    Example:
        >>> class Shift(Preparation):
        ...     def __init__(self, by: float):
        ...         self.by = by
        >>> Shift(by=2.0).get_config()
        {'by': 2.0}
    """

    kind = "preparation"
