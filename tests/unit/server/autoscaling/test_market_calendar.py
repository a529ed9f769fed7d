"""Laws of the hours of the markets: real holidays, early closes, the change of clocks, unions, and the week of 24x5."""

from datetime import UTC, datetime

import exchange_calendars
import pytest

from server.autoscaling.exchange_sessions import CalendarError, exchange_sessions, load_calendar
from server.autoscaling.fx_week import fx_week_sessions
from server.autoscaling.market_calendar import MarketCalendar, Phase, Session
from server.config.calendar_names import EXCHANGE_CALENDARS


def moment(text: str) -> float:
    """Returns Unix seconds of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


YEAR = (moment("2026-01-01T00:00"), moment("2027-01-01T00:00"))


@pytest.fixture(scope="module")
def calendars() -> dict[str, MarketCalendar]:
    """Returns the year 2026 of New York and London, each and together."""
    sessions = {name: exchange_sessions(name, *YEAR)[0] for name in ("XNYS", "XLON")}
    made = {name: MarketCalendar(each, known_until=YEAR[1]) for name, each in sessions.items()}
    made["both"] = MarketCalendar(sessions["XNYS"] + sessions["XLON"], known_until=YEAR[1])
    made["all"] = MarketCalendar([*sessions["XNYS"], *sessions["XLON"], *fx_week_sessions(*YEAR)], known_until=YEAR[1])
    return made


@pytest.mark.parametrize(
    ("name", "opens", "closes"),
    [
        # An ordinary winter's day, and a summer's.
        ("XNYS", "2026-02-10T14:30", "2026-02-10T21:00"),
        ("XNYS", "2026-07-14T13:30", "2026-07-14T20:00"),
        ("XLON", "2026-02-10T08:00", "2026-02-10T16:30"),
        ("XLON", "2026-07-14T07:00", "2026-07-14T15:30"),
        # New York changes its clocks on 8 March and 1 November 2026, London on 29 March and 25 October.
        ("XNYS", "2026-03-06T14:30", "2026-03-06T21:00"),
        ("XNYS", "2026-03-09T13:30", "2026-03-09T20:00"),
        ("XLON", "2026-03-27T08:00", "2026-03-27T16:30"),
        ("XLON", "2026-03-30T07:00", "2026-03-30T15:30"),
        ("XLON", "2026-10-26T08:00", "2026-10-26T16:30"),
        ("XNYS", "2026-10-30T13:30", "2026-10-30T20:00"),
        ("XNYS", "2026-11-02T14:30", "2026-11-02T21:00"),
        # Early closes: the day after Thanksgiving, Christmas Eve in both places.
        ("XNYS", "2026-11-27T14:30", "2026-11-27T18:00"),
        ("XNYS", "2026-12-24T14:30", "2026-12-24T18:00"),
        ("XLON", "2026-12-24T08:00", "2026-12-24T12:30"),
        # In the weeks between the two changes they are an hour nearer than usual.
        ("both", "2026-03-10T08:00", "2026-03-10T20:00"),
        ("both", "2026-02-10T08:00", "2026-02-10T21:00"),
    ],
)
def test_sessions_begin_and_end_to_the_second(
    calendars: dict[str, MarketCalendar], name: str, opens: str, closes: str
) -> None:
    """An opening belongs to its session, a close does not; just before and just after all is closed."""
    calendar = calendars[name]
    assert [calendar.is_open(moment(opens) + after) for after in (-1, 0)] == [False, True]
    assert [calendar.is_open(moment(closes) + after) for after in (-1, 0)] == [True, False]
    assert calendar.next_open(moment(opens) - 1) == moment(opens)


@pytest.mark.parametrize(
    ("name", "noon"),
    [
        ("XNYS", "2026-07-03T16:00"),  # Independence Day is a Saturday: kept on Friday
        ("XNYS", "2026-11-26T16:00"),  # Thanksgiving
        ("XNYS", "2026-06-19T16:00"),  # Juneteenth
        ("XLON", "2026-05-25T12:00"),  # Spring bank holiday
        ("XLON", "2026-12-28T12:00"),  # Boxing Day is a Saturday: kept on Monday
        ("both", "2026-04-03T14:00"),  # Good Friday, in both places
        ("both", "2026-12-25T14:00"),
        ("both", "2026-11-22T14:00"),  # a Sunday
    ],
)
def test_holidays_are_closed(calendars: dict[str, MarketCalendar], name: str, noon: str) -> None:
    """At a time at which any other day of theirs is open."""
    assert not calendars[name].is_open(moment(noon))


def test_one_exchange_of_several_is_enough(calendars: dict[str, MarketCalendar]) -> None:
    """London trades on Thanksgiving, New York on London's bank holiday; with 24x5 the week has no nights."""
    assert calendars["both"].is_open(moment("2026-11-26T10:00"))
    assert calendars["both"].is_open(moment("2026-08-31T15:00"))
    assert calendars["all"].is_open(moment("2026-11-25T03:00"))
    assert not calendars["all"].is_open(moment("2026-11-21T12:00"))


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2026-01-11T22:00", "2026-01-16T22:00"),
        ("2026-03-01T22:00", "2026-03-06T22:00"),
        ("2026-03-08T21:00", "2026-03-13T21:00"),  # that Sunday morning the clocks went forward
        ("2026-10-25T21:00", "2026-10-30T21:00"),  # this Sunday those of London did, which do not count
        ("2026-11-01T22:00", "2026-11-06T22:00"),
    ],
)
def test_foreign_exchange_follows_new_york(opens: str, closes: str) -> None:
    """From Sunday 17:00 to Friday 17:00 there, so at 21:00 or 22:00 UTC."""
    week = MarketCalendar(fx_week_sessions(*YEAR), known_until=YEAR[1])
    assert [week.is_open(moment(opens) + after) for after in (-1, 0)] == [False, True]
    assert [week.is_open(moment(closes) + after) for after in (-1, 0)] == [True, False]


