//! Records with checksums, appended. A record that cannot be written whole is cut off again, so a reader never finds half a
//! one but after a crash; then it is the last and its checksum tells.

use super::lock::Lock;
use crate::error::Error;
use crate::json::{self, Json};
use sha1::{Digest, Sha1};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    ReadOnly,
    /// With the lock.
    ReadWrite,
    /// With the lock; the file must not be there.
    Create,
}

/// The longest record that is believed.
const RECORD_MAX: u64 = 1 << 32;

/// A file of records.
#[derive(Debug)]
pub struct Log {
    /// As it was named, for messages.
    name: String,
    /// Without links.
    path: PathBuf,
    file: File,
    reader: BufReader<File>,
    magic: String,
    /// Where the next record is read or written.
    offset: u64,
    /// Records that end at `offset` and are not in the file yet.
    later: Vec<u8>,
    /// Whether something may be behind `offset`.
    tail: bool,
    _lock: Option<Lock>,
}

/// The file that links lead to, also where that is not there yet.
fn resolve(path: &Path) -> PathBuf {
    let mut at = path.to_path_buf();
    for _ in 0..40 {
        match std::fs::read_link(&at) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => break,
        }
    }
    at
}

fn header(magic: &str, data: &[u8]) -> String {
    let mut out = format!("OVSDB {magic} {} ", data.len());
    for byte in Sha1::digest(data) {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    out.push('\n');
    out
}

/// A record as it is in a file.
pub(super) fn record(magic: &str, json: &str) -> String {
    let data = format!("{json}\n");
    header(magic, data.as_bytes()) + &data
}

/// The records in the bytes of a standalone file, up to the first error.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = Result<Json, Error>> {
    std::iter::from_fn(move || {
        let broken = || Some(Err(Error::new("syntax error", "a record is malformed")));
        if bytes.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut bytes);
        let Some(end) = rest.iter().position(|&b| b == b'\n') else { return broken() };
        let (line, data) = rest.split_at(end + 1);
        let line = String::from_utf8_lossy(line);
        let Some(("JSON", length, _)) = parse_header(&line) else { return broken() };
        let Some((data, behind)) = usize::try_from(length).ok().and_then(|n| data.split_at_checked(n)) else {
            return broken();
        };
        if !header("JSON", data).eq_ignore_ascii_case(&line) {
            return broken();
        }
        bytes = behind;
        Some(json::parse(data).map_err(|e| Error::new("syntax error", e.to_string())))
    })
}

/// `OVSDB <magic> <length> <hash>`.
fn parse_header(line: &str) -> Option<(&str, u64, &str)> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let (first, magic, length, hash) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let length = length.parse().ok().filter(|&n| n > 0 && n < RECORD_MAX)?;
    let hex = hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    (first == "OVSDB" && hex && words.next().is_none()).then_some((magic, length, hash))
}

impl Log {
    /// Opens the file at `path`.
    pub fn open(path: &Path, mode: Mode) -> Result<Log, Error> {
        let name = path.display().to_string();
        let target = resolve(path);
        let lock = match mode {
            Mode::ReadOnly => None,
            _ => Some(Lock::take(&target, &name)?),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(mode != Mode::ReadOnly).create_new(mode == Mode::Create);
        let verb = if mode == Mode::Create { "create" } else { "open" };
        let file = options.open(&target).map_err(|e| Error::io(format!("{name}: {verb} failed"), &e))?;
        let reader = file.try_clone().map_err(|e| Error::io(format!("{name}: {verb} failed"), &e))?;
        let mut log = Log {
            name,
            path: target,
            file,
            reader: BufReader::new(reader),
            magic: "JSON".to_owned(),
            offset: 0,
            later: Vec::new(),
            tail: false,
            _lock: lock,
        };
        if mode != Mode::Create {
            log.find_magic()?;
        }
        Ok(log)
    }

    /// Makes a file of records of this kind.
    pub(super) fn create(path: &Path, magic: &str) -> Result<Log, Error> {
        let mut log = Log::open(path, Mode::Create)?;
        log.magic = magic.to_owned();
        Ok(log)
    }

    fn find_magic(&mut self) -> Result<(), Error> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(256).read_until(b'\n', &mut line);
        read.map_err(|e| Error::io(format!("{}: read failed", self.name), &e))?;
        let text = String::from_utf8_lossy(&line);
        let magic = parse_header(&text).map(|(magic, ..)| magic);
        let magic = magic.filter(|magic| matches!(*magic, "JSON" | "CLUSTER"));
        let unknown = || Error::new("ovsdb error", format!("{}: cannot identify file type", self.name));
        self.magic = magic.ok_or_else(unknown)?.to_owned();
        self.seek(0)
    }

    fn seek(&mut self, to: u64) -> Result<(), Error> {
        self.offset = to;
        let sought = self.reader.seek(SeekFrom::Start(to));
        sought.map(|_| ()).map_err(|e| Error::io(format!("{}: seek failed", self.name), &e))
    }

    /// What kind of file it is: `JSON` or `CLUSTER`.
    pub fn magic(&self) -> &str {
        &self.magic
    }

    /// As it was named.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next record is: behind the last, the size of what is good.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Back to where [`Log::offset`] was; what is behind goes with the next record.
    pub fn rewind(&mut self, to: u64) {
        self.offset = to;
        self.tail = true;
    }

    /// The next record; None at the end.
    ///
    /// # Errors
    /// What follows is no whole record. The next one that is appended takes its place.
    pub fn read(&mut self) -> Result<Option<Json>, Error> {
        let start = self.offset;
        let result = self.read_record();
        if result.is_err() {
            self.rewind(start);
        }
        result
    }

