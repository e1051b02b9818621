//! Plugins that do what none should. Each is refused or ended within two seconds, with a cause of one line, and a good
//! plugin beside it answers on time. Faults 62 and 63.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod beyond;
mod cases;
#[path = "../common/mod.rs"]
mod common;
mod stage;

use cases::CASES;

/// How a worker of this program is started.
const WORKER: [&str; 4] = ["--exact", "plugin_worker", "--ignored", "--nocapture"];
/// Not a test: the worker, in which this program is started again.
#[test]
#[ignore = "started by the other tests"]
fn plugin_worker() {
    busbar_loader::worker_main();
    std::process::exit(0);
}

async fn hold(name: &str) {
    let case = CASES.iter().find(|case| case.name == name).expect("it is a case");
    let outcome = stage::play(case, &WORKER).await;
    if let Err(fault) = outcome.is_as_it_must_be(case) {
        panic!("{fault}: {outcome:?}");
    }
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            hold(stringify!($name)).await;
        })*

        #[test]
        fn every_case_has_its_test() {
            let cases: Vec<_> = CASES.iter().map(|case| case.name).collect();
            assert_eq!(cases, [$(stringify!($name)),*]);
        }
    };
}

tests! {
    another_abi
    a_foreign_library
    another_processor
    a_truncated_file
    writable_by_its_group
    writable_by_everybody
    a_writable_directory_above
    a_symbolic_link
    panics_that_abort_by_its_own_record
    a_constructor_that_loops
    a_constructor_that_exits
    a_constructor_that_sleeps
    a_constructor_that_makes_a_file
    a_constructor_that_crashes
    a_constructor_that_empties_a_file
    a_description_without_an_end
    a_ledger_of_two_megabytes
    two_thousand_ledgers
    a_title_that_is_no_text
    a_ledger_outside_of_its_folder
    a_title_that_paints_the_terminal
    a_panic
    a_panic_that_aborts_against_its_record
    a_crash
    an_exit
    an_abort
    a_loop
    a_sleep
    naps
    a_stop
    a_first_thread_that_ends
    ten_gigabytes
    shared_memory
    a_fork_bomb
    a_thread_bomb
    a_socket
    a_program
    a_file_that_is_read
    a_file_that_is_written
    the_environment
    a_signal_to_the_host
    a_limit_of_the_host
    a_signal_by_way_of_the_channel
    a_flood_of_output
    an_answer_that_is_announced_too_large
    an_answer_of_two_million_pieces
    an_answer_in_small_pieces
    reading_the_channel
    a_closed_channel_without_an_end
    a_text_that_claims_to_be_longer
    a_length_that_overflows
    a_step_longer_than_its_room
    too_many_probes
    a_probe_beyond_the_last_register
    a_unit_that_is_no_number
    an_id_that_is_a_path
    a_note_that_is_no_text
    an_error_without_an_end
}
