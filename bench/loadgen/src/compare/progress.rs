//! What is being measured, how far it is and how long it will take, on standard error: one line that changes on a
//! terminal, one line a case elsewhere.

use std::fmt::Display;
use std::io::{IsTerminal, Write as _, stderr};
use std::time::{Duration, Instant};

use super::overhead;
use super::turns::{Loop, Step};
use crate::output::tell;
use crate::report::{Missing, Participant};
use crate::suite::Case;

pub struct Progress {
    steps: usize,
    done: usize,
    /// As guessed before it began, and that of what is done.
    guess: Duration,
    guess_done: Duration,
    current: Duration,
    seconds: Duration,
    started: Instant,
    line: Line,
    last: Option<(usize, Case)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Line {
    Coloured,
    Changing,
    Plain,
}

impl Progress {
    pub fn start(steps: &[Step], seconds: Duration, present: &[Participant], missing: &[Missing]) -> Progress {
        let guess = steps.iter().map(|step| guess(step, seconds)).sum();
        let names: Vec<&str> = present.iter().map(|one| one.name.as_str()).collect();
        tell(format_args!("{} measurements of {}, about {}", steps.len(), names.join(" · "), duration(guess)));
        for Missing { what, why } in missing {
            tell(format_args!("without {what}: {why}"));
        }
        Progress {
            steps: steps.len(),
            done: 0,
            guess,
            guess_done: Duration::ZERO,
            current: Duration::ZERO,
            seconds,
            started: Instant::now(),
            line: Line::here(),
            last: None,
        }
    }

    /// The steps before it are done or were left out.
    pub fn on(&mut self, step: &Step, name: &str) {
        self.guess_done += self.current;
        self.current = guess(step, self.seconds);
        self.done += 1;
        let place = Some((step.round, step.case));
        if self.line == Line::Plain && self.last == place {
            return;
        }
        self.last = place;
        let (of, left) = (format!("{}/{}", self.done, self.steps), duration(self.remaining()));
        let what = format!("round {} · {} · {}", step.round, step.case.door.as_str(), step.case.title());
        let kind = if step.kind == Loop::Open { " at a rate" } else { "" };
        match self.line {
            Line::Coloured => {
                show(format_args!(
                    "\x1b[1m{of}\x1b[0m  \x1b[36m{left} left\x1b[0m  {what} · \x1b[1m{name}\x1b[0m{kind}"
                ));
            }
            Line::Changing => show(format_args!("{of}  {left} left  {what} · {name}{kind}")),
            Line::Plain => tell(format_args!("{of}, {left} left: {what}")),
        }
    }

    pub fn end(&self) {
        if self.line != Line::Plain {
            show("");
        }
        tell(format_args!("{} of {} measurements in {}", self.done, self.steps, taken(self.started.elapsed())));
    }

    /// The guess, corrected by how long what is done has taken.
    fn remaining(&self) -> Duration {
        let left = self.guess.saturating_sub(self.guess_done);
        if self.guess_done.is_zero() {
            return left;
        }
        left.mul_f64(self.started.elapsed().as_secs_f64() / self.guess_done.as_secs_f64())
    }
}

impl Line {
    fn here() -> Line {
        let plain = !stderr().is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match (plain, colourless) {
            (true, _) => Line::Plain,
            (false, true) => Line::Changing,
            (false, false) => Line::Coloured,
        }
    }
}

/// In place of the line that is there. One that cannot be shown is no reason to stop.
fn show(line: impl Display) {
    let _ = write!(stderr(), "\r\x1b[2K{line}");
}

fn guess(step: &Step, seconds: Duration) -> Duration {
    overhead(&step.case) + seconds
}

/// What is still to come, in round figures.
fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 100 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// What is over, to the second.
fn taken(taken: Duration) -> String {
    match (taken.as_secs() / 60, taken.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;
    use crate::workload::Workload;

    #[test]
    fn what_remains_follows_from_what_is_done() {
        let case = Case::usual(Door::Explicit, Workload::Tunnel);
        let step = Step { round: 1, case, subject: 0, kind: Loop::Closed };
        let mut progress = Progress::start(&[step; 4], Duration::from_secs(1), &[], &[]);
        let whole = progress.guess;
        progress.on(&step, "egret");
        assert_eq!(progress.remaining(), whole);
        progress.on(&step, "egret");
        progress.started = Instant::now() - whole / 2;
        let remaining = progress.remaining();
        assert!(remaining > whole && remaining < whole * 2, "{remaining:?} of {whole:?}, twice as slow as guessed");
    }

    #[test]
    fn durations() {
        assert_eq!(
            (duration(Duration::from_secs(99)), duration(Duration::from_secs(121))),
            ("99 s".into(), "3 min".into())
        );
        assert_eq!(
            (taken(Duration::from_secs(59)), taken(Duration::from_secs(190))),
            ("59 s".into(), "3 min 10 s".into())
        );
    }
}
