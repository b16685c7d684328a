//! When the oldest event was sent that this process has received and nobody is known to have settled: in flight here, or handed back lately.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::metrics::Outcome;

/// What was handed back is in flight again by then, here or elsewhere, as long as its queue is polled. While it is not, it counts.
const RETURN_TIME: Duration = Duration::from_mins(3);

/// The events of one queue, by when they were sent.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    in_flight: BTreeMap<OffsetDateTime, usize>,
    /// The oldest, and when it was handed back.
    handed_back: Option<(OffsetDateTime, Instant)>,
}

impl Unsettled {
    /// An event is in flight.
    pub fn begin(&mut self, sent_at: Option<OffsetDateTime>) {
        if let Some(sent_at) = sent_at {
            *self.in_flight.entry(sent_at).or_default() += 1;
        }
    }

    /// It is not any more: settled, or to be received again.
    pub fn end(&mut self, sent_at: Option<OffsetDateTime>, outcome: Outcome, now: Instant) {
        let Some(sent_at) = sent_at else { return };
        let is_settled = !matches!(outcome, Outcome::Deferred | Outcome::Released);
        if let Some(events) = self.in_flight.get_mut(&sent_at) {
            *events -= 1;
            if *events == 0 {
                self.in_flight.remove(&sent_at);
            }
        }
        if !is_settled && self.handed_back.is_none_or(|(oldest, _)| sent_at <= oldest) {
            self.handed_back = Some((sent_at, now));
        }
    }

    /// The queue has answered a poll.
    pub fn poll(&mut self, now: Instant) {
        self.handed_back = self.handed_back.filter(|(_, at)| now - *at < RETURN_TIME);
    }

    /// When the oldest was sent.
    pub fn oldest(&self) -> Option<OffsetDateTime> {
        let in_flight = self.in_flight.keys().next().copied();
        in_flight.into_iter().chain(self.handed_back.map(|(oldest, _)| oldest)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_while_it_is_in_flight_and_when_it_is_handed_back_until_polls_have_had_time_to_bring_it_again() {
        let (now, sent) = (Instant::now(), |second| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(second));
        let mut unsettled = Unsettled::default();
        assert_eq!(unsettled.oldest(), None);
        for second in [7, 5, 5] {
            unsettled.begin(Some(sent(second)));
        }
        unsettled.end(Some(sent(5)), Outcome::Stored, now);
        assert_eq!(unsettled.oldest(), Some(sent(5)), "its like is still there");
        unsettled.end(Some(sent(5)), Outcome::Stored, now);
        assert_eq!(unsettled.oldest(), Some(sent(7)));
        unsettled.end(Some(sent(7)), Outcome::Released, now);
        assert_eq!(unsettled.oldest(), Some(sent(7)), "nobody has settled it");
        unsettled.poll(now + RETURN_TIME / 2);
        assert_eq!(unsettled.oldest(), Some(sent(7)), "it may not have come again yet");
        unsettled.poll(now + RETURN_TIME);
        assert_eq!(unsettled.oldest(), None);
    }
}
