//! What ovs-appctl can tell the server, ovsdb-server(1), "Runtime Management Commands".

use super::{End, Program, remotes};
use crate::unixctl::{Command, command};
use ovsdb::server::{Now, SERVER_DB};

pub(super) const COMMANDS: [Command; 33] = [
    command("cluster/change-election-timer", "DB TIME", 2, 2),
    command("cluster/cid", "DB", 1, 1),
    command("cluster/kick", "DB SERVER", 2, 2),
    command("cluster/leave", "DB", 1, 1),
    command("cluster/set-backlog-threshold", "DB N_MSGS N_BYTES", 3, 3),
    command("cluster/sid", "DB", 1, 1),
    command("cluster/status", "DB", 1, 1),
    command("exit", "", 0, usize::MAX),
    command("memory/show", "", 0, 0),
    command("ovsdb-server/add-db", "DB", 1, 1),
    command("ovsdb-server/add-remote", "REMOTE", 1, 1),
    command("ovsdb-server/compact", "", 0, 1),
    command("ovsdb-server/connect-active-ovsdb-server", "", 0, 0),
    command("ovsdb-server/disable-monitor-cond", "", 0, 0),
    command("ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0),
    command("ovsdb-server/get-active-ovsdb-server", "", 0, 0),
    command("ovsdb-server/get-db-storage-status", "DB", 1, 1),
    command("ovsdb-server/get-sync-exclude-tables", "", 0, 0),
    command("ovsdb-server/list-dbs", "", 0, 0),
    command("ovsdb-server/list-remotes", "", 0, 0),
    command("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1),
    command("ovsdb-server/perf-counters-clear", "", 0, 0),
    command("ovsdb-server/perf-counters-show", "", 0, 0),
    command("ovsdb-server/reconnect", "", 0, 0),
    command("ovsdb-server/remove-db", "DB", 1, 1),
    command("ovsdb-server/remove-remote", "REMOTE", 1, 1),
    command("ovsdb-server/set-active-ovsdb-server", "", 1, 1),
    command("ovsdb-server/set-active-ovsdb-server-probe-interval", "", 1, 1),
    command("ovsdb-server/set-sync-exclude-tables", "", 0, 1),
    command("ovsdb-server/sync-status", "", 0, 0),
    command("ovsdb-server/tlog-list", "", 0, 0),
    command("ovsdb-server/tlog-set", "DB:TABLE on|off", 2, 2),
    command("ovsdb-server/list-sessions", "", 0, 0),
];

impl Program {
    pub(super) fn command(&mut self, name: &str, arguments: &[String], now: Now) -> Result<String, String> {
        let argument = arguments.first().map(String::as_str).unwrap_or_default();
        let done = || Ok(String::new());
        match name.strip_prefix("ovsdb-server/").unwrap_or(name) {
            "exit" if self.embedded => {
                Err("this server is part of the switch and ends with it: ovs-appctl -t ironbridge exit".into())
            }
            "exit" => {
                self.exit = Some(End::Code(0));
                done()
            }
            "memory/show" => {
                let usage = self.server.usage();
                Ok(usage.iter().map(|(name, n)| format!("{name}:{n}")).collect::<Vec<_>>().join(" "))
            }
            "add-db" => {
                self.open(argument)?;
                self.refresh_remotes()?;
                self.save();
                done()
            }
            "remove-db" => self.remove_db(argument),
            "list-dbs" => Ok(self.server.database_names().map(|n| format!("{n}\n")).collect()),
            "add-remote" => {
                remotes::check(&self.server, argument)?;
                self.remotes.add(argument);
                self.refresh_remotes()?;
                self.save();
                done()
            }
            "remove-remote" => {
                if !self.remotes.remove(argument) {
                    return Err("no such remote".into());
                }
                self.refresh_remotes()?;
                self.save();
                done()
            }
            "list-remotes" => Ok(self.remotes.configured().map(|r| format!("{r}\n")).collect()),
            "compact" => self.compact(argument, now),
            "reconnect" => {
                self.server.reconnect_all();
                done()
            }
            "get-db-storage-status" => match self.server.database(argument) {
                Some(_) if argument != SERVER_DB => Ok("status: ok".into()),
                _ => Err("no database by that name".into()),
            },
            "sync-status" => Ok(self.replication.status()),
            "get-active-ovsdb-server" => Ok(self.replication.active.clone().unwrap_or_default()),
            "set-active-ovsdb-server" => {
                self.replication.active = Some(argument.to_owned());
                if self.replication.backup {
                    self.set_backup(true);
                }
                done()
            }
            "get-sync-exclude-tables" => Ok(self.replication.exclude.clone()),
            "set-sync-exclude-tables" => {
                self.replication.exclude = argument.to_owned();
                if self.replication.backup {
                    self.set_backup(true);
                }
                done()
            }
            "connect-active-ovsdb-server" if self.replication.active.is_none() => {
                Ok("Unable to connect: active server is not specified.".into())
            }
            "connect-active-ovsdb-server" => {
                self.set_backup(true);
                done()
            }
            "disconnect-active-ovsdb-server" => {
                self.set_backup(false);
                done()
            }
            "set-active-ovsdb-server-probe-interval" => match argument.parse::<u64>() {
                Ok(0) => {
                    self.replication.probe = 0;
                    done()
                }
                Ok(ms) if ms >= 1000 => {
                    self.replication.probe = ms;
                    done()
                }
                _ => Err("Invalid probe interval, integer value expected: 0, or at least 1000 milliseconds".into()),
            },
            "cluster/cid" | "cluster/sid" | "cluster/status" => self.cluster(name, argument),
            "memory-trim-on-compaction" if !matches!(argument, "on" | "off") => Err("invalid argument".into()),
            // the first is taken and has no effect
            "memory-trim-on-compaction" | "perf-counters-clear" => done(),
            "disable-monitor-cond" => {
                self.server.no_conditions = true;
                done()
            }
            "perf-counters-show" => Ok("performance counter is not supported on this platform".into()),
            "list-sessions" => Ok(format!("{} sessions", self.server.session_count())),
            "tlog-list" => Ok(self.tables()),
            "tlog-set" => {
                let (db, table) = argument.split_once(':').ok_or("invalid DB:TABLE argument")?;
                let on = match arguments.get(1).map(String::as_str) {
                    Some("on") => true,
                    Some("off") => false,
                    _ => return Err("invalid command argument".into()),
                };
                self.server.log_table(db, table, on)?;
                done()
            }
            "cluster/change-election-timer" | "cluster/kick" | "cluster/leave" | "cluster/set-backlog-threshold" => {
                Err(format!("{name} is not supported: a cluster here has one server"))
            }
            _ => Err(format!("{name} is not supported")),
        }
    }

    fn remove_db(&mut self, name: &str) -> Result<String, String> {
        if name == SERVER_DB {
            return Err("Cannot remove reserved database.".into());
        }
        let path = self.server.database(name).and_then(|hosted| hosted.path().map(crate::setup::absolute));
        if !self.server.close(name) {
            return Err("Failed to find the database.".into());
        }
        if let Some(path) = path {
            self.files.remove(&path);
        }
        self.relays.remove(name);
        self.refresh_remotes()?;
        self.save();
        Ok(String::new())
    }

    fn cluster(&self, command: &str, name: &str) -> Result<String, String> {
        let hosted = self.server.database(name).ok_or("unknown cluster")?;
        let cluster = hosted.cluster().ok_or("unknown cluster")?;
        let member = &cluster.member;
        let id = member.cluster.unwrap_or(ovsdb::Uuid::ZERO).to_string();
        let server = member.server.to_string();
        match command {
            "cluster/cid" => return Ok(id),
            "cluster/sid" => return Ok(server),
            _ => {}
        }
        let (short, address) = (&server[..4], &member.address);
        Ok(format!(
            "{short}\nName: {name}\nCluster ID: {} ({id})\nServer ID: {short} ({server})\nAddress: {address}\n\
             Status: cluster member\nRole: leader\nTerm: {}\nLeader: self\nVote: self\n\n\
             Entries not yet committed: 0\nEntries not yet applied: 0\nConnections:\nServers:\n    \
             {short} ({short} at {address}) (self) next_index={} match_index={}\n",
            &id[..4],
            cluster.term(),
            cluster.index + 1,
            cluster.index
        ))
    }

    fn compact(&mut self, name: &str, now: Now) -> Result<String, String> {
        if name == SERVER_DB {
            return Err("cannot compact built-in databases".into());
        }
        let all: Vec<_> = self.server.database_names().filter(|n| name.is_empty() || &***n == name).cloned().collect();
        if all.is_empty() {
            return Err("no database by that name".into());
        }
        for name in all.iter().filter(|n| &***n != SERVER_DB) {
            log::info!(target: "ovsdb_server", "compacting {name} database by user request");
            self.server.compact(name, now).map_err(|e| e.to_string())?;
        }
        Ok(String::new())
    }

    fn tables(&self) -> String {
        let mut text = format!("{:<16}{:<28}logging\n{:<16}{:<28}-------\n", "database", "table", "--------", "-----");
        for name in self.server.database_names() {
            text += &format!("{name:<16} \n");
            if let Some(hosted) = self.server.database(name) {
                for table in &hosted.db.schema.tables {
                    let state = if self.server.is_table_logged(name, &table.name) { "ON" } else { "OFF" };
                    text += &format!("{:<16}{:<28}{state}\n", "", table.name);
                }
            }
        }
        text
    }
}
