//! Times as text. Records come in order, nearly, so the second's text is made once.

use jiff::Timestamp;

/// Writes times as RFC 3339 in UTC.
#[derive(Debug)]
pub(super) struct Clock {
    second: i64,
    /// `2026-11-21T21:14:03`
    prefix: String,
    text: String,
}

/// Digits after the second: Egret's own records have microseconds, Azure's units of 100 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Micros,
    Azure,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { second: i64::MIN, prefix: String::new(), text: String::new() }
    }

    /// `2026-11-21T21:14:03.500000Z`
    pub(super) fn show(&mut self, ts: Timestamp, precision: Precision) -> &str {
        let nanos = self.turn_to(ts);
        // A one before them keeps the zeros that the digits begin with.
        let digits = match precision {
            Precision::Micros => 1_000_000 + nanos / 1_000,
            Precision::Azure => 10_000_000 + nanos / 100,
        };
        self.text.clear();
        self.text.push_str(&self.prefix);
        self.text.push('.');
        // The first digit is there for the zeros behind it.
        self.text.extend(itoa::Buffer::new().format(digits).chars().skip(1));
        self.text.push('Z');
        &self.text
    }

    /// `21:14:03`
    pub(super) fn time_of_day(&mut self, ts: Timestamp) -> &str {
        self.turn_to(ts);
        self.prefix.split_once('T').map_or("", |(_, time)| time)
    }

    /// Makes the prefix that of `ts`; the nanoseconds within that second are given back.
    fn turn_to(&mut self, ts: Timestamp) -> i32 {
        let (mut second, mut nanos) = (ts.as_second(), ts.subsec_nanosecond());
        if nanos < 0 {
            second -= 1;
            nanos += 1_000_000_000;
        }
        if second != self.second {
            let whole = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            self.prefix = whole.to_string();
            self.prefix.truncate(self.prefix.trim_end_matches('Z').len());
            self.second = second;
        }
        nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        let mut clock = Clock::new();
        let ts: Timestamp = "2026-11-21T21:14:03.012345678Z".parse().unwrap();
        assert_eq!(clock.show(ts, Precision::Micros), "2026-11-21T21:14:03.012345Z");
        assert_eq!(clock.show(ts, Precision::Azure), "2026-11-21T21:14:03.0123456Z");
        assert_eq!(clock.time_of_day(ts), "21:14:03");
        let earlier = "1969-12-31T23:59:59.25Z".parse().unwrap();
        assert_eq!(clock.show(earlier, Precision::Micros), "1969-12-31T23:59:59.250000Z");
    }
}
