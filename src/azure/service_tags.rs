//! Microsoft's file of service tags, `ServiceTags_Public_20260907.json`, and the answer of `az network list-service-tags`,
//! which has its shape.

use serde::Deserialize;

use crate::policy::{AddressError, AddressRange, NamedKind, NamedRanges};

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    values: Vec<Tag<'a>>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    properties: Properties<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    address_prefixes: Vec<std::borrow::Cow<'a, str>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceTagsError {
    /// `line` and `column` from 1; the column is in bytes.
    #[error("it is no file of service tags: {what}")]
    Shape { what: String, line: usize, column: usize },
    #[error("the service tag `{tag}`: {error}")]
    Prefix { tag: String, error: AddressError },
    #[error("it holds no service tag")]
    Empty,
}

/// Every tag with its prefixes of both families, each prefix once.
pub fn read(text: &str) -> Result<Vec<NamedRanges>, ServiceTagsError> {
    let text = text.trim_start_matches('\u{feff}');
    let File { values } = serde_json::from_str(text).map_err(|error| shape(&error))?;
    if values.is_empty() {
        return Err(ServiceTagsError::Empty);
    }
    values.into_iter().map(read_tag).collect()
}

fn read_tag(tag: Tag<'_>) -> Result<NamedRanges, ServiceTagsError> {
    let Tag { name, properties } = tag;
    let mut prefixes = properties.address_prefixes;
    prefixes.sort_unstable();
    prefixes.dedup();
    let ranges: Result<Vec<AddressRange>, AddressError> = prefixes.iter().map(|prefix| prefix.parse()).collect();
    match ranges {
        Ok(ranges) => Ok(NamedRanges { name: name.into_owned(), kind: NamedKind::ServiceTag, ranges: ranges.into() }),
        Err(error) => Err(ServiceTagsError::Prefix { tag: name.into_owned(), error }),
    }
}

/// The place is told by whoever shows the line.
fn shape(error: &serde_json::Error) -> ServiceTagsError {
    let (line, column) = (error.line(), error.column());
    let whole = error.to_string();
    let what = whole.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&whole).to_owned();
    ServiceTagsError::Shape { what, line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tags: &str) -> String {
        format!(r#"{{"changeNumber": 329, "cloud": "Public", "values": [{tags}]}}"#)
    }

    fn tag(name: &str, prefixes: &str) -> String {
        format!(
            r#"{{"name": "{name}", "id": "{name}", "properties": {{"changeNumber": 46, "region": "", "regionId": 0,
            "platform": "Azure", "systemService": "", "addressPrefixes": [{prefixes}], "networkFeatures": ["FW"]}}}}"#
        )
    }

    #[test]
    fn tags_of_both_families_without_duplicates() {
        let prefixes = r#""4.145.74.52/30", "2603:1050:403::10c/126", "4.145.74.52/30""#;
        let text =
            format!("\u{feff}{}", file(&[tag("ActionGroup", prefixes), tag("Storage.WestEurope", "")].join(",")));
        let tags = read(&text).unwrap();
        let shown: Vec<String> = tags[0].ranges.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["2603:1050:403::10c/126", "4.145.74.52/30"]);
        assert_eq!((tags.len(), tags[1].name.as_str(), tags[1].ranges.len()), (2, "Storage.WestEurope", 0));
    }

    #[test]
    fn what_is_no_such_file() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(error("{}"), "it is no file of service tags: missing field `values`");
        assert!(error("[1, 2").starts_with("it is no file of service tags: "), "{}", error("[1, 2"));
        assert!(error(&file(&tag("X", "7"))).contains("invalid type: integer `7`"));
        assert_eq!(error(&file("")), "it holds no service tag");
        assert!(
            error(&file(&tag("X", "\"10.0.0.0/99\""))).starts_with("the service tag `X`: `10.0.0.0/99` has a prefix")
        );
        assert!(matches!(read("{\n\"values\": 1}").unwrap_err(), ServiceTagsError::Shape { line: 2, .. }));
    }
}
