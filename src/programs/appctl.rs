//! `ovs-appctl`: a command for a running program and what it answers, ovs-appctl(8).

use crate::options::{self, Known, Takes, option};
use crate::setup::{self, fatal, print};
use crate::stream::Stream;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use ovsdb::Json;
use ovsdb::error::strerror;
use ovsdb::json::Framer;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `--execute` says nothing any more: there was a time when a command needed it.
const OPTIONS: [Known; 3] =
    [option("target", 't', Takes::Value), option("timeout", 'T', Takes::Value), option("execute", 'e', Takes::Nothing)];

const USAGE: &str = "\
ovs-appctl: commands for programs of Open vSwitch that run
usage: ovs-appctl [OPTIONS] COMMAND [ARG...]
  -t, --target=TARGET         program, by name of its pid file or path of its socket; ovs-vswitchd
  -T, --timeout=SECS          end by SIGALRM after SECS seconds
  -v[SPEC], --verbose[=SPEC]  log levels
  --log-file[=FILE]           log to FILE
  -h, --help                  this text
  -V, --version               version
COMMAND list-commands prints what the program knows.
";

/// Exit status when the program refuses the command.
const REFUSED: u8 = 2;

/// What a program answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done(String),
    Refused(String),
}

/// Runs it.
pub fn main(program: &str, arguments: Vec<String>) -> ExitCode {
    let known = [&setup::COMMON[..], &OPTIONS[..]].concat();
    let parsed = match options::parse_leading(&known, arguments) {
        Ok(parsed) => parsed,
        Err(text) => return fatal(program, text),
    };
    if parsed.has("help") {
        print(USAGE);
        return ExitCode::SUCCESS;
    }
    if parsed.has("version") {
        print(&setup::version(program));
        return ExitCode::SUCCESS;
    }
    if let Err(text) =
        setup::start_log(program, &parsed, base::log::Level::Warn, &["daemon_unix", "jsonrpc", "unixctl"])
    {
        return fatal(program, text);
    }
    if let Some(text) = parsed.value("timeout") {
        match text.parse() {
            Ok(seconds) if seconds > 0 => nix::unistd::alarm::set(seconds),
            _ => return fatal(program, format!("value {text} on -T or --timeout is invalid")),
        };
    }
    let Some((command, arguments)) = parsed.arguments.split_first() else {
        return fatal(program, "at least one non-option argument is required (use --help for help)");
    };
    let target = parsed.value("target").unwrap_or("ovs-vswitchd");
    match ask(target, command, arguments) {
        Ok(Answer::Done(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Ok(Answer::Refused(text)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            fatal(program, format!("{target}: server returned an error"));
            ExitCode::from(REFUSED)
        }
        Err(text) => fatal(program, text),
    }
}

fn ask(target: &str, command: &str, arguments: &[String]) -> Result<Answer, String> {
    let socket = socket(target)?;
    let name = format!("unix:{}", socket.display());
    let mut stream = Stream::connect(&name).map_err(|e| {
        log::warn!(target: "unixctl", "failed to connect to {}", socket.display());
        format!("cannot connect to \"{}\" ({})", socket.display(), strerror(&e))
    })?;
    exchange(&mut stream, &name, command, arguments).map_err(|e| format!("{target}: transaction error ({e})"))
}

/// Where a program listens: an absolute path is that, any other name is that of a pid file.
fn socket(target: &str) -> Result<PathBuf, String> {
    if target.starts_with('/') {
        return Ok(PathBuf::from(target));
    }
    let file = setup::run_dir().join(format!("{target}.pid"));
    let pid = pid(&file).map_err(|e| format!("cannot read pidfile \"{}\" ({})", file.display(), strerror(&e)))?;
    Ok(setup::run_dir().join(format!("{target}.{pid}.ctl")))
}

/// The process of a pid file; it holds the file's lock as long as it runs.
fn pid(path: &Path) -> io::Result<u32> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).inspect_err(|e| {
        log::warn!(target: "daemon_unix", "{}: open: {}", path.display(), strerror(e));
    })?;
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    if lock.l_type == libc::F_UNLCK as libc::c_short {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Sends a command and waits for its answer. `name` is the socket's, for the log.
fn exchange(
    stream: &mut (impl Read + Write),
    name: &str,
    command: &str,
    arguments: &[String],
) -> Result<Answer, String> {
    let failed = |text: String| {
        log::warn!(target: "unixctl", "error communicating with {name}: {text}");
        text
    };
    let params = arguments.iter().map(|a| Json::from(a.clone())).collect();
    let request = [("id", Json::Int(0)), ("method", Json::from(command.to_owned())), ("params", Json::Array(params))];
    let sent = stream.write_all(Json::object(request).to_string().as_bytes());
    sent.map_err(|e| failed(strerror(&e)))?;
    let (mut framer, mut buffer) = (Framer::default(), vec![0; 1 << 16]);
    loop {
        let broken = |_| failed("Protocol error".to_owned());
        while let Some(json) = framer.next_value().map_err(broken)? {
            // others are no answer to this
            if json.get("id") == Some(&Json::Int(0)) {
                return answer(&json, name);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(failed("End of file".to_owned())),
            Ok(n) => framer.push(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(strerror(&e))),
        }
    }
}

fn answer(json: &Json, name: &str) -> Result<Answer, String> {
    let [result, error] = ["result", "error"].map(|key| json.get(key).filter(|value| **value != Json::Null));
    match (result.map(Json::as_str), error.map(Json::as_str)) {
        (Some(Some(text)), None) => Ok(Answer::Done(text.to_owned())),
        (None, Some(Some(text))) => Ok(Answer::Refused(text.to_owned())),
        (None, None) | (Some(_), Some(_)) => {
            log::warn!(target: "unixctl", "{name}: expected either a result or an error");
            Err("Protocol error".to_owned())
        }
        _ => {
            log::warn!(target: "unixctl", "{name}: expected a string as result or error");
            Err("Invalid argument".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// What a program that says `reply` to `hello a -m` and hangs up answers.
    fn told(reply: &str) -> Result<Answer, String> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(reply.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = exchange(&mut ours, "unix:x", "hello", &["a".to_owned(), "-m".to_owned()]);
        drop(ours);
        let mut asked = String::new();
        theirs.read_to_string(&mut asked).unwrap();
        assert_eq!(asked, r#"{"id":0,"method":"hello","params":["a","-m"]}"#);
        answer
    }

    #[test]
    fn answers() {
        assert_eq!(told(r#"{"id":0,"result":"as it is","error":null}"#), Ok(Answer::Done("as it is".into())));
        assert_eq!(told(r#"{"id":0,"result":null,"error":"bad\n"}"#), Ok(Answer::Refused("bad\n".into())));
        let later = r#"{"id":7,"result":"x","error":null}{"id":0,"result":"y","error":null}"#;
        assert_eq!(told(later), Ok(Answer::Done("y".into())));
    }

    #[test]
    fn no_answers() {
        for (reply, error) in [
            ("", "End of file"),
            (r#"{"id":0,"result":"#, "End of file"),
            (r#"{"id":7,"result":"x","error":null}"#, "End of file"),
            (r#"{"id":0,"result":null,"error":null}"#, "Protocol error"),
            (r#"{"id":0,"result":5,"error":null}"#, "Invalid argument"),
        ] {
            assert_eq!(told(reply), Err(error.to_owned()), "{reply}");
        }
    }
}
