//! Redis streams with `appendfsync always`, over a Unix socket: it answers when its file is on the disk.

use crate::log::{BYTES, Store};
use crate::pair::Outcome;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server of our own, and a connection to it.
pub struct Redis {
    server: Child,
    stream: BufReader<UnixStream>,
    request: Vec<u8>,
}

impl Redis {
    /// Starts `program` with its data in `directory`.
    pub fn new(directory: &Path, program: &Path) -> Outcome<Self> {
        let socket = format!("/dev/shm/bench-redis-{}", std::process::id());
        let data = directory.join("redis");
        std::fs::create_dir_all(&data)?;
        let options = ["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"];
        // One that was unpacked has its libraries beside it.
        let libraries = program.parent().map(|bin| bin.join(format!("../lib/{}-linux-gnu", std::env::consts::ARCH)));
        let mut server = Command::new(program)
            .args(options)
            .args(["--unixsocket", &socket, "--dir"])
            .arg(&data)
            .env("LD_LIBRARY_PATH", libraries.unwrap_or_default())
            .stdout(Stdio::null())
            .spawn()?;
        let connected = (0..200).find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            UnixStream::connect(&socket).ok()
        });
        let _ = std::fs::remove_file(&socket);
        let Some(stream) = connected else {
            server.kill()?;
            server.wait()?;
            return Err("the Redis server cannot be reached".into());
        };
        Ok(Self { server, stream: BufReader::with_capacity(1 << 20, stream), request: Vec::new() })
    }

    fn add(&mut self, words: &[&[u8]]) {
        self.request.extend(format!("*{}\r\n", words.len()).bytes());
        for word in words {
            self.request.extend(format!("${}\r\n", word.len()).bytes());
            self.request.extend_from_slice(word);
            self.request.extend(b"\r\n");
        }
    }

    fn send(&mut self) -> Outcome<()> {
        self.stream.get_mut().write_all(&self.request)?;
        self.request.clear();
        Ok(())
    }

    /// All strings of one answer, in order.
    fn answer(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        let mut left = 1;
        let mut line = String::new();
        while left > 0 {
            line.clear();
            self.stream.read_line(&mut line)?;
            let word = line.trim_end();
            left -= 1;
            match word.split_at_checked(1) {
                Some(("*", count)) => left += count.parse::<usize>()?,
                Some(("$", length)) => {
                    let mut bytes = vec![0; length.parse::<usize>()? + 2];
                    self.stream.read_exact(&mut bytes)?;
                    see(&bytes[..bytes.len() - 2]);
                }
                _ => return Err(format!("Redis answered {word:?}").into()),
            }
        }
        Ok(())
    }
}

impl Store for Redis {
    fn put(&mut self, record: &[u8; BYTES]) -> Outcome<()> {
        self.put_batch(std::slice::from_ref(record))
    }

    fn put_batch(&mut self, records: &[[u8; BYTES]]) -> Outcome<()> {
        for record in records {
            self.add(&[b"XADD", b"s", b"*", b"d", record]);
        }
        self.send()?;
        records.iter().try_for_each(|_| self.answer(&mut |_| ()))
    }

    fn read(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        let mut from = b"-".to_vec();
        loop {
            self.add(&[b"XRANGE", b"s", &from, b"+", b"COUNT", b"1000"]);
            self.send()?;
            let mut count = 0;
            self.answer(&mut |word| match word.len() {
                BYTES => {
                    see(word);
                    count += 1;
                }
                1 => {}
                _ => from = [b"(", word].concat(),
            })?;
            if count == 0 {
                return Ok(());
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
