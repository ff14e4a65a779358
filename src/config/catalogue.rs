//! The files that say what tags and web categories stand for. Pure: their text is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::allowlist::{Catalogue, Member};
use crate::azure::service_tags::{self, ServiceTagsError};

use super::error::{Findings, Place, Placed, Problem, Source};
use super::load::Overrides;
use super::reader::{self, Section};
use super::settings::many;
use super::values;

/// What flags and the main file name. Rules are read with what is in there.
#[derive(Debug, Default)]
pub(super) struct CatalogueSettings {
    pub service_tags: Option<Placed<PathBuf>>,
    pub tags: Vec<TagFile>,
}

/// `NAME=FILE`
#[derive(Debug)]
pub(super) struct TagFile {
    pub name: String,
    pub file: Placed<PathBuf>,
}

impl CatalogueSettings {
    pub(super) fn of_flags(flags: &Overrides, findings: &mut Findings) -> CatalogueSettings {
        let service_tags = flags.service_tags.clone();
        let tags = many("--tag", &flags.tags).into_iter();
        CatalogueSettings {
            service_tags: service_tags.map(|value| Placed { value, place: Place::Flag("--service-tags") }),
            tags: tags.filter_map(|text| tag_file(text, Path::new(""), findings)).collect(),
        }
    }

    /// Of the main file, before its rules are read. Where it is no TOML, that is told by who reads the rest.
    pub(super) fn of_file(source: &Arc<Source>, findings: &mut Findings) -> CatalogueSettings {
        let mut unheard = Findings::default();
        let place = |span| Place::File { source: Arc::clone(source), span, key: String::new() };
        let Some(table) = reader::parse(source, place, &mut unheard) else {
            return CatalogueSettings::default();
        };
        let root = Section::root(source, &table, &mut unheard);
        let tags = root.items("tag").into_iter();
        CatalogueSettings {
            service_tags: root.text("service_tags").map(|text| text.map(|file| values::join(root.folder(), &file))),
            tags: tags.filter_map(|text| tag_file(text, root.folder(), findings)).collect(),
        }
    }

    /// What flags say counts first.
    pub(super) fn over(self, file: CatalogueSettings) -> CatalogueSettings {
        CatalogueSettings {
            service_tags: self.service_tags.or(file.service_tags),
            tags: self.tags.into_iter().chain(file.tags).collect(),
        }
    }
}

fn tag_file(text: Placed<String>, folder: &Path, findings: &mut Findings) -> Option<TagFile> {
    let parts = text.read(findings, |text| match text.split_once('=') {
        Some((name, file)) if !name.trim().is_empty() && !file.trim().is_empty() => {
            Ok((name.trim().to_owned(), values::join(folder, file.trim())))
        }
        _ => Err(Problem::new(format!("`{text}` is not NAME=FILE")).mend("write AzureBackup=backup.txt")),
    });
    let (name, value) = parts?;
    Some(TagFile { name, file: Placed { value, place: text.place } })
}

/// Reads a file of service tags.
pub(super) fn read_service_tags(path: &Path, text: String, catalogue: &mut Catalogue, findings: &mut Findings) {
    match service_tags::read(&text) {
        Ok(tags) => catalogue.replace_service_tags(tags),
        Err(error) => {
            let span = match &error {
                ServiceTagsError::Shape { line, column, .. } => offset(&text, *line, *column),
                ServiceTagsError::Prefix { error, .. } => mentioned(&text, &error.to_string()),
                ServiceTagsError::Empty => 0,
            };
            let source = Source::new(u32::MAX, path.display().to_string(), text);
            let problem = Problem::new(error.to_string());
            let mend = "take ServiceTags_Public_….json, from https://www.microsoft.com/download/details.aspx?id=56519";
            findings.error(&Place::File { source, span: span..span, key: String::new() }, problem.mend(mend));
        }
    }
}

/// Line and column from 1, the column in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let begin: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    begin + column.saturating_sub(1)
}

/// Where the text stands that an error repeats in its first quotes.
fn mentioned(text: &str, error: &str) -> usize {
    error.split('`').nth(1).and_then(|written| text.find(&format!("\"{written}\""))).unwrap_or(0)
}

/// Reads the members of a tag, one a line.
pub(super) fn read_tag(name: &str, path: &Path, text: String, catalogue: &mut Catalogue, findings: &mut Findings) {
    let source = Source::new(u32::MAX, path.display().to_string(), text);
    let category = catalogue.is_azures_web_category(name);
    let mut members = Vec::new();
    let mut begin = 0;
    for line in source.text().split_inclusive('\n') {
        let entry = line.split('#').next().unwrap_or(line).trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let start = begin + line.find(entry).unwrap_or(0);
        begin += line.len();
        if entry.is_empty() {
            continue;
        }
        let place = Place::File { source: Arc::clone(&source), span: start..start + entry.len(), key: String::new() };
        match entry.parse::<Member>() {
            Ok(Member { protocol: Some(_), .. }) if category => {
                let problem = Problem::new(format!("`{entry}`: `{name}` is a web category, whose names have no ports"));
                findings.error(&place, problem.mend("write the name alone"));
            }
            Ok(member) => members.push(member),
            Err(error) => findings.error(&place, Problem::new(error.to_string())),
        }
    }
    if members.is_empty() {
        let place = Place::File { source, span: 0..0, key: String::new() };
        findings.warn(&place, Problem::new(format!("`{name}` has no member in it: it matches nothing")));
    }
    catalogue.give(name, members);
}
