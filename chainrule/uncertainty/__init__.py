"""What several predictions of the same thing say together, and whether predictions are as sure as they should be.

NumPy only: arrays in, arrays out.
"""
from chainrule.uncertainty.calibration import (
    CalibrationCurve,
    CoverageCurve,
    calibration_curve,
    coverage_curve,
    fit_temperature,
)
from chainrule.uncertainty.intervals import (
    conformal_margin,
    conformal_radius,
    conformal_threshold,
    gaussian_interval,
)
from chainrule.uncertainty.members import (
    REDUCTIONS,
    GaussianMixture,
    entropy,
    mix_gaussians,
    mutual_information,
    reduce_members,
)

__all__ = [
    "REDUCTIONS", "CalibrationCurve", "CoverageCurve", "GaussianMixture", "calibration_curve", "conformal_margin",
    "conformal_radius", "conformal_threshold", "coverage_curve", "entropy", "fit_temperature", "gaussian_interval",
    "mix_gaussians", "mutual_information", "reduce_members",
]
