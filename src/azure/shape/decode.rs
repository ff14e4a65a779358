//! The bytes of a file as text. PowerShell 5 writes UTF-16 where others write UTF-8.

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Saved Terraform plans are Zip archives.
    #[error("a Zip archive, as saved Terraform plans are; `terraform show -json FILE > plan.json` turns one into JSON")]
    Zip,
    #[error("compressed; `gunzip` makes it readable")]
    Gzip,
    #[error("neither UTF-8 nor UTF-16: byte {0} is no part of any letter")]
    Encoding(usize),
}

/// UTF-8 or UTF-16, with or without a byte order mark, which is not part of the text.
///
/// # Errors
/// What is an archive, and the first byte that is no text.
pub fn decode(bytes: &[u8]) -> Result<String, NotText> {
    match bytes {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Err(NotText::Zip),
        [0x1f, 0x8b, ..] => Err(NotText::Gzip),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest, 3),
        [0xff, 0xfe, rest @ ..] => utf16(rest, 2, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, 2, u16::from_be_bytes),
        [1..=255, 0, ..] => utf16(bytes, 0, u16::from_le_bytes),
        [0, 1..=255, ..] => utf16(bytes, 0, u16::from_be_bytes),
        _ => utf8(bytes, 0),
    }
}

fn utf8(bytes: &[u8], before: usize) -> Result<String, NotText> {
    let text = std::str::from_utf8(bytes).map_err(|error| NotText::Encoding(before + error.valid_up_to()))?;
    Ok(text.to_owned())
}

fn utf16(bytes: &[u8], before: usize, unit: fn([u8; 2]) -> u16) -> Result<String, NotText> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotText::Encoding(before + bytes.len() - 1));
    }
    let mut at = before;
    let letters = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    let text = letters.map(|letter| match letter {
        Ok(letter) => {
            at += 2 * letter.len_utf16();
            Ok(letter)
        }
        Err(_) => Err(NotText::Encoding(at)),
    });
    text.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_every_encoding() {
        let text = "{\"ä\": \"𝄞\"}";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let cases = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe", little.as_slice()].concat(),
            [b"\xfe\xff", big.as_slice()].concat(),
            little,
            big,
        ];
        for bytes in cases {
            assert_eq!(decode(&bytes).as_deref(), Ok(text), "{bytes:02x?}");
        }
        assert_eq!(decode(b"").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_no_text() {
        assert_eq!(decode(b"PK\x03\x04rest"), Err(NotText::Zip));
        assert_eq!(decode(b"\x1f\x8b\x08rest"), Err(NotText::Gzip));
        assert_eq!(decode(b"\xef\xbb\xbfab\xff"), Err(NotText::Encoding(5)));
        assert_eq!(decode(b"\xff\xfe{\0\0"), Err(NotText::Encoding(4)));
        assert_eq!(decode(b"\xff\xfe{\0\0\xd8"), Err(NotText::Encoding(4)));
    }
}
