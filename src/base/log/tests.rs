//! Lines, levels and destinations against what Open vSwitch 3.1 prints.

use super::*;
use ::log::Log;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("base-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A quiet logger whose clock stands at 2020-01-01 00:00:01.500.
fn quiet() -> Logger {
    let clock = Clock::stopped_at(Instant::from_millis(5000));
    let mut options = Options::new("ovs-vswitchd", clock);
    (options.console, options.syslog) = (Level::Off, Level::Off);
    options.modules = ["bridge", "poll_loop", "reconnect"].map(String::from).to_vec();
    let logger = Logger::new(options);
    logger.clock.warp(Duration::from_millis(1500));
    logger
}

fn say(logger: &Logger, level: ::log::Level, target: &str, text: &str) {
    logger.log(&::log::Record::builder().level(level).target(target).args(format_args!("{text}")).build());
}

/// Runs in a thread of that name; the tests' own have theirs.
fn as_thread(name: &str, run: impl FnOnce() + Send) {
    std::thread::scope(|s| std::thread::Builder::new().name(name.into()).spawn_scoped(s, run).unwrap().join().unwrap());
}

#[test]
fn lines_of_a_file() {
    let (l, dir) = (quiet(), Folder::new("lines"));
    as_thread("main", || {
        l.open_file(&dir.0.join("x.log")).unwrap();
        say(&l, ::log::Level::Warn, "bridge::desired", "could not open\n");
        say(&l, ::log::Level::Debug, "bridge", "not shown");
        l.emergency("bridge", format_args!("{} and {}", 1, 2));
    });
    as_thread("pmd-c01/id:8", || say(&l, ::log::Level::Error, "datapath", "two\nlines\x1b[31m"));
    let name = dir.0.join("x.log");
    let expected = format!(
        "2020-01-01T00:00:01.500Z|00001|vlog|INFO|opened log file {}\n\
         2020-01-01T00:00:01.500Z|00002|bridge|WARN|could not open\n\
         2020-01-01T00:00:01.500Z|00003|bridge|EMER|1 and 2\n\
         2020-01-01T00:00:01.500Z|00004|datapath(pmd-c01/id:8)|ERR|two\n    lines\\x1b[31m\n",
        name.display()
    );
    assert_eq!(dir.read("x.log"), expected);
    assert_eq!(l.lost(), 0);
}

#[test]
fn rotation() {
    let (l, dir) = (quiet(), Folder::new("rotation"));
    l.reopen().unwrap();
    l.open_file(&dir.0.join("a")).unwrap();
    std::fs::rename(dir.0.join("a"), dir.0.join("a.1")).unwrap();
    say(&l, ::log::Level::Info, "bridge", "to the old");
    l.reopen().unwrap();
    say(&l, ::log::Level::Info, "bridge", "to the new");
    l.close();
    say(&l, ::log::Level::Info, "bridge", "to nowhere");
    l.reopen().unwrap();
    let [old, new] = ["a.1", "a"].map(|f| dir.read(f));
    assert!(old.contains("to the old") && !old.contains("to the new"));
    assert!(new.contains("to the new") && !new.contains("to nowhere"));
    assert_eq!(new.matches("opened log file").count(), 2);
    assert!(l.open_file(&dir.0.join("no/such/folder")).is_err());
    say(&l, ::log::Level::Info, "bridge", "still open");
    assert!(dir.read("a").contains("still open"));
}

#[test]
fn set_says_what_open_vswitch_says() {
    let l = quiet();
    for (spec, error) in [
        ("foo", "no destination, level, or module \"foo\""),
        ("poll_loop:info:warn", "cannot specify multiple levels"),
        ("poll_loop:file:bogus", "no destination, level, or module \"bogus\""),
        ("poll_loop reconnect", "cannot specify multiple modules"),
        ("file:console:dbg", "cannot specify multiple destinations"),
        ("PATTERN:foo:%m", "unknown destination \"foo\""),
        ("PATTERN:", "missing destination"),
        ("FACILITY:bogus", "invalid facility"),
    ] {
        assert_eq!(l.set(spec), Err(error.into()), "{spec}");
    }
    for spec in ["ANY:file:dbg", "console,warn", "any:any:any", "", "poll_loop:", "FACILITY:local3", "pattern:file:%m"]
    {
        assert_eq!(l.set(spec), Ok(()), "{spec}");
    }
}

#[test]
fn levels_and_their_list() {
    let l = quiet();
    l.set("poll_loop:file:dbg").unwrap();
    l.set("console err").unwrap();
    l.set("RECONNECT,Warn").unwrap();
    l.set("syslog:off").unwrap();
    let expected = "                 console    syslog    file\n\
                    \x20                -------    ------    ------\n\
                    bridge             ERR        OFF       INFO\n\
                    poll_loop          ERR        OFF        DBG\n\
                    reconnect         WARN        OFF       WARN\n\
                    vlog               ERR        OFF       INFO\n";
    assert_eq!(l.list(), expected);
    assert!(l.wants("poll_loop", Level::Dbg) && !l.wants("bridge", Level::Dbg) && l.wants("new", Level::Info));
    l.set("off").unwrap();
    assert!(!l.wants("bridge", Level::Emer));
    l.set("").unwrap();
    assert!(l.wants("new", Level::Dbg));
    l.declare(["a", "b"]);
    assert!(l.list().contains("\na                  DBG        DBG        DBG\n"));
}

#[test]
fn patterns() {
    let (l, dir) = (quiet(), Folder::new("patterns"));
    let expected = "         prefix                            format\n\
                    \x20        ------                            ------\n\
                    SYSLOG   <%B> %D{%h %e %T} %E %A:          ovs|%05N|%c%T|%p|%m\n\
                    CONSOLE  none                              %D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m\n\
                    FILE     none                              %D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m\n";
    assert_eq!(l.list_pattern(), expected);
    l.open_file(&dir.0.join("f")).unwrap();
    l.set("FACILITY:local3").unwrap();
    for pattern in [
        "[%-8c] (%5p) %%|%D{%H:%M:%S.####}|%010N|%A|%B|%T|%t|%r|%m",
        "%D|%y|%n|%999999999999x",
        "%d{%Q}%D{unclosed",
        "%",
        "%-",
    ] {
        l.set(&format!("PATTERN:file:{pattern}")).unwrap();
        as_thread("main", || say(&l, ::log::Level::Info, "vlog", "hello"));
    }
    let text = dir.read("f");
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(lines[0], "[vlog    ] ( INFO) %|00:00:01.5000|0000000002|ovs-vswitchd|157||main|1500|hello");
    assert_eq!(lines[1..3], ["2020-01-01 00:00:01|%y|", &format!("|{:>256}", "%x")]);
    assert!(lines[3].ends_with("unclosed"));
    assert_eq!(lines[4..], ["", ""]);
}

#[test]
fn system_log_comes_goes_and_fills_up() {
    let dir = Folder::new("syslog");
    let path = dir.0.join("log");
    let mut options = Options::new("ovs-vswitchd", Clock::stopped_at(Instant::ZERO));
    (options.console, options.syslog_socket) = (Level::Off, path.clone());
    let l = Logger::new(options);
    say(&l, ::log::Level::Info, "bridge", "nobody listens");
    assert_eq!(l.lost(), 0);

    let server = UnixDatagram::bind(&path).unwrap();
    as_thread("main", || say(&l, ::log::Level::Info, "bridge", "hello"));
    let mut buf = [0; 512];
    let len = server.recv(&mut buf).unwrap();
    let got = std::str::from_utf8(&buf[..len]).unwrap();
    assert!(
        got.starts_with("<29> Jan  1 00:00:00 ") && got.ends_with(" ovs-vswitchd: ovs|00002|bridge|INFO|hello"),
        "{got}"
    );

    for _ in 0..2000 {
        say(&l, ::log::Level::Info, "bridge", "nobody reads");
    }
    assert!(l.lost() > 0, "a full socket is not waited for");

    drop(server);
    std::fs::remove_file(&path).unwrap();
    let server = UnixDatagram::bind(&path).unwrap();
    say(&l, ::log::Level::Info, "bridge", "again");
    let len = server.recv(&mut buf).unwrap();
    assert!(buf[..len].ends_with(b"again"));
}

#[test]
fn a_message_that_logs_while_it_is_formatted() {
    struct Chatty<'a>(&'a Logger);
    impl fmt::Display for Chatty<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            say(self.0, ::log::Level::Info, "bridge", "inner");
            f.write_str("outer")
        }
    }
    let (l, dir) = (quiet(), Folder::new("chatty"));
    l.open_file(&dir.0.join("f")).unwrap();
    l.emergency("other", format_args!("{}", Chatty(&l)));
    let text = dir.read("f");
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[1].ends_with("|00002|bridge(log::tests::a_message_that_logs_while_it_is_formatted)|INFO|inner"),
        "{text}"
    );
    assert!(lines[2].contains("|00003|other(") && lines[2].ends_with("|EMER|outer"));
}

