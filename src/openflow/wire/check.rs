//! Do a flow-mod's actions fit its match, as the version asks?

use super::codes::{OFPBAC_MATCH_INCONSISTENT, OFPBIC_BAD_TABLE_ID};
use super::error::{Error, Result};
use super::version::Version;
use crate::action::{Action, check};
use crate::types::TableId;
use flow::Match;

/// Refuses actions that do not fit. OpenFlow 1.0 takes those that later versions call inconsistent.
pub(super) fn actions(actions: &[Action], matching: &Match, table: Option<TableId>, version: Version) -> Result<()> {
    match check(actions, matching, table) {
        Ok(true) => Ok(()),
        Ok(false) if version == Version::Of10 => Ok(()),
        Ok(false) => Err(Error::new(OFPBAC_MATCH_INCONSISTENT)),
        // a name that is none of the codes is what ovs-ofctl's text calls it
        Err(e) if e.code == "OFPBIC_BAD_TABLE_ID" => Err(Error::new(OFPBIC_BAD_TABLE_ID)),
        Err(e) => Err(e.into()),
    }
}
