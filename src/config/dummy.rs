//! What is asked for by `--enable-dummy` and its kin: a switch whose ports are in memory and whose time can be stopped.

pub use bridge::unsupported::DUMMY as OPTIONS;

/// Whose place dummies take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// Nobody's: who wants a dummy says so.
    #[default]
    Nothing,
    /// That of the kernel's interfaces and its datapath: `--enable-dummy=system`.
    System,
    /// That of every kind of device but patches: `--enable-dummy=override`.
    Everything,
}

/// Deterministic mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dummy {
    pub replace: Replace,
    /// Memory nodes by core, of a machine that is made up (`--dummy-numa`); empty: the machine's own.
    pub nodes: Vec<u32>,
}

impl Dummy {
    /// Reads the value of `--enable-dummy`.
    ///
    /// # Errors
    /// It is none that there is.
    pub fn parse(value: Option<&str>) -> Result<Dummy, String> {
        let replace = match value {
            None | Some("") => Replace::Nothing,
            Some("system") => Replace::System,
            Some("override") => Replace::Everything,
            Some(other) => return Err(format!("--enable-dummy={other}: expected system or override")),
        };
        Ok(Dummy { replace, nodes: Vec::new() })
    }

    /// Reads the value of `--dummy-numa`: a memory node for each core.
    ///
    /// # Errors
    /// What of it is no number.
    pub fn parse_nodes(text: &str) -> Result<Vec<u32>, String> {
        let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
        let number =
            |part: &str| part.parse().map_err(|_| format!("--dummy-numa: {part}: expected a memory node's number"));
        parts.map(number).collect()
    }

    /// Tells the log what cores a machine has that is made up.
    pub fn announce(&self) {
        let mut by_node = std::collections::BTreeMap::<u32, usize>::new();
        for node in &self.nodes {
            *by_node.entry(*node).or_default() += 1;
        }
        for (node, n) in &by_node {
            log::info!(target: "ovs_numa", "Discovered {n} CPU cores on NUMA node {node}");
        }
        if !by_node.is_empty() {
            let (nodes, cores) = (by_node.len(), self.nodes.len());
            log::info!(target: "ovs_numa", "Discovered {nodes} NUMA nodes and {cores} CPU cores");
        }
    }

    /// Whether a device of a type (a word of Interface:type, not empty) is a dummy here.
    pub fn replaces(&self, kind: &str) -> bool {
        match self.replace {
            Replace::Nothing => false,
            Replace::System => kind == "system",
            Replace::Everything => !matches!(kind, "patch" | "dummy" | "dummy-internal" | "dummy-pmd"),
        }
    }

    /// Whether ports of a bridge with this datapath_type are in a datapath of dummies.
    pub fn has_datapath(&self, kind: &str) -> bool {
        match self.replace {
            Replace::Nothing => kind == "dummy",
            Replace::System => matches!(kind, "dummy" | "system" | ""),
            Replace::Everything => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_place_they_take() {
        let plain = Dummy::parse(None).unwrap();
        assert!(!plain.replaces("system") && plain.has_datapath("dummy") && !plain.has_datapath("netdev"));
        let system = Dummy::parse(Some("system")).unwrap();
        assert!(system.replaces("system") && !system.replaces("tap") && system.has_datapath(""));
        let all = Dummy::parse(Some("override")).unwrap();
        assert!(all.replaces("system") && all.replaces("tap") && !all.replaces("patch") && all.has_datapath("netdev"));
        assert!(Dummy::parse(Some("kernel")).is_err());
    }

    #[test]
    fn nodes_of_cores() {
        assert_eq!(Dummy::parse_nodes("1,2, 1"), Ok(vec![1, 2, 1]));
        assert!(Dummy::parse_nodes("1,x").is_err());
    }
}
