//! `wait`: until a database is in a state. The server may not be there yet, or go and come.

use super::rpc::{Message, Rpc};
use super::{Call, Done};
use crate::replay::{over, wait::poll};
use nix::poll::PollTimeout;
use ovsdb::Json;
use std::process::ExitCode;

/// Waits for `database` on `server`.
pub(super) fn wait(server: &str, database: &str, state: &str) -> Done {
    if !matches!(state, "added" | "connected" | "removed") {
        return Err(format!("\"{state}\": unknown state"));
    }
    loop {
        match Rpc::connect(server).and_then(|rpc| attempt(rpc, database, state)) {
            Ok(()) => return Ok(ExitCode::SUCCESS),
            Err(error) => log::info!(target: "reconnect", "{server}: {error}"),
        }
        // until the next attempt there is nothing else to wait for
        poll(&mut [], PollTimeout::from(250u16));
        if let Some(end) = over() {
            return end.map(|()| ExitCode::SUCCESS);
        }
    }
}

/// Asks, and again whenever something changes.
fn attempt(mut rpc: Rpc, database: &str, state: &str) -> Result<(), String> {
    let ask = |rpc: &mut Rpc| {
        let condition = Json::Array(vec!["name".into(), "==".into(), database.into()]);
        let select = Json::object([
            ("op", "select".into()),
            ("table", "Database".into()),
            ("where", Json::Array(vec![condition])),
            ("columns", Json::Array(vec!["name".into(), "connected".into()])),
        ]);
        let reply = rpc.call("transact", Json::Array(vec!["_Server".into(), select]))?;
        reply.map_err(|e| e.to_string())
    };
    let _ = rpc.call("set_db_change_aware", Json::Array(vec![Json::Bool(true)]))?;
    let watched = Json::object([("columns", Json::Array(vec!["name".into(), "connected".into()]))]);
    let tables = Json::object([("Database", Json::Array(vec![watched]))]);
    rpc.call("monitor", Json::Array(vec!["_Server".into(), "wait".into(), tables]))?.map_err(|e| e.to_string())?;
    loop {
        let reply = ask(&mut rpc)?;
        let rows = reply.as_array().and_then(|r| r.first()).and_then(|r| r.get("rows")).and_then(Json::as_array);
        let row = rows.and_then(<[Json]>::first);
        let connected = row.and_then(|r| r.get("connected")).and_then(Json::as_bool);
        let reached = match state {
            "added" => row.is_some(),
            "connected" => connected == Some(true),
            _ => row.is_none(),
        };
        if reached {
            return Ok(());
        }
        while !matches!(rpc.receive()?, Message::Notification(..)) {}
    }
}

/// `wait` makes its own connections and is called before there is one.
pub(super) fn unreached(_: Call<'_>) -> Done {
    Err("wait takes a database and a state".into())
}
