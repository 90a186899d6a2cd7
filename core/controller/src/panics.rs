//! Panics are defects; they cost the work at hand, never the controller.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use berth_model::secrets::hide_in_text;

use crate::happenings::{Counters, PanicCaught, count};
use crate::reports::{NewReport, Reports};

thread_local! {
    /// Where the last panic of this thread was.
    static PLACE: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Remembers the place of each panic, beside what the hook before did.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|location| (location.file().to_owned(), location.line()));
            PLACE.with(|cell| cell.replace(place));
            // The message may quote what it was working on.
            let text = message(info.payload());
            match hide_in_text(&text) {
                Cow::Borrowed(_) => before(info),
                Cow::Owned(shown) => eprintln!("panicked: {shown}"),
            }
        }));
    });
}

/// Does `work`; a panic becomes an error report, whose id is the error.
pub(crate) fn caught<T>(part: &str, reports: &Reports, counters: &Counters, work: impl FnOnce() -> T) -> Result<T, String> {
    // What `work` touches is dropped with it or only read.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| report(part, reports, counters, payload.as_ref()))
}

/// What a panic says.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Makes the report of a panic that was caught; returns its id.
pub(crate) fn report(part: &str, reports: &Reports, counters: &Counters, payload: &(dyn Any + Send)) -> String {
    let message = hide_in_text(&message(payload)).into_owned();
    let (file, line) = PLACE.with(RefCell::take).unwrap_or_default();
    let id = reports.make(NewReport {
        exception: "Panic".to_owned(),
        message: message.clone(),
        file,
        line,
        method: part.to_owned(),
        text: "A defect of the controller. What it was working on was given up; everything else goes on.".to_owned(),
        ..NewReport::default()
    });
    count(&counters.error_reports);
    PanicCaught { place: part, message: &message, report: &id }.emit(counters);
    id
}