    fn read_record(&mut self) -> Result<Option<Json>, Error> {
        let failed = |name: &str, e: &std::io::Error| Error::io(format!("{name}: read failed"), e);
        let mut line = Vec::new();
        (&mut self.reader).take(1024).read_until(b'\n', &mut line).map_err(|e| failed(&self.name, &e))?;
        if line.is_empty() {
            return Ok(None);
        }
        let (name, at) = (&self.name, self.offset);
        let text = String::from_utf8_lossy(&line);
        let Some((magic, length, hash)) = parse_header(&text) else {
            let line = text.trim_end_matches('\n');
            let text = format!("{name}: parse error at offset {at} in header line \"{line}\"");
            return Err(Error::new("syntax error", text));
        };
        if magic != self.magic {
            let text = format!("{name}: magic \"{magic}\" at offset {at} where \"{}\" is expected", self.magic);
            return Err(Error::new("syntax error", text));
        }
        let start = at + line.len() as u64;
        let mut data = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut data).map_err(|e| failed(name, &e))?;
        if (read as u64) < length {
            let text = format!("{name}: error reading {length} bytes starting at offset {start}");
            return Err(Error::io(text, &std::io::ErrorKind::UnexpectedEof.into()));
        }
        let actual = header("", &data);
        let actual = actual.trim_end().rsplit(' ').next().unwrap_or_default();
        if !actual.eq_ignore_ascii_case(hash) {
            let text = format!(
                "{name}: {length} bytes starting at offset {start} have SHA-1 hash {actual} but should have hash {hash}"
            );
            return Err(Error::new("syntax error", text));
        }
        let json = json::parse(&data).ok().filter(|json| json.as_object().is_some());
        let json = json.ok_or_else(|| {
            let why = json::parse(&data).err().map_or("not an object".to_owned(), |e| e.to_string());
            let text = format!("{name}: {length} bytes starting at offset {start} are not valid JSON ({why})");
            Error::new("syntax error", text)
        })?;
        self.offset = start + length;
        Ok(Some(json))
    }

    /// Writes a record behind the last that was read or written.
    ///
    /// # Errors
    /// It is not in the file then.
    pub fn append(&mut self, text: &str) -> Result<(), Error> {
        self.append_later(text);
        self.write()
    }

    /// A record that [`Log::write`] is to write, with others.
    pub fn append_later(&mut self, text: &str) {
        let data = format!("{text}\n");
        let header = header(&self.magic, data.as_bytes());
        self.later.extend_from_slice(header.as_bytes());
        self.later.extend_from_slice(data.as_bytes());
        self.offset += (header.len() + data.len()) as u64;
    }

    /// Writes what was appended since the last time.
    ///
    /// # Errors
    /// Nothing of it is in the file then.
    pub fn write(&mut self) -> Result<(), Error> {
        if self.later.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.later);
        self.offset -= records.len() as u64;
        if self.tail {
            self.file.set_len(self.offset).map_err(|e| Error::io(format!("{}: truncate failed", self.name), &e))?;
            self.tail = false;
        }
        if let Err(e) = self.file.write_all_at(&records, self.offset) {
            // a part may be there; when it cannot be cut off now, it is before the next record
            self.tail = self.file.set_len(self.offset).is_err();
            return Err(Error::io(format!("{}: write failed", self.name), &e));
        }
        self.offset += records.len() as u64;
        Ok(())
    }

    /// Takes the last records back, to where the file ended then.
    pub fn truncate(&mut self, to: u64) {
        self.later.clear();
        self.offset = to;
        self.tail = self.file.set_len(to).is_err();
    }

    /// Waits until all records are on the disk.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.write()?;
        self.file.sync_data().map_err(|e| Error::io(format!("{}: sync failed", self.name), &e))
    }

    /// Puts these records in place of all, at once: after a crash the file is the old or the new one.
    pub fn replace(&mut self, records: impl Iterator<Item = String>) -> Result<(), Error> {
        let name = self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = self.path.with_file_name(format!("{name}.tmp"));
        let result = self.write_replacement(&temporary, records);
        match result {
            Ok((file, size)) => {
                let reader = file.try_clone().map_err(|e| Error::io(format!("{}: open failed", self.name), &e))?;
                (self.file, self.reader) = (file, BufReader::new(reader));
                (self.offset, self.tail) = (size, false);
                self.later.clear();
                Ok(())
            }
            Err((what, e)) => {
                let _ = std::fs::remove_file(&temporary);
                Err(Error::io(format!("{}: {what} failed", temporary.display()), &e))
            }
        }
    }

    fn write_replacement(
        &self,
        temporary: &Path,
        records: impl Iterator<Item = String>,
    ) -> Result<(File, u64), (&'static str, std::io::Error)> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(true).open(temporary).map_err(|e| ("create", e))?;
        if let Ok(metadata) = self.file.metadata() {
            file.set_permissions(metadata.permissions()).map_err(|e| ("chmod", e))?;
        }
        let mut size = 0;
        for text in records {
            let record = record(&self.magic, &text);
            file.write_all(record.as_bytes()).map_err(|e| ("write", e))?;
            size += record.len() as u64;
        }
        file.sync_all().map_err(|e| ("sync", e))?;
        std::fs::rename(temporary, &self.path).map_err(|e| ("rename", e))?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| ("sync", e))?;
        Ok((file, size))
    }
}
