//! Whether what came of a flow is what was expected of it.

use anyhow::{Result, ensure};

use super::case::{Case, Door, Profile, Verdict};
use super::flow::Refusal;
use super::log::{Log, ReasonsOf};
use super::report::Result as Came;
use super::run::{Outcome, Trace};
use super::subject::{Reach, Running};

/// What flows of a subject are held to.
pub struct Judge {
    profile: Profile,
    reach: Reach,
    /// What it has logged, where that can be read.
    reasons: Option<ReasonsOf>,
}

impl Judge {
    /// Once all is over: the log is read now.
    pub fn of(running: &Running, profile: Profile) -> Result<Judge> {
        let reasons = running.log.as_ref().map(Log::reasons).transpose()?;
        // Of what was started here it is known whose log it is.
        let unread = reasons.as_ref().is_some_and(ReasonsOf::is_empty) && running.reach == Reach::Anywhere;
        ensure!(!unread, "the log has no record with a `client`: is it Egret's, in JSON, of this run?");
        Ok(Judge { profile, reach: running.reach, reasons })
    }

    pub fn judge(&self, case: &Case, door: Door, trace: &Trace) -> Came {
        if trace.outcome == Outcome::ControlLost {
            return Came::NotApplicable("what the case builds on does not pass");
        }
        let wrong = self.wrong(case, trace).or_else(|| self.logged_otherwise(case, door, trace));
        wrong.map_or(Came::AsExpected, Came::Wrong)
    }

    /// Why this is not what was expected.
    fn wrong(&self, case: &Case, trace: &Trace) -> Option<String> {
        let at = trace.arrived_at.as_deref().unwrap_or("the origin");
        let refused = case.expected(self.profile) != Verdict::Allow;
        match &trace.outcome {
            Outcome::Error(error) => Some(error.clone()),
            Outcome::ControlLost => None,
            Outcome::Allowed if !refused => None,
            Outcome::Allowed => Some(format!("it reached {at}, and the answer came back")),
            Outcome::Arrived if refused => Some(format!("it reached {at}")),
            Outcome::Arrived => Some(format!("it reached {at}, and no answer came back")),
            Outcome::Mended if refused => None,
            Outcome::Mended => Some("it was changed on the way".into()),
            Outcome::Refused(how) if refused && self.was_tried(case, *how) => {
                Some("it was tried, and failed: nothing refused it".into())
            }
            Outcome::Refused(_) if refused => None,
            Outcome::Refused(how) => Some(format!("it was refused: {how}")),
            Outcome::Silent if refused && case.silence => None,
            Outcome::Silent => Some("neither an answer nor an end".into()),
            Outcome::Unmet(what) if refused => Some(format!("neither refused nor passed: {what}")),
            Outcome::Unmet(what) => Some(what.clone()),
        }
    }

    /// An answer of this kind shows a failure. Where something permitted came to the origin before, it may be of that.
    fn was_tried(&self, case: &Case, how: Refusal) -> bool {
        matches!(how, Refusal::Status(502..=504)) && self.reach == Reach::Anywhere && case.control.is_none()
    }

    /// That a refusal has another reason in the log than the case says.
    fn logged_otherwise(&self, case: &Case, door: Door, trace: &Trace) -> Option<String> {
        let denied = case.expected(self.profile) != Verdict::Allow;
        let expected = case.reason.as_ref().and_then(|it| it.at(door)).filter(|_| denied)?;
        let logged = self.reasons.as_ref()?.get(&trace.client?).cloned().unwrap_or_default();
        if expected.split('|').any(|code| logged.contains(code)) {
            return None;
        }
        let mut logged: Vec<String> = logged.into_iter().collect();
        logged.sort();
        Some(format!("refused, but logged as {logged:?} instead of {expected}"))
    }
}
