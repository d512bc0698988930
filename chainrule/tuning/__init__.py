"""Searching for good settings of a network: many are trained at once, as members of populations."""
from chainrule.tuning.halving import Halving
from chainrule.tuning.proposals import EvenProposer, OptunaProposer, Proposer, RandomProposer
from chainrule.tuning.results import Results
from chainrule.tuning.search import Budget
from chainrule.tuning.space import Choice, Dimension, Fixed, Integer, LogUniform, Uniform
from chainrule.tuning.trial import Trial
from chainrule.tuning.tune import tune

__all__ = ["Budget", "Choice", "Dimension", "EvenProposer", "Fixed", "Halving", "Integer", "LogUniform",
           "OptunaProposer", "Proposer", "RandomProposer", "Results", "Trial", "Uniform", "tune"]