def test_a_week_that_has_begun_is_there() -> None:
    """Whenever the calendar is loaded, also in the hours of a Sunday around the opening."""
    for now in ("2026-11-22T21:59", "2026-11-22T22:00", "2026-11-25T12:00", "2026-11-27T21:59"):
        week = MarketCalendar(fx_week_sessions(moment(now), moment(now) + 60), known_until=0.0)
        assert week.is_open(moment(now)) == (now != "2026-11-22T21:59")


def test_before_an_opening_it_counts_as_open(calendars: dict[str, MarketCalendar]) -> None:
    """From as many seconds before it as asked for, no sooner; a holiday's morning does not count."""
    opening = moment("2026-11-27T14:30")
    phases = [calendars["XNYS"].phase(opening - before, pre_scale=900) for before in (901, 900, 0)]
    assert phases == [Phase.CLOSED, Phase.OPEN, Phase.OPEN]
    assert calendars["XNYS"].phase(moment("2026-11-26T14:25"), pre_scale=900) is Phase.CLOSED
    assert calendars["XNYS"].phase(moment("2026-11-27T18:00"), pre_scale=0) is Phase.CLOSED


def test_sessions_that_overlap_or_touch_are_one() -> None:
    """In whatever order they come; an empty one is none."""
    calendar = MarketCalendar(
        [Session(5, 9), Session(1, 3), Session(8, 12), Session(3, 4), Session(20, 20)], known_until=30
    )
    assert calendar.sessions == (Session(1, 4), Session(5, 12))
    assert calendar.next_open(4) == 5
    assert calendar.next_open(5) is None


def test_the_names_are_the_librarys() -> None:
    """All of them, and no others: settings refuse the rest without importing it."""
    assert set(exchange_calendars.get_calendar_names(include_aliases=False)) == EXCHANGE_CALENDARS


def test_a_child_process_reads_the_calendars() -> None:
    """What it writes is what the library says, and it says until when; no exchange needs no child."""
    start, end = moment("2026-11-20T00:00"), moment("2026-12-01T00:00")
    calendar = load_calendar(["XLON"], start, end)
    assert list(calendar.sessions) == exchange_sessions("XLON", start, end)[0]
    assert calendar.known_until == end
    week = load_calendar(["24x5"], start, end)
    assert week.sessions == MarketCalendar(fx_week_sessions(start, end), known_until=0).sessions


def test_what_the_library_does_not_know_is_said() -> None:
    """A calendar that is not there raises; one whose holidays are not published yet says until when it is known."""
    start = moment("2026-11-20T00:00")
    with pytest.raises(CalendarError, match="NOWHERE"):
        load_calendar(["NOWHERE"], start, start + 86_400)
    # Far beyond what any exchange has published; the library has a bound for Shanghai.
    sessions, until = exchange_sessions("XSHG", start, start + 60 * 86_400)
    assert sessions
    assert until <= start + 60 * 86_400
    assert all(session.opens <= until + 2 * 86_400 for session in sessions)
