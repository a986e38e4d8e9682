//! The calendar of an environment: raw values to the checked [`Calendar`], its mistakes back to their places.

use super::raw::{self, CalendarPlaces};
use crate::calendar::{Calendar, CalendarError, Item, RawCalendar, Zones};
use crate::files::File;
use crate::findings::{Finding, with_excerpts};
use crate::ids::RepoPath;
use crate::yaml::{Node, OWN_LIMITS, Sink, Span, Value, read};

/// Checks a calendar; mistakes become findings at the value they are about.
pub(super) fn checked(raw: &RawCalendar, places: &CalendarPlaces, zones: &Zones, sink: &mut Sink) -> Calendar {
    match Calendar::new(raw, zones) {
        Ok(calendar) => calendar,
        Err(mistakes) => {
            sink.extend(mistakes.into_iter().filter_map(|mistake| finding(mistake, places)));
            Calendar::default()
        }
    }
}

/// Reads a calendar file: `windows`, `freezes` and `cutoff` as in an environment's file. Findings carry their excerpt.
pub fn calendar_file(path: &RepoPath, bytes: &[u8], zones: &Zones) -> Result<Calendar, Vec<Finding>> {
    let mut sink = Sink::default();
    let read = read(path, bytes, &OWN_LIMITS);
    let calendar = match read {
        Ok(Some(node)) => raw::calendar_file(&node, &mut sink).map(|(raw, places)| checked(&raw, &places, zones, &mut sink)),
        Ok(None) => Some(Calendar::default()),
        Err(findings) => {
            sink.extend(findings);
            None
        }
    };
    match calendar.filter(|_| !sink.has_errors()) {
        Some(calendar) => Ok(calendar),
        None => {
            let files = std::iter::once((path.clone(), File { bytes: bytes.into(), executable: false })).collect();
            Err(with_excerpts(sink.into_findings(), &files))
        }
    }
}

fn finding(mistake: CalendarError, places: &CalendarPlaces) -> Option<Finding> {
    let item = match mistake.item {
        Item::AllWindows => places.windows.as_ref(),
        Item::AllFreezes => places.freezes.as_ref(),
        Item::Cutoff => places.cutoff.as_ref(),
        Item::Window(index) => item_of(places.windows.as_ref(), index),
        Item::Freeze(index) => item_of(places.freezes.as_ref(), index),
    }?;
    Some(span(item, &mistake).error(mistake.code, mistake.message).hint_if(mistake.hint))
}

fn item_of(list: Option<&Node>, index: usize) -> Option<&Node> {
    match &list?.value {
        Value::Sequence(items) => items.get(index),
        _ => list,
    }
}

/// The value of the field if it is there, else the item; some characters of it if the mistake says which.
fn span(item: &Node, mistake: &CalendarError) -> Span {
    let node = item.get(mistake.field).filter(|node| !node.is_null()).unwrap_or(item);
    match &mistake.span {
        Some(part) if node.scalar().is_some() => node.span_within(part.start, part.len()),
        _ => node.span.clone(),
    }
}
