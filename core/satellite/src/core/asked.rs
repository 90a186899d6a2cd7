//! Questions of the controller beside its plan. They are answered beside the loop, a few at a time, and change nothing of what it holds.

use std::sync::Arc;
use std::time::Duration;

use berth_model::inquiry::{Answer, Question};
use berth_proto::{Told, up};

use super::{Core, Event};

/// Questions that are answered at the same time; more are refused, as each may run a tool.
const AT_ONCE: usize = 8;

impl Core {
    /// Begins to answer a question.
    pub(super) fn asked(&mut self, session: u64, number: u64, question: Question) {
        if self.asked >= AT_ONCE {
            let busy = Answer::Refused {
                why: format!("The satellite is answering {AT_ONCE} questions already."),
                correction: "Ask again in a moment.".to_owned(),
            };
            return self.tell(session, number, &busy);
        }
        self.asked += 1;
        let (site, door) = (Arc::clone(&self.site), self.door.clone());
        let answering = self.crew.aside(Duration::ZERO, move || site.answer(&question));
        self.crew.spawn(async move {
            let answer = match answering.await {
                Ok(answer) => answer,
                Err(error) => Answer::Refused {
                    why: format!("The question could not be answered: {error}."),
                    correction: "Look at the satellite's log, and report a defect.".to_owned(),
                },
            };
            // A loop that has ended tells nobody anything.
            drop(door.send(Event::Answered { session, number, answer: Box::new(answer) }).await);
        });
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, session: u64, number: u64, answer: &Answer) {
        self.asked = self.asked.saturating_sub(1);
        self.tell(session, number, answer);
    }

    /// Tells the session that asked; a later one asked nothing.
    fn tell(&mut self, session: u64, number: u64, answer: &Answer) {
        if self.session.as_ref().is_none_or(|present| present.link.number != session) {
            return;
        }
        match serde_json::to_vec(answer) {
            Ok(body) => self.push(up::Message::Told(Told { number, body })),
            Err(error) => tracing::error!(%error, "an answer cannot be written"),
        }
    }
}
