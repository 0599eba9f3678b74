//! The switch as a library: configuration, threads, control socket, metrics and the command line, over the crates below it.
