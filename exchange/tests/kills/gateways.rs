//! A gateway killed while it writes many orders at once: slots that it had claimed and not written are nobody's, and every
//! order is done once when it is sent again.

use crate::client::{Client, framed, login};
use crate::stand::{Choices, Part, Stand};
use std::time::Duration;
use tailrace_core::book::EXEC_ACCEPTED;
use tailrace_core::book::session::Login;
use tailrace_exchange::agent::Agent;
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::replay::{ReplayOptions, replay};

const ORDERS: u64 = 60;

fn die_at(step: &str, skip: u64) {
    let mut stand = Stand::new(&Choices::default());
    let environment = [("TAILRACE_PAUSE", step.to_string()), ("TAILRACE_PAUSE_SKIP", skip.to_string())];
    let gateway = Part::start_with(&stand.config_path, "gateway", &environment);
    let mut client = Client::log_in(gateway.address(), 1);
    let burst = |client: &Client| -> Vec<u8> { (1..=ORDERS).flat_map(|id| framed(&client.order(id))).collect() };
    let bytes = burst(&client);
    client.send_bytes(&bytes);
    assert_eq!(client.hear_within(Duration::from_millis(200)), None, "it has stopped at {step}");
    gateway.kill();

    let gateway = Part::start(&stand.config_path, "gateway");
    let (mut client, reply) = Client::with(gateway.address(), &Login { next_report: 1, ..login(1) });
    assert!(reply.last_client_order_id <= ORDERS, "{reply:?}");
    let bytes = burst(&client);
    client.send_bytes(&bytes);
    // What was done before is told as it was, and again as the answer to what was sent again.
    let (mut sequence, mut answered) = (0, vec![false; ORDERS as usize]);
    while sequence < ORDERS || !answered.iter().all(|is_answered| *is_answered) {
        let report = client.report();
        assert_eq!(report.exec_type, EXEC_ACCEPTED, "{report:?}");
        answered[report.client_order_id as usize - 1] = true;
        if report.flags & tailrace_core::book::REPORT_REPEAT == 0 {
            sequence += 1;
            assert_eq!((report.sequence, report.client_order_id), (sequence, sequence), "{step} {skip}");
        }
    }
    client.log_out();
    gateway.stop();
    // The next matcher replays the journal, tombstones and all, to the same.
    stand.kill_matcher();
    let mut matcher = Matcher::start(&stand.config).expect("what was said follows from the journal");
    let hash = format!("{:016x}", matcher.replica().book().state_hash());
    assert_eq!(u64::from(matcher.replica().book().order_count()), ORDERS);
    matcher.close().expect("closed");
    let options = ReplayOptions { directory: stand.config.data.clone(), ..ReplayOptions::default() };
    assert_eq!(replay(&options, std::io::sink()).expect("replayed")["state_hash"], hash);
}

#[test]
fn a_gateway_killed_at_every_step_of_writing_loses_and_doubles_nothing() {
    for step in ["write.looked", "write.claimed", "write.published"] {
        die_at(step, 0);
    }
    // In the middle of what was claimed.
    for step in ["write.rewriting", "write.publish"] {
        for skip in [0, 1, ORDERS / 2, ORDERS - 1] {
            die_at(step, skip);
        }
    }
}
