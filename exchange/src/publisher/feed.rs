//! Feed: the sockets that datagrams leave by, one for each receiver or group.
//!
//! A datagram that cannot be sent is lost like one that the network drops: it is counted, and who misses it asks for it
//! again. Each socket is connected, which spares the kernel the search for a route. It then also tells when nobody
//! listened to an earlier datagram, instead of sending the present one, so that one is sent again.

use crate::config::PublisherConfig;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tailrace_core::error::{Code, Error, Result};

/// What the kernel may hold of a burst, bytes; it gives what it allows.
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// Where datagrams go.
#[derive(Debug)]
pub struct Feed {
    outlets: Vec<Socket>,
    /// Datagrams that were made; each goes to every receiver.
    pub datagrams: u64,
    /// Datagrams that did not leave for one receiver.
    pub send_errors: u64,
}

impl Feed {
    /// Sockets to all receivers.
    ///
    /// # Errors
    /// IO: there is no way to one of them.
    pub fn open(config: &PublisherConfig) -> Result<Self> {
        let mut outlets = Vec::with_capacity(config.feed.len());
        for &address in &config.feed {
            let outlet = outlet(address, config)
                .map_err(|cause| Error::os(Code::IO, format!("opening the feed to {address}"), cause))?;
            outlets.push(outlet);
        }
        Ok(Self { outlets, datagrams: 0, send_errors: 0 })
    }

    /// Sends one datagram to all receivers; never waits.
    pub fn send(&mut self, datagram: &[u8]) {
        self.datagrams += 1;
        for outlet in &self.outlets {
            let Err(cause) = outlet.send(datagram) else { continue };
            self.send_errors += 1;
            if cause.kind() == io::ErrorKind::ConnectionRefused && outlet.send(datagram).is_err() {
                self.send_errors += 1;
            }
        }
    }
}

fn outlet(address: SocketAddr, config: &PublisherConfig) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    let any: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_multicast() => {
            socket.set_multicast_ttl_v4(config.hops)?;
            if let Some(interface) = config.interface {
                socket.set_multicast_if_v4(&interface)?;
            }
            Ipv4Addr::UNSPECIFIED.into()
        }
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(ip) => {
            if ip.is_multicast() {
                socket.set_multicast_hops_v6(config.hops)?;
            }
            Ipv6Addr::UNSPECIFIED.into()
        }
    };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.connect(&address.into())?;
    Ok(socket)
}
