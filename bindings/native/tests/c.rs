//! The C ABI, used by C: a program that knows nothing but the header, compiled here and run.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts the library that it builds for tests: beside this program.
fn library_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its name");
    own.parent().expect("in a folder").to_path_buf()
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?} ended with {}:\n{said}", done.status);
}

#[test]
fn a_c_program_writes_and_reads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("round_trip");
    let library = library_folder();
    let search = format!("-Wl,-rpath,{}", library.display());
    run(Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-I"])
        .arg(root.join("bindings/native/include"))
        .arg(root.join("test/drivers/c/round_trip.c"))
        .arg(library.join("libtailrace_native.so"))
        .arg(search)
        .arg("-o")
        .arg(&program));
    run(Command::new(&program).arg(folder.path().join("region")));
}
