//! The calling side: finds a switch's socket and makes one call, blocking.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{}: {source} (is a switch running with this run folder?)", path.display())]
    PidFile { path: PathBuf, source: std::io::Error },
    #[error("{}: no process id in it", path.display())]
    BadPidFile { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: the answer is not JSON-RPC", path.display())]
    Answer { path: PathBuf },
    /// The switch's own words.
    #[error("{0}")]
    Refused(String),
}

/// The control socket of the switch that runs with `run_dir`, by its pid file.
///
/// # Errors
/// There is no pid file or nothing sensible in it.
pub fn socket_in(run_dir: &Path) -> Result<PathBuf, CallError> {
    let path = run_dir.join("ironbridge.pid");
    let text = std::fs::read_to_string(&path).map_err(|source| CallError::PidFile { path: path.clone(), source })?;
    let pid: u32 = text.trim().parse().map_err(|_| CallError::BadPidFile { path })?;
    Ok(run_dir.join(format!("ironbridge.{pid}.ctl")))
}

#[derive(Deserialize)]
struct Answer {
    result: Option<String>,
    error: Option<String>,
}

/// Calls `method` on the socket at `path`.
///
/// # Errors
/// The socket cannot be reached, or the switch refuses: then its words.
pub fn call(path: &Path, method: &str, arguments: &[String]) -> Result<String, CallError> {
    let io = |source| CallError::Io { path: path.to_path_buf(), source };
    let mut stream = UnixStream::connect(path).map_err(io)?;
    let request = json!({"method": method, "params": arguments, "id": 0});
    stream.write_all(request.to_string().as_bytes()).map_err(io)?;
    stream.shutdown(std::net::Shutdown::Write).map_err(io)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(io)?;
    let answer: Answer = serde_json::from_slice(&text).map_err(|_| CallError::Answer { path: path.to_path_buf() })?;
    match answer {
        Answer { error: Some(e), .. } => Err(CallError::Refused(e.trim_end().to_owned())),
        Answer { result: Some(r), .. } => Ok(r),
        Answer { .. } => Err(CallError::Answer { path: path.to_path_buf() }),
    }
}
