//! The file of a recording: a heading, then an entry for each answer. An entry is a line `KIND SUBJECT ERROR LENGTH`, as many
//! bytes, and a line feed. ERROR is 0, the system's number of an error, or -1 for one whose words are the bytes.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line of an entry, and most bytes in it: what a program reads at once is far below.
const LINE: u64 = 100;
const MOST: usize = 1 << 20;

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: String,
    pub(super) subject: u64,
    error: i32,
    bytes: Vec<u8>,
}

impl Entry {
    pub(super) fn new(kind: &str, subject: u64, answer: &io::Result<Vec<u8>>) -> Entry {
        let (error, bytes) = match answer {
            Ok(bytes) => (0, bytes.clone()),
            Err(e) => match e.raw_os_error().filter(|&number| number > 0) {
                Some(number) => (number, Vec::new()),
                None => (-1, e.to_string().into_bytes()),
            },
        };
        Entry { kind: kind.to_owned(), subject, error, bytes }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let line = format!("{} {} {} {}\n", self.kind, self.subject, self.error, self.bytes.len());
        [line.as_bytes(), &self.bytes, b"\n"].concat()
    }

    pub(super) fn answer(self) -> io::Result<Vec<u8>> {
        match self.error {
            0 => Ok(self.bytes),
            -1 => Err(io::Error::other(String::from_utf8_lossy(&self.bytes).into_owned())),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

/// The first line.
pub(super) fn heading(program: &str) -> String {
    format!("IRONBRIDGE RECORDING 1 {program}\n")
}

/// A file that is read.
pub(super) struct Reading {
    file: BufReader<Box<dyn Read + Send>>,
    name: String,
    /// Entries so far.
    count: u64,
}

impl Reading {
    /// # Errors
    /// It is not a recording of this program.
    pub(super) fn new(file: Box<dyn Read + Send>, name: String, program: &str) -> Result<Reading, String> {
        let mut reading = Reading { file: BufReader::new(file), name, count: 0 };
        let line = reading.line()?;
        if line.as_deref() == Some(heading(program).trim_end()) {
            return Ok(reading);
        }
        Err(format!("{}: not a recording of {program}", reading.name))
    }

    /// File and entry, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}: entry {}", self.name, self.count)
    }

    /// A line that is whole; none at the end of the file, also where it breaks off.
    fn line(&mut self) -> Result<Option<String>, String> {
        let mut line = Vec::new();
        let read = (&mut self.file).take(LINE).read_until(b'\n', &mut line);
        read.map_err(|e| format!("{}: {}", self.place(), ovsdb::error::strerror(&e)))?;
        if line.pop() != Some(b'\n') {
            return match line.len() as u64 + 1 {
                LINE.. => Err(format!("{}: not an entry", self.place())),
                _ => Ok(None),
            };
        }
        String::from_utf8(line).map(Some).map_err(|_| format!("{}: not an entry", self.place()))
    }

    /// The next entry; none at the end. A last one that is not whole was being written when the program was killed.
    ///
    /// # Errors
    /// It is no entry, in words that say where.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, String> {
        self.count += 1;
        let Some(line) = self.line()? else { return Ok(None) };
        let (place, words) = (self.place(), line.split(' ').collect::<Vec<_>>());
        let bad = || format!("{place}: not an entry: {line}");
        let [kind, subject, error, length] = words[..] else { return Err(bad()) };
        let subject = subject.parse().map_err(|_| bad())?;
        let error: i32 = error.parse().ok().filter(|&error| error >= -1).ok_or_else(bad)?;
        let length: usize = length.parse().ok().filter(|&length| length <= MOST).ok_or_else(bad)?;
        let mut bytes = vec![0; length + 1];
        match self.file.read_exact(&mut bytes) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(format!("{place}: {}", ovsdb::error::strerror(&e))),
            Ok(()) if bytes.pop() != Some(b'\n') => return Err(bad()),
            Ok(()) => {}
        }
        Ok(Some(Entry { kind: kind.to_owned(), subject, error, bytes }))
    }
}
