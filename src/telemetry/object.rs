//! A JSON object, written field by field where it is to stand.
//!
//! A gateway writes two lines a flow: through serde they were a third of what a flow took in user space. Numbers and
//! the escaping of what needs it are left to libraries all the same.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

/// An object that was begun; [`Object::end`] makes it whole.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Object<'a> {
        let start = out.len();
        Object { out, start }
    }

    /// For [`field`], which knows what `name` has to look like.
    #[inline(always)]
    pub(super) fn named(&mut self, name: &'static str, value: impl Value) {
        self.out.extend_from_slice(name.as_bytes());
        value.write(self.out);
    }

    /// Of an object with a field at least.
    pub(super) fn end(self) {
        // Every field begins with a comma: so what comes before a value is one piece, known when this is compiled.
        if let Some(comma) = self.out.get_mut(self.start) {
            *comma = b'{';
        }
        self.out.push(b'}');
    }
}

/// `field!(object, "name", value)`. The name stands as it is: it needs no escaping.
macro_rules! field {
    ($object:expr, $name:literal, $value:expr) => {
        $object.named(concat!(",\"", $name, "\":"), $value)
    };
}
pub(super) use field;

/// What a field may hold.
pub(super) trait Value {
    fn write(self, out: &mut Vec<u8>);
}

impl Value for &str {
    fn write(self, out: &mut Vec<u8>) {
        if is_plain(self) {
            quoted(out, |out| out.extend_from_slice(self.as_bytes()));
        } else {
            serde_json::to_writer(out, self).expect("text to a Vec cannot fail");
        }
    }
}

/// Text that stands in JSON as it is, as can be told by where it comes from: nobody looks at it again.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl Value for Plain<'_> {
    fn write(self, out: &mut Vec<u8>) {
        debug_assert!(is_plain(self.0), "{:?} has to be escaped", self.0);
        out.reserve(self.0.len() + 2);
        quoted(out, |out| out.extend_from_slice(self.0.as_bytes()));
    }
}

/// True for text that stands in JSON as it is. Looks at every byte in any case: so it is done for many at once.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'))
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Value for $number {
            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(self).as_bytes());
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, usize);

impl Value for bool {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self { b"true" } else { b"false" });
    }
}

/// Null where it is not known.
impl<T: Value> Value for Option<T> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl<T: ?Sized> Value for &[Arc<T>]
where
    for<'a> &'a T: Value,
{
    fn write(self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, item) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.as_ref().write(out);
        }
        out.push(b']');
    }
}

impl Value for IpAddr {
    fn write(self, out: &mut Vec<u8>) {
        quoted(out, |out| push_ip(out, self));
    }
}

impl Value for SocketAddr {
    fn write(self, out: &mut Vec<u8>) {
        quoted(out, |out| match self {
            SocketAddr::V4(_) => {
                push_ip(out, self.ip());
                out.push(b':');
                self.port().write(out);
            }
            SocketAddr::V6(addr) => write!(out, "{addr}").expect("writing to a Vec cannot fail"),
        });
    }
}

impl Value for IpNet {
    fn write(self, out: &mut Vec<u8>) {
        quoted(out, |out| write!(out, "{self}").expect("writing to a Vec cannot fail"));
    }
}

fn push_ip(out: &mut Vec<u8>, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => {
            let [first, rest @ ..] = addr.octets();
            first.write(out);
            for octet in rest {
                out.push(b'.');
                octet.write(out);
            }
        }
        IpAddr::V6(addr) => write!(out, "{addr}").expect("writing to a Vec cannot fail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Value) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_as_serde_writes_it() {
        let every_byte: String = (0..=0xff_u8).map(char::from).collect();
        let single = every_byte.chars().map(|one| format!("some text of length, and {one}"));
        for text in single.chain([every_byte.clone(), String::new(), "\u{2028}\u{1f600}".into()]) {
            assert_eq!(written(&*text), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn addresses_as_the_library_writes_them() {
        for text in ["192.0.2.7:443", "0.0.0.0:0", "255.255.255.255:65535", "[2001:db8::1]:443", "[fe80::1%3]:1"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(written(addr), format!("\"{addr}\""));
            assert_eq!(written(addr.ip()), format!("\"{}\"", addr.ip()));
        }
    }

    #[test]
    fn an_object() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        field!(object, "known", Some(true));
        field!(object, "unknown", None::<u64>);
        field!(object, "word", Plain("it is"));
        field!(object, "list", &[Arc::<str>::from("a"), "b\"".into()][..]);
        object.end();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"known":true,"unknown":null,"word":"it is","list":["a","b\""]}"#
        );
    }
}