#[test]
fn behind_the_macros() {
    let dir = Folder::new("macros");
    let mut options = Options::new("test", Clock::stopped_at(Instant::ZERO));
    (options.console, options.syslog) = (Level::Off, Level::Off);
    let l = init(options);
    assert!(std::ptr::eq(l, logger().unwrap()));
    l.open_file(&dir.0.join("f")).unwrap();
    ::log::debug!(target: "quiet", "one");
    ::log::info!(target: "quiet", "two");
    assert_eq!(::log::max_level(), ::log::LevelFilter::Info);
    l.set("quiet:file:dbg").unwrap();
    assert_eq!(::log::max_level(), ::log::LevelFilter::Trace);
    ::log::trace!(target: "quiet", "three");
    ::log::debug!("four");
    let text = dir.read("f");
    assert!(!text.contains("one") && text.contains("two") && text.contains("|DBG|three") && !text.contains("four"));
    l.set("file:info").unwrap();

    let mut limit = crate::limit::RateLimit::new(60, 1);
    let mut now = Instant::from_millis(1000);
    for n in 0..3 {
        crate::limited!(limit, now, debug, target: "quiet", "unwanted {n}");
        crate::limited!(limit, now, warn, target: "quiet", "storm {n}");
    }
    now += Duration::from_secs(3);
    crate::limited!(limit, now, warn, target: "quiet", "calm");
    let text = dir.read("f");
    assert!(text.contains("storm 0") && !text.contains("storm 1") && !text.contains("unwanted"));
    let last: Vec<_> = text.lines().rev().take(2).collect();
    assert!(last[0].ends_with("|WARN|calm"));
    assert!(last[1].ends_with(
        "|WARN|Dropped 2 log messages in last 3 seconds (most recently, 3 seconds ago) due to excessive rate"
    ));
    l.set("file:off").unwrap();
}
