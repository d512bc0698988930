"""Many networks trained by one program: seeds, ensembles, cross-validation and search are uses of it."""
from chainrule.population.history import PopulationHistory
from chainrule.population.population import Population

__all__ = ["Population", "PopulationHistory"]
