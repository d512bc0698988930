"""Runs: the folder that holds a training while it is under way and after, and what goes on from it."""
from chainrule.runs.keeper import Keeper
from chainrule.runs.run import Run, as_run, find_runs

__all__ = ["Keeper", "Run", "as_run", "find_runs"]
