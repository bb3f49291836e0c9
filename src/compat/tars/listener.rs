//! Takes calls.
//!
//! Knows nothing of encodings.

use std::time::Duration;

use crate::compat::Room;
use crate::compat::settings::Tars;
use crate::http::Accepting;

pub(in crate::compat) fn serve(
    _settings: &Tars,
    accepting: Accepting,
    room: &Room<'_>,
    drain: Duration,
) {
    room.tasks.spawn(room.name, async move {
        accepting.run(drain, |_, _| async {}).await;
        Ok(())
    });
}
