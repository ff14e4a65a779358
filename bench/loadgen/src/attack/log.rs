//! Egret's own log, for the reasons of its denials.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

pub struct Log {
    path: PathBuf,
}

/// By client, every reason that the log has for its flows.
pub type ReasonsOf = HashMap<SocketAddr, HashSet<String>>;

impl Log {
    pub fn of(path: PathBuf) -> Log {
        Log { path }
    }

    /// Lines that are cut or no JSON are not there yet.
    pub fn reasons(&self) -> Result<ReasonsOf> {
        let text = fs::read_to_string(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut clients = HashMap::new();
        let mut reasons = ReasonsOf::new();
        for record in &records {
            let client = record["client"].as_str().and_then(|client| client.parse::<SocketAddr>().ok());
            let client = client.or_else(|| clients.get(&record["flow"].as_u64()?).copied());
            let Some(client) = client else { continue };
            if let Some(flow) = record["flow"].as_u64() {
                clients.insert(flow, client);
            }
            for field in ["reason", "error"] {
                reasons.entry(client).or_default().extend(record[field].as_str().map(str::to_owned));
            }
        }
        Ok(reasons)
    }
}
