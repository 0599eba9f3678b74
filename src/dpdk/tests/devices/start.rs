//! Starting and ending DPDK, its log, its threads.
use crate::*;

pub(crate) fn second_start_is_refused(_: &Eal) {
    let error = Eal::start(&EalConfig { huge: Huge::No, ..EalConfig::default() }).unwrap_err();
    assert!(matches!(error, EalError::Started), "{error}");
    // a wrong setting is named first
    let error = Eal::start(&EalConfig { memory: 0, ..EalConfig::default() }).unwrap_err();
    assert_eq!(error.to_string(), "DPDK setting memory: must be at least 1 MB");
}

pub(crate) fn log_arrives(eal: &Eal) {
    assert!(logged("INFO DPDK 2"), "{:?}", LOGGED.lock().unwrap());
    assert!(logged("--no-huge -m 256"));
    assert!(logged("INFO EAL: "));
    assert!(!eal.has_huge_pages());
    assert!(dpdk::version().starts_with("DPDK "));
}

/// Starts of which there can be one per process: each in a process of its own, which says what it saw.
pub(crate) fn starts(_: &Eal) {
    let run = |kind: &str| {
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program).arg(format!("child-{kind}")).output().unwrap();
        assert!(output.status.success(), "{kind}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = run("bad-argument");
    assert!(text.contains("DPDK did not start with arguments \"--lcores=0@"), "{text}");
    assert!(text.contains("--proc-type=nonsense\": "), "{text}");
    assert!(text.contains("(DPDK: EAL: Invalid process type specified"), "{text}");
    let text = run("no-huge-pages");
    assert!(text.contains("1048576 MB are wanted\n") || text.contains("no huge pages are reserved\n"), "{text}");
    assert!(text.contains("using 64 MB of ordinary memory (--no-huge)"), "{text}");
    assert!(text.contains("huge: false"), "{text}");
    let text = run("frame-outlives");
    assert!(text.contains("1 pools still have frames out"), "{text}");
    assert!(text.contains("still here"), "{text}");
}

pub(crate) fn child(kind: &str) -> ExitCode {
    let small = EalConfig { huge: Huge::No, memory: 64, no_pci: true, ..EalConfig::default() };
    match kind {
        "bad-argument" => {
            let config = EalConfig { extra: vec!["--proc-type=nonsense".into()], ..small };
            println!("{}", Eal::start(&config).unwrap_err());
            // it was the only try
            assert!(matches!(Eal::start(&config).unwrap_err(), EalError::Started));
        }
        "no-huge-pages" => {
            // a terabyte of huge pages is missing everywhere
            let config = EalConfig { socket_mem: vec![1 << 20], ..small };
            println!("{}", Eal::start(&EalConfig { huge: Huge::Yes, ..config.clone() }).unwrap_err());
            let eal = Eal::start(&EalConfig { huge: Huge::Auto, ..config }).unwrap();
            println!("huge: {}", eal.has_huge_pages());
        }
        "frame-outlives" => {
            let eal = Eal::start(&small).unwrap();
            let pool = Pool::create(&eal, &PoolConfig { frames: 1024, least: 1024, mtu: 1500, node: None }).unwrap();
            let mut frame = pool.frame(b"still here").unwrap();
            drop((pool, eal));
            frame.append(1).unwrap()[0] = b'!';
            println!("{}", String::from_utf8_lossy(frame.data()));
            drop(frame);
        }
        other => panic!("no such child: {other}"),
    }
    LOGGED.lock().unwrap().iter().for_each(|line| println!("{line}"));
    ExitCode::SUCCESS
}

pub(crate) fn threads_register(eal: &Eal) {
    assert_eq!(dpdk::lcore::current(), None);
    let barrier = std::sync::Barrier::new(3);
    let ids: Vec<u32> = std::thread::scope(|scope| {
        let run = || {
            let guard = LcoreGuard::register(eal).unwrap();
            assert_eq!(dpdk::lcore::current(), Some(guard.id()));
            assert_eq!(LcoreGuard::register(eal).unwrap_err().number(), libc::EEXIST);
            barrier.wait();
            let id = guard.id();
            drop(guard);
            assert_eq!(dpdk::lcore::current(), None);
            id
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 3, "{ids:?}");
}
