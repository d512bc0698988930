"""Steps and seasons of times, and times as numbers."""
import numpy as np
import pytest

from chainrule.data.calendar import calendar, season_of, step_of
from chainrule.errors import DataError, SettingError


@pytest.mark.parametrize(("start", "step", "season"), [
    ("2020-01-01", np.timedelta64(1, "h"), 24), ("2020-01-01", np.timedelta64(15, "m"), 96),
    ("2020-01-01", np.timedelta64(1, "D"), 7), ("2020-01-01", np.timedelta64(7, "D"), 52),
    ("2020-01-01", np.timedelta64(6, "h"), 4), ("2020-01-01", np.timedelta64(7, "h"), 1),
    ("2020-01-01", np.timedelta64(3, "D"), 1)])
def test_season_of_even_steps(start, step, season):
    times = np.datetime64(start, "s") + np.arange(40) * step
    assert season_of(times) == season
    assert season_of(np.delete(times, [5, 6, 20])) == season  # a gap changes nothing


@pytest.mark.parametrize(("months", "season"), [(1, 12), (3, 4), (6, 2), (12, 1), (24, 1)])
def test_season_of_months(months, season):
    times = np.datetime64("1949-01", "M") + np.arange(0, 10 * months, months)
    assert season_of(times) == season == season_of(times.astype("M8[D]") + 14)


def test_season_of_working_days():
    days = np.arange("2020-01-01", "2020-03-01", dtype="M8[D]")
    assert season_of(days[np.is_busday(days)]) == 5 and season_of(days) == 7


def test_calendar_goes_round():
    points = calendar(["2021-01-01", "2021-07-02 12:00", "2020-12-31 23:59:59"], "year")
    np.testing.assert_allclose(points, [[0, 1], [0, -1], [0, 1]], atol=1e-5)
    week = calendar(np.arange("2020-01-06", "2020-01-20", dtype="M8[D]"), ("week",))
    np.testing.assert_allclose(week[:7], week[7:], atol=1e-6)
    np.testing.assert_allclose(week[0], [0, 1], atol=1e-6)  # a Monday
    both = calendar(["2020-01-01 06:00"], ("year", "day"))
    np.testing.assert_allclose(both[0, 2:], [1, 0], atol=1e-6)
    assert both.dtype == np.float32 and calendar(["2020-01-01"]).shape == (1, 6)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: step_of(["2020-01-01"]), "The step of times needs at least 2 of them; got 1."),
    (lambda: season_of(["2020-01-02", "2020-01-01"]),
     "Times must rise; the time in row 1, 2020-01-01T00:00:00, does not come after 2020-01-02T00:00:00."),
    (lambda: season_of([1.0, 2.0]), "Times are a column of datetime64, or of text such as '2020-01-31 12:00'; got "
                                    "float64 of shape (2,)."),
    (lambda: calendar(np.array(["2020", "NaT"], "M8[s]")), "The time in row 1 is missing."),
    (lambda: calendar(["tomorrow"]), "Times are datetime64 or text such as '2020-01-31 12:00'. Error parsing datetime "
                                     "string \"tomorrow\" at position 0."),
])
def test_what_are_no_times(call, message):
    with pytest.raises(DataError) as error:
        call()
    assert str(error.value) == message


def test_periods():
    with pytest.raises(SettingError) as error:
        calendar(["2020-01-01"], ("month",))
    assert str(error.value) == "periods are some of 'day', 'week', 'year'; got ('month',)."
