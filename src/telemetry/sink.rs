//! Where the log goes: one sink a target, each with its own format and its own troubles.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::azure::{AzureWriter, Shape, write_json};
use super::clock::{Clock, Precision};
use super::derived::Derived;
use super::onlooker::Onlooker;
use super::record::{
    CloseRecord, Counts, DnsRecord, EnvironmentRecord, FlowRecord, FqdnFailureRecord, ReloadRecord, RunId, StartRecord,
};
use super::text::Colours;
use super::{json, text};
use crate::azure::category::Categories;
use crate::azure::network_flow_logs::{Sighting, nsg_flow_records, vnet_flow_records};

/// A place for the log, and how it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSpec {
    pub target: Target,
    pub format: Format,
    pub duty: Duty,
}

/// What is owed to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Every record: whoever records waits for it, losses are counted, [`OnError`] holds.
    Kept,
    /// What it takes at once: the rest is dropped and is no loss, and nobody waits or is refused.
    BestEffort,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Stdout,
    Stderr,
    /// Appended to, and opened again when it was renamed, removed or on demand.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON lines, `docs/log.md`.
    Json,
    /// Lines for people; coloured where the target is a terminal that wants colours.
    Text,
    /// Azure's structured records, a table each: the categories `AZFW…`.
    Azure,
    /// The legacy `AzureFirewall…Rule` and `AzureFirewallDnsProxy` categories.
    AzureLegacy,
    /// What security groups saw, as VNet flow log, version 4.
    VnetFlow,
    /// The same as NSG flow log, version 2.
    NsgFlow,
}

/// What a proxy does while a sink cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Keeps serving; what the backlog cannot hold is counted as lost.
    #[default]
    Serve,
    /// Denies new flows until every sink is written again.
    Refuse,
}

