"""Time series: reading, windows, scaling, forecasts, and what a forecast is measured against."""
from chainrule.data.calendar import calendar, season_of
from chainrule.data.scaling import Scaling
from chainrule.data.series import WindowSource, fill, pad, split, windows
from chainrule.data.series_files import read_text, read_ts
from chainrule.data.series_tables import SeriesTable, read_csv
from chainrule.series.baselines import linear, naive, seasonal_naive
from chainrule.series.forecast import forecast
from chainrule.series.measures import coverage, mase, smape

__all__ = [
    "Scaling", "SeriesTable", "WindowSource", "calendar", "coverage", "fill", "forecast", "linear", "mase", "naive",
    "pad", "read_csv", "read_text", "read_ts", "season_of", "seasonal_naive", "smape", "split", "windows",
]
