"""Reads a calendar feed with the `icalendar` package and prints its events as JSON: what a reader other than ours sees."""

import json
import sys
from datetime import timezone

import icalendar

calendar = icalendar.Calendar.from_ical(sys.stdin.buffer.read())
assert not calendar.errors, calendar.errors
events = []
for event in calendar.walk("VEVENT"):
    assert not event.errors, event.errors
    begin, end = event.decoded("dtstart"), event.decoded("dtend")
    # A time without a zone would be read in the reader's own.
    assert begin.utcoffset() is not None and end.utcoffset() is not None, event
    events.append(
        {
            "uid": str(event["uid"]),
            "summary": str(event["summary"]),
            "description": str(event["description"]),
            "from": int(begin.astimezone(timezone.utc).timestamp()),
            "until": int(end.astimezone(timezone.utc).timestamp()),
        }
    )
others = sorted({component.name for component in calendar.walk()} - {"VCALENDAR", "VEVENT"})
json.dump({"version": str(calendar["version"]), "others": others, "events": events}, sys.stdout)