/// One record of the log.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    Start(&'a StartRecord),
    Flow(&'a FlowRecord),
    Close(&'a CloseRecord),
    Dns(&'a DnsRecord),
    Environment(&'a EnvironmentRecord),
    FqdnFailure(&'a FqdnFailureRecord),
    Reload(&'a ReloadRecord),
    End(Timestamp, Counts),
}

impl Entry<'_> {
    pub(super) fn ts(&self) -> Timestamp {
        match self {
            Entry::Start(record) => record.ts,
            Entry::Flow(record) => record.ts,
            Entry::Close(record) => record.ts,
            Entry::Dns(record) => record.ts,
            Entry::Environment(record) => record.ts,
            Entry::FqdnFailure(record) => record.ts,
            Entry::Reload(record) => record.ts,
            Entry::End(ts, _) => *ts,
        }
    }
}

/// What every sink writes of the process.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) run: RunId,
    pub(super) resource_id: Arc<str>,
    /// Of Azure's formats.
    pub(super) categories: Categories,
}

/// Bytes kept for a sink that cannot be written; a record beyond them is lost and counted.
const MAX_BACKLOG: usize = 1 << 20;

pub(super) struct Sink {
    out: Output,
    render: Renderer,
    backlog: Backlog,
    health: Health,
    /// Records that were never written and never will be.
    lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// With the losses when it began.
    Failing {
        lost_before: u64,
    },
}

impl Sink {
    pub(super) fn open(spec: &SinkSpec, identity: &Identity) -> io::Result<Sink> {
        let mut backlog = Backlog::default();
        let out = Output::open(&spec.target, spec.duty, Opening::First, &mut backlog)?;
        let render = Renderer::new(spec, identity);
        Ok(Sink { out, render, backlog, health: Health::Well, lost: 0 })
    }

    /// Renders a record; [`Sink::flush`] writes it.
    pub(super) fn push(&mut self, seq: u64, entry: &Entry<'_>) {
        if self.has_room() {
            self.render.push(&mut self.backlog.bytes, seq, entry);
        } else {
            self.lost += 1;
        }
    }

    /// The same of what only Azure's tables have.
    pub(super) fn push_derived(&mut self, derived: &Derived<'_>) {
        let has_room = self.has_room();
        let Renderer { manner: Manner::Azure(azure), clock } = &mut self.render else { return };
        if has_room {
            azure.write_derived(&mut self.backlog.bytes, clock, derived);
        } else {
            self.lost += 1;
        }
    }

    /// The same of what only the flow logs of networks have.
    pub(super) fn push_sightings(&mut self, now: Timestamp, sightings: &[Sighting]) {
        if !matches!(self.render.manner, Manner::VnetFlow | Manner::NsgFlow) {
            return;
        }
        if self.has_room() {
            self.render.push_sightings(&mut self.backlog.bytes, now, sightings);
        } else {
            self.lost += sightings.len() as u64;
        }
    }

    fn has_room(&self) -> bool {
        !self.is_failing() || self.backlog.bytes.len() < MAX_BACKLOG
    }

    /// Writes what is rendered, in one write(2) as a rule. What cannot be written stays for the next time.
    pub(super) fn flush(&mut self) {
        if self.out.is_gone {
            return self.failed(&io::Error::new(io::ErrorKind::NotFound, "its file was removed"));
        }
        if self.backlog.is_empty() {
            return;
        }
        if self.is_failing() && self.out.was_emptied() {
            self.backlog.rewind_to_line();
        }
        match self.backlog.write_to(&mut self.out.way) {
            Ok(()) => self.recovered(),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if self.health == Health::Well {
            self.health = Health::Failing { lost_before: self.lost };
            let name = self.out.name();
            tracing::error!("cannot write the flow log {name}: {error}; trying on, lost records are counted");
        }
    }

    fn recovered(&mut self) {
        if let Health::Failing { lost_before } = self.health {
            self.health = Health::Well;
            let (name, lost) = (self.out.name(), self.lost - lost_before);
            tracing::warn!("the flow log {name} is written again; records lost meanwhile: {lost}");
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.health != Health::Well
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Gives up on what is still unwritten.
    pub(super) fn abandon(&mut self) {
        self.lost += self.backlog.records();
        self.backlog.clear();
    }

    /// Opens the file again, if it is one.
    pub(super) fn reopen(&mut self) {
        let was_gone = self.out.is_gone;
        self.out.reopen(&mut self.backlog);
        if was_gone && !self.out.is_gone && self.backlog.is_empty() {
            self.recovered();
        }
    }

    /// Opens the file again if its path leads elsewhere by now: rotated, removed.
    pub(super) fn follow_rename(&mut self) {
        if self.out.has_moved() {
            self.reopen();
        }
    }

    /// Nothing more comes.
    pub(super) fn end(self) {
        match self.out.way {
            Way::Direct(_) => {}
            Way::Aside(onlooker) => onlooker.end(),
        }
    }
}

/// Rendered records that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    /// How many of `bytes` are written; it may stand within a line.
    done: usize,
    /// The file ends within a line that will not be completed.
    after_torn_line: bool,
}

impl Backlog {
    pub(super) fn of(bytes: Vec<u8>) -> Backlog {
        Backlog { bytes, ..Backlog::default() }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.done = 0;
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    fn records(&self) -> u64 {
        self.rest().iter().filter(|b| **b == b'\n').count() as u64
    }

    /// On an error, continues where it stopped when called again.
    pub(super) fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.after_torn_line {
            out.write_all(b"\n")?;
            self.after_torn_line = false;
        }
        while !self.rest().is_empty() {
            match out.write(self.rest()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Someone who shares the terminal or pipe made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::park_timeout(RETRY_AFTER),
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(())
    }

    /// Another file comes next: the line that was begun is written whole again.
    fn rewind_to_line(&mut self) {
        let line = self.bytes.iter().take(self.done).rposition(|b| *b == b'\n');
        self.done = line.map_or(0, |at| at + 1);
    }
}

const RETRY_AFTER: Duration = Duration::from_millis(5);

struct Output {
    target: Target,
    duty: Duty,
    way: Way,
    file_id: Option<FileId>,
    /// That the file could not be opened again has been said.
    said_lost_path: bool,
    /// No path leads to the file any more: what is written to it is gone with it.
    is_gone: bool,
}

enum Way {
    Direct(File),
    Aside(Onlooker),
}

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Way::Direct(file) => file.write(bytes),
            Way::Aside(onlooker) => onlooker.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn open(target: &Target, duty: Duty, how: Opening, backlog: &mut Backlog) -> io::Result<Output> {
        let file = match target {
            Target::Stdout => duplicate(&io::stdout())?,
            Target::Stderr => duplicate(&io::stderr())?,
            Target::File(path) => open_file(path, how, backlog).map_err(|error| naming(path, &error))?,
        };
        let file_id = file.metadata().ok().as_ref().and_then(file_id);
        let way = match duty {
            Duty::Kept => Way::Direct(file),
            Duty::BestEffort => Way::Aside(Onlooker::start(file)?),
        };
        Ok(Output { target: target.clone(), duty, way, file_id, said_lost_path: false, is_gone: false })
    }

    fn name(&self) -> String {
        match &self.target {
            Target::Stdout => "on standard output".to_owned(),
            Target::Stderr => "on standard error".to_owned(),
            Target::File(path) => format!("`{}`", path.display()),
        }
    }

    fn has_moved(&self) -> bool {
        match &self.target {
            Target::File(path) => match std::fs::metadata(path) {
                Ok(metadata) => file_id(&metadata) != self.file_id,
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            },
            Target::Stdout | Target::Stderr => false,
        }
    }

    /// Where that fails, the old file is kept, as long as anybody can find it.
    fn reopen(&mut self, backlog: &mut Backlog) {
        let Target::File(path) = &self.target else { return };
        match Output::open(&self.target, self.duty, Opening::Again, backlog) {
            Ok(opened) => {
                backlog.rewind_to_line();
                *self = opened;
            }
            Err(error) => {
                self.is_gone = self.file().is_some_and(is_removed);
                if !self.said_lost_path {
                    self.said_lost_path = true;
                    let kept = if self.is_gone { "records are kept for it" } else { "still writing to what was" };
                    tracing::error!("{error}; {kept} `{}`", path.display());
                }
            }
        }
    }

    fn file(&self) -> Option<&File> {
        match &self.way {
            Way::Direct(file) => Some(file),
            Way::Aside(_) => None,
        }
    }

    /// Whoever wanted room took all that was in the file.
    fn was_emptied(&self) -> bool {
        let metadata = self.file().and_then(|file| file.metadata().ok());
        metadata.is_some_and(|metadata| metadata.is_file() && metadata.len() == 0)
    }
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot open the flow log `{}`: {error}", path.display()))
}

/// Whether a pipe's reader is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// It is: nothing is served yet.
    First,
    /// It is not: flows would wait too. Without one there is an error.
    Again,
}

/// Opens a log to append to it, and notes if another process left it within a line.
fn open_file(path: &Path, how: Opening, backlog: &mut Backlog) -> io::Result<File> {
    let file = match how {
        Opening::First => OpenOptions::new().append(true).create(true).open(path)?,
        Opening::Again => open_at_once(path)?,
    };
    let metadata = file.metadata()?;
    backlog.after_torn_line = metadata.is_file() && metadata.len() > 0 && !ends_with_line_feed(path);
    Ok(file)
}

#[cfg(unix)]
fn open_at_once(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let file = open(path, flags | OFlags::NONBLOCK, Mode::from_raw_mode(0o666))?;
    // From here on it is written as the first one was.
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file.into())
}

#[cfg(not(unix))]
fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Its last name was removed, and it goes with whoever holds it.
#[cfg(unix)]
fn is_removed(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 0)
}

#[cfg(not(unix))]
fn is_removed(_: &File) -> bool {
    false
}

/// A file that may be written and not read counts as whole.
fn ends_with_line_feed(path: &Path) -> bool {
    let last_byte = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        let [last] = last;
        Ok(last)
    };
    last_byte().map_or(true, |last| last == b'\n')
}

/// A handle of our own on a standard stream: without the library's line buffer, one batch is one write.
#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}

/// Device and inode.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(metadata: &std::fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

/// Elsewhere an open file cannot be renamed away.
#[cfg(not(unix))]
fn file_id(_: &std::fs::Metadata) -> Option<FileId> {
    None
}

struct Renderer {
    manner: Manner,
    clock: Clock,
}

/// A format with what it takes.
enum Manner {
    Json(RunId),
    Text(RunId, Colours),
    Azure(AzureWriter),
    VnetFlow,
    NsgFlow,
}

impl Renderer {
    fn new(spec: &SinkSpec, identity: &Identity) -> Renderer {
        let Identity { run, resource_id, categories } = identity.clone();
        let azure = |shape| Manner::Azure(AzureWriter { shape, resource_id, categories });
        let manner = match spec.format {
            Format::Json => Manner::Json(run),
            Format::Text => Manner::Text(run, colours(&spec.target)),
            Format::Azure => azure(Shape::Structured),
            Format::AzureLegacy => azure(Shape::Legacy),
            Format::VnetFlow => Manner::VnetFlow,
            Format::NsgFlow => Manner::NsgFlow,
        };
        Renderer { manner, clock: Clock::new() }
    }

    fn push(&mut self, out: &mut Vec<u8>, seq: u64, entry: &Entry<'_>) {
        match &self.manner {
            Manner::Json(run) => json::write_line(out, &mut self.clock, run, seq, entry),
            Manner::Text(run, colours) => text::write_line(out, &mut self.clock, *colours, run, entry),
            Manner::Azure(azure) => azure.write(out, &mut self.clock, entry),
            // Gathered, and written later.
            Manner::VnetFlow | Manner::NsgFlow => {}
        }
    }

    fn push_sightings(&mut self, out: &mut Vec<u8>, now: Timestamp, sightings: &[Sighting]) {
        let time = self.clock.show(now, Precision::Azure);
        match self.manner {
            Manner::VnetFlow => vnet_flow_records(sightings, time).iter().for_each(|record| write_json(out, record)),
            Manner::NsgFlow => nsg_flow_records(sightings, time).iter().for_each(|record| write_json(out, record)),
            Manner::Json(..) | Manner::Text(..) | Manner::Azure(_) => {}
        }
    }
}

fn colours(target: &Target) -> Colours {
    let choice = match target {
        Target::Stdout => anstream::AutoStream::choice(&io::stdout()),
        Target::Stderr => anstream::AutoStream::choice(&io::stderr()),
        Target::File(_) => anstream::ColorChoice::Never,
    };
    match choice {
        anstream::ColorChoice::Never => Colours::Plain,
        _ => Colours::Ansi,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::record::tests::{allowed, closed, denied};
    use super::super::record::{Escaped, Seen};
    use super::*;
    use crate::flow::Via;
    use std::fs;

    pub(crate) fn file(path: &Path, format: Format) -> SinkSpec {
        SinkSpec { target: Target::File(path.to_owned()), format, duty: Duty::Kept }
    }

    fn open(path: &Path, format: Format) -> Sink {
        let resource_id = crate::azure::logs::DEFAULT_RESOURCE_ID.into();
        let identity = Identity { run: RunId::from_bits(1), resource_id, categories: Categories::default() };
        Sink::open(&file(path, format), &identity).unwrap()
    }

    fn push(sink: &mut Sink, seq: u64) {
        sink.push(seq, &Entry::Flow(&denied()));
    }

    pub(crate) fn sequence(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap();
        let seq = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["seq"].as_u64();
        text.lines().filter_map(seq).collect()
    }

    #[test]
    fn what_has_no_destination_is_not_in_azures_tables() {
        let dir = tempfile::tempdir().unwrap();
        for (name, format) in [("azure", Format::Azure), ("legacy", Format::AzureLegacy)] {
            let path = dir.path().join(name);
            let mut sink = open(&path, format);
            let malformed = FlowRecord { host: None, port: 0, dst: None, ..denied() };
            let unreadable = FlowRecord { host: Some(Seen::Raw(Escaped::name(b"a b"))), port: 0, ..denied() };
            let asked = FlowRecord { via: Via::Dns, port: 0, ..denied() };
            for record in [malformed, unreadable, asked, denied()] {
                sink.push(0, &Entry::Flow(&record));
            }
            sink.flush();
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1, "{name}");
        }
    }

    #[test]
    fn a_renamed_or_removed_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("log"), dir.path().join("log.1"));
        let mut sink = open(&path, Format::Json);
        let write = |sink: &mut Sink, seq| {
            push(sink, seq);
            sink.follow_rename();
            sink.flush();
        };
        write(&mut sink, 0);
        fs::rename(&path, &rotated).unwrap();
        write(&mut sink, 1);
        write(&mut sink, 2);
        assert_eq!((sequence(&rotated), sequence(&path)), (vec![0], vec![1, 2]));
        fs::remove_file(&path).unwrap();
        write(&mut sink, 3);
        assert_eq!(sequence(&path), [3]);
    }

    #[test]
    fn a_path_that_cannot_be_opened_again_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, moved) = (dir.path().join("logs"), dir.path().join("moved"));
        fs::create_dir(&logs).unwrap();
        let mut sink = open(&logs.join("log"), Format::Json);
        fs::rename(&logs, &moved).unwrap();
        sink.follow_rename();
        push(&mut sink, 0);
        sink.flush();
        assert_eq!(sequence(&moved.join("log")), [0]);
        assert!(!sink.is_failing());
    }

    /// Runs `body` and gives back what it said through tracing.
    fn said(body: impl FnOnce()) -> String {
        use std::sync::Mutex;
        #[derive(Clone, Default)]
        struct Said(Arc<Mutex<Vec<u8>>>);
        impl Write for Said {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let said = Said::default();
        let writer = said.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, body);
        String::from_utf8(said.0.lock().unwrap().clone()).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_said_once_counted_and_recovered_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let records = 2 * MAX_BACKLOG as u64 / 250;
        let mut lost = 0;
        let said = said(|| {
            let mut sink = open(&path, Format::Json);
            for seq in 0..records {
                push(&mut sink, seq);
                sink.flush();
                assert!(sink.is_failing());
            }
            assert!(sink.backlog.bytes.len() < MAX_BACKLOG + 1_000);
            fs::remove_file(&path).unwrap();
            sink.follow_rename();
            sink.flush();
            assert!(!sink.is_failing());
            lost = sink.lost();
        });
        assert!(lost > 0);
        assert_eq!(sequence(&path), (0..records - lost).collect::<Vec<u64>>(), "what was kept is written in order");
        assert_eq!(said.matches("No space left on device").count(), 1, "{said}");
        assert_eq!(said.matches(&format!("written again; records lost meanwhile: {lost}")).count(), 1, "{said}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_abandoned_is_lost() {
        let mut sink = open(Path::new("/dev/full"), Format::Json);
        push(&mut sink, 0);
        push(&mut sink, 1);
        sink.flush();
        sink.abandon();
        assert_eq!(sink.lost(), 2);
    }

    /// Takes so many bytes, then is full.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.1 - self.0.len());
            self.0.extend_from_slice(&bytes[..n]);
            if n == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(n) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_is_completed_in_its_file_and_repeated_in_another() {
        let torn = || {
            let mut backlog = Backlog::of(b"one\ntwo\n".to_vec());
            let mut out = Full(Vec::new(), 5);
            assert_eq!(backlog.write_to(&mut out).unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(out.0, b"one\nt");
            (backlog, out)
        };
        let (mut backlog, mut out) = torn();
        out.1 = 100;
        backlog.write_to(&mut out).unwrap();
        assert_eq!(out.0, b"one\ntwo\n");

        let (mut backlog, _) = torn();
        backlog.rewind_to_line();
        let mut other = Full(Vec::new(), 100);
        backlog.write_to(&mut other).unwrap();
        assert_eq!(other.0, b"two\n");
    }

    /// Two records, of which the second is written in part: the disk was full.
    fn tear(sink: &mut Sink) {
        (0..2).for_each(|seq| push(sink, seq));
        let written = sink.backlog.bytes.len() - 10;
        sink.out.way.write_all(&sink.backlog.bytes[..written]).unwrap();
        sink.backlog.done = written;
    }

    #[test]
    fn a_torn_line_is_completed_where_the_file_cannot_be_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, moved) = (dir.path().join("logs"), dir.path().join("moved"));
        fs::create_dir(&logs).unwrap();
        let mut sink = open(&logs.join("log"), Format::Json);
        tear(&mut sink);
        fs::rename(&logs, &moved).unwrap();
        sink.follow_rename();
        sink.flush();
        let kept = moved.join("log");
        assert_eq!((sequence(&kept), fs::read_to_string(&kept).unwrap().lines().count()), (vec![0, 1], 2));
    }

    #[test]
    fn a_line_torn_by_rotation_is_whole_in_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sink = open(&path, Format::Json);
        tear(&mut sink);
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        sink.follow_rename();
        sink.flush();
        assert_eq!(sequence(&path), [1]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_file_left_within_a_line_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "{\"v\":1,\"kin").unwrap();
        let mut sink = open(&path, Format::Json);
        push(&mut sink, 5);
        sink.flush();
        assert_eq!(sequence(&path), [5]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn azure_formats_hold_decisions_only() {
        let dir = tempfile::tempdir().unwrap();
        let check = |format, category: &str| {
            let path = dir.path().join(category);
            let mut sink = open(&path, format);
            sink.push(0, &Entry::Flow(&allowed()));
            sink.push(1, &Entry::Close(&closed()));
            sink.push(2, &Entry::End(closed().ts, Counts::default()));
            sink.flush();
            let text = fs::read_to_string(&path).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).expect("one line");
            assert_eq!(value["category"], category);
            assert_eq!(value["time"], "2026-11-21T21:14:03.5000000Z");
        };
        check(Format::Azure, "AZFWApplicationRule");
        check(Format::AzureLegacy, "AzureFirewallApplicationRule");
    }
}
