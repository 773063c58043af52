//! Main: one process of an exchange, or a look at what one has left.
//!
//! Exit code: 0 when it ended in good order, 1 when it failed (the reason is on standard error, as `ERR_NAME: sentence`),
//! 2 for wrong arguments.

use clap::{Args, Parser, Subcommand};
use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tailrace_core::error::Result;
use tailrace_exchange::agent::{Agent, Running, run};
use tailrace_exchange::config::{Config, Role};
use tailrace_exchange::gateway::Gateway;
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::publisher::Publisher;
use tailrace_exchange::replay::{ReplayOptions, replay};
use tailrace_exchange::shadow::Shadow;

/// An exchange.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run parts of an exchange, on one thread.
    Run(Parts),
    /// Replay the journal of an exchange, and print what it comes to, as a line of JSON.
    Replay(Journal),
    /// Say what is wrong with a configuration.
    Check {
        /// What the exchange is.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Args)]
struct Parts {
    /// What the exchange is.
    #[arg(long)]
    config: PathBuf,
    /// Parts that this process runs.
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

#[derive(Args)]
struct Journal {
    /// Folder of its logs.
    directory: PathBuf,
    /// The last command; default all.
    #[arg(long, value_name = "SEQUENCE")]
    until: Option<u64>,
    /// Print what it comes to: the default, and beside the table if asked for.
    #[arg(long)]
    hash: bool,
    /// Print all that it said.
    #[arg(long)]
    csv: bool,
    /// Begin with the newest snapshot.
    #[arg(long)]
    from_snapshot: bool,
}

fn start(role: Role, config: &Config) -> Result<Box<dyn Agent>> {
    match role {
        Role::Matcher => Ok(Box::new(Matcher::start(config)?)),
        Role::Shadow => Ok(Box::new(Shadow::start(config)?)),
        Role::Gateway => Ok(Box::new(Gateway::start(config)?)),
        Role::Publisher => Ok(Box::new(Publisher::start(config)?)),
    }
}

fn run_parts(parts: &Parts) -> Result<()> {
    let config = Config::read(&parts.config)?;
    let mut agents = Vec::new();
    // The matcher makes what the others wait for.
    let mut roles = parts.roles.clone();
    roles.sort_by_key(|role| *role != Role::Matcher);
    for role in roles {
        agents.push(start(role, &config)?);
    }
    // Each has its turn before the one that waits for what it does.
    let way = [Role::Gateway, Role::Matcher, Role::Publisher, Role::Shadow];
    agents.sort_by_key(|agent| way.iter().position(|role| *role == agent.role()));
    let running =
        Running { status: parts.status.map(Duration::from_millis), is_on_leash: parts.leash, is_spinning: parts.spin };
    run(&config, &mut agents, running)
}

fn replay_journal(journal: Journal) -> Result<()> {
    let Journal { directory, until, hash, csv, from_snapshot } = journal;
    let options = ReplayOptions { directory, until, is_table: csv, is_from_snapshot: from_snapshot };
    let outcome = replay(&options, stdout().lock())?;
    if hash || !csv {
        println!("{outcome}");
    }
    Ok(())
}

fn play(arguments: Arguments) -> Result<()> {
    match arguments.verb {
        Verb::Run(parts) => run_parts(&parts),
        Verb::Replay(journal) => replay_journal(journal),
        Verb::Check { config } => Config::read(&config).map(drop),
    }
}

fn main() -> ExitCode {
    match play(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERR_{}: {error}", error.code().name());
            ExitCode::FAILURE
        }
    }
}
