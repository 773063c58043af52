//! Main: one process of an exchange.
//!
//! Exit code: 0 when it ended in good order, 1 when it failed (the reason is on standard error, as `ERR_NAME: sentence`),
//! 2 for wrong arguments.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tailrace_core::error::Result;
use tailrace_exchange::agent::{Agent, Running, run};
use tailrace_exchange::config::{Config, Role};

/// One process of an exchange.
#[derive(Parser)]
struct Arguments {
    /// What the exchange is.
    #[arg(long)]
    config: PathBuf,
    /// Parts that this process runs, on one thread.
    #[arg(required = true)]
    roles: Vec<Role>,
    /// Say how each part is, so often.
    #[arg(long, value_name = "MS")]
    status: Option<u64>,
    /// End when standard input does.
    #[arg(long)]
    leash: bool,
    /// Never sleep.
    #[arg(long)]
    spin: bool,
}

fn start(role: Role, config: &Config) -> Result<Box<dyn Agent>> {
    todo!("{role:?} {config:?}")
}

fn play(arguments: &Arguments) -> Result<()> {
    let config = Config::read(&arguments.config)?;
    let mut agents = Vec::new();
    for &role in &arguments.roles {
        agents.push(start(role, &config)?);
    }
    let running = Running {
        status: arguments.status.map(Duration::from_millis),
        is_on_leash: arguments.leash,
        is_spinning: arguments.spin,
    };
    run(&config, &mut agents, running)
}

fn main() -> ExitCode {
    match play(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERR_{}: {error}", error.code().name());
            ExitCode::FAILURE
        }
    }
}
