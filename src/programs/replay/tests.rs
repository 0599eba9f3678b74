//! The file of a recording, whole and damaged.

use super::entry::{Entry, Reading, heading};
use super::*;
use std::io::Cursor;

fn reading(bytes: &[u8]) -> Result<Reading, String> {
    Reading::new(Box::new(Cursor::new(bytes.to_vec())), "file".into(), "program")
}

fn all(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut reading = reading(bytes)?;
    std::iter::from_fn(|| reading.next().transpose()).collect()
}

fn sample() -> (Vec<Entry>, Vec<u8>) {
    let answers = [
        ("seed", 0, Ok(vec![0, 10, 255])),
        ("read", 7, Ok(Vec::new())),
        ("read", 7, Err(io::Error::from_raw_os_error(11))),
        ("connect", 0, Err(io::Error::other("no such key\nat all"))),
        ("write", 1, Ok(b"all".to_vec())),
    ];
    let entries: Vec<Entry> = answers.iter().map(|(kind, of, answer)| Entry::new(kind, *of, answer)).collect();
    let bytes = entries.iter().fold(heading("program").into_bytes(), |bytes, e| [bytes, e.bytes()].concat());
    (entries, bytes)
}

#[test]
fn what_is_written_is_read() {
    let (entries, bytes) = sample();
    assert_eq!(all(&bytes).unwrap(), entries);
    let mut answers = entries.into_iter().map(Entry::answer);
    assert_eq!(answers.next().unwrap().unwrap(), [0, 10, 255]);
    assert_eq!(answers.next().unwrap().unwrap(), []);
    assert_eq!(answers.next().unwrap().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(answers.next().unwrap().unwrap_err().to_string(), "no such key\nat all");
}

#[test]
fn a_recording_may_break_off_anywhere() {
    let (entries, bytes) = sample();
    let first = heading("program").len();
    for n in 0..first {
        assert_eq!(all(&bytes[..n]).unwrap_err(), "file: not a recording of program", "{n}");
    }
    for n in first..bytes.len() {
        let read = all(&bytes[..n]).unwrap();
        assert_eq!(read, entries[..read.len()], "{n}");
        assert!(read.len() < entries.len(), "{n}");
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    assert!(all(b"IRONBRIDGE RECORDING 1 other\n").unwrap_err().contains("not a recording of program"));
    let long = "x".repeat(200);
    for bad in ["read", "read 1 0", "read x 0 0", "read 1 -2 0", "read 1 0 -1", "read 1 0 1048577", "a b c d e", &long]
    {
        let error = all(format!("{}{bad}\n\n", heading("program")).as_bytes()).unwrap_err();
        assert!(error.starts_with("file: entry 1: not an entry"), "{bad}: {error}");
    }
    // bytes that go on where they should end
    let error = all(format!("{}read 1 0 2\nxyz\n", heading("program")).as_bytes()).unwrap_err();
    assert!(error.contains("entry 1"), "{error}");
}

#[test]
fn a_question_that_was_not_asked_ends_it() {
    let (_, bytes) = sample();
    let (mut entries, mut end) = (reading(&bytes).unwrap(), None);
    let mut ask = |kind, of| next(&mut entries, &mut end, kind, of);
    assert_eq!(ask("seed", 0).unwrap(), [0, 10, 255]);
    assert_eq!(ask("read", 8).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(ask("read", 7).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let text = "file: entry 2: the program asks for read 8 where read 7 was recorded";
    assert_eq!(end, Some(Err(text.into())));
    let (mut entries, mut end) = (reading(heading("program").as_bytes()).unwrap(), None);
    assert!(next(&mut entries, &mut end, "time", 0).is_err());
    assert_eq!(end, Some(Ok(())));
}
