//! The calendar of an environment: raw values to the checked [`Calendar`], its mistakes back to their places.

use super::raw::CalendarPlaces;
use crate::calendar::{Calendar, CalendarError, Item, RawCalendar, Zones};
use crate::findings::Finding;
use crate::yaml::{Node, Sink, Span, Value};

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
