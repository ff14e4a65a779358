//! DNS in bytes: the questions that clients ask, the answers that the origin gives, and the little of a message that the
//! floor reads.

/// A message over UDP, here.
pub const MAX_MESSAGE: usize = 1232;

const HEADER: usize = 12;
const RESPONSE: u8 = 0x80;
const RECURSION_DESIRED: u8 = 0x01;
const RECURSION_AVAILABLE: u8 = 0x80;
const RCODE: u8 = 0x0f;
const REFUSED: u8 = 5;
const NXDOMAIN: u8 = 3;
const A: u16 = 1;
const IN: u16 = 1;

/// An address that stands in documentation alone; nobody connects to it.
pub const ANSWER: [u8; 4] = [198, 51, 100, 7];
/// Longer than a run takes.
const TTL_SECONDS: u32 = 3600;

/// A question for the A records of a name, without EDNS. The identifier is for [`number`].
pub fn question(name: &str) -> Vec<u8> {
    let mut out = vec![0, 0, RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("the names asked for here have short labels"));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(A.to_be_bytes());
    out.extend(IN.to_be_bytes());
    out
}

/// Gives a message its identifier.
pub fn number(message: &mut [u8], id: u16) {
    message[..2].copy_from_slice(&id.to_be_bytes());
}

/// What an answer says, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// So many records, the last of which is [`ANSWER`].
    Address,
    /// REFUSED, or that there is no such name.
    No,
    Other,
}

/// `None` where the message does not belong to this question.
pub fn said(answer: &[u8], id: u16) -> Option<Said> {
    if answer.len() < HEADER || answer[..2] != id.to_be_bytes() || answer[2] & RESPONSE == 0 {
        return None;
    }
    Some(match answer[3] & RCODE {
        0 if answer[6..8] != [0, 0] && answer.windows(4).any(|at| at == ANSWER) => Said::Address,
        REFUSED | NXDOMAIN => Said::No,
        _ => Said::Other,
    })
}

/// The answer of the origin: one A record for whatever is asked, no record for questions of other types. `None` for what
/// is no question.
pub fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let end = question_end(message)?;
    let is_address = message[end - 4..end - 2] == A.to_be_bytes();
    let mut out = message[..end].to_vec();
    out[2] = RESPONSE | (message[2] & RECURSION_DESIRED);
    out[3] = RECURSION_AVAILABLE;
    out[6..HEADER].copy_from_slice(&[0, u8::from(is_address), 0, 0, 0, 0]);
    if is_address {
        // The name is the question's, by a pointer to it.
        out.extend([0xc0, 12]);
        out.extend(A.to_be_bytes());
        out.extend(IN.to_be_bytes());
        out.extend(TTL_SECONDS.to_be_bytes());
        out.extend([0, 4]);
        out.extend(ANSWER);
    }
    Some(out)
}

/// What a cache knows a question by: its name, type and class.
pub fn key(message: &[u8]) -> Option<&[u8]> {
    message.get(HEADER..question_end(message)?)
}

/// Where the one question ends. `None` where there is not exactly one, or what is no question.
fn question_end(message: &[u8]) -> Option<usize> {
    let is_question = message.len() > HEADER && message[2] & RESPONSE == 0 && message[4..6] == [0, 1];
    let mut at = is_question.then_some(HEADER)?;
    while *message.get(at)? != 0 {
        at += 1 + usize::from(message[at]);
    }
    message.get(at..at + 5).map(|_| at + 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered() {
        let mut question = question("h1.ok.test");
        number(&mut question, 0x1234);
        let answer = answer(&question).unwrap();
        assert_eq!(said(&answer, 0x1234), Some(Said::Address));
        assert_eq!(said(&answer, 0x1235), None);
        assert_eq!(said(&question, 0x1234), None);
        assert_eq!(key(&question), Some(&b"\x02h1\x02ok\x04test\0\0\x01\0\x01"[..]));
    }

    #[test]
    fn other_types_have_no_record() {
        let mut question = question("ok.test");
        let at = question.len() - 3;
        question[at] = 28;
        let answer = answer(&question).unwrap();
        assert_eq!(answer.len(), question.len());
        assert_eq!(said(&answer, 0), Some(Said::Other));
    }

    #[test]
    fn refusals() {
        let mut message = answer(&question("denied.test")).unwrap();
        for (rcode, expected) in [(2, Said::Other), (3, Said::No), (5, Said::No)] {
            message[3] = rcode;
            assert_eq!(said(&message, 0), Some(expected));
        }
    }

    #[test]
    fn what_is_cut_short_is_no_question() {
        let whole = question("ok.test");
        (0..whole.len()).for_each(|end| assert_eq!(answer(&whole[..end]), None, "{end}"));
    }
}
