//! Which addresses may be connected to. Whoever writes a client's settings chooses where requests go, and must not reach by that what only
//! this machine or its network should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::settings::Networks;

/// What the rules say of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anybody's.
    Public,
    /// Private, and named by `SENDER_ALLOWED_NETWORKS`.
    Allowed,
    /// Private.
    Refused,
}

pub(super) fn reach(address: IpAddr, allowed: &Networks) -> Reach {
    // The same address, however it is written.
    let address = address.to_canonical();
    if allowed.contain(address) {
        Reach::Allowed
    } else if is_public(address) {
        Reach::Public
    } else {
        Reach::Refused
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // This network, private ones, loopback, multicast and what is reserved.
        (0 | 10 | 127 | 224..=255, ..)
        // Carriers' own.
        | (100, 64..=127, _)
        // Link-local: where clouds tell a machine its credentials.
        | (169, 254, _)
        | (172, 16..=31, _)
        | (192, 168, _)
        // Protocols, documentation, relays, benchmarks.
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // Translated to IPv4 on the way.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Tunnels, benchmarks, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All else that is routed; not loopback, link-local, unique-local, multicast.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: &str = "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.168.0.1 \
                           192.0.0.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 \
                           ::ffff:169.254.169.254 ::127.0.0.1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 64:ff9b::a00:1 64:ff9b:1::1 \
                           2002:7f00:1:: 2001::1 2001:db8::1 100::1 3fff::1";

    #[test]
    fn what_only_this_machine_or_its_network_should_reach_is_refused() {
        for text in PRIVATE.split_whitespace() {
            assert_eq!(reach(text.parse().expect("an address"), &Networks::default()), Reach::Refused, "{text}");
        }
        for text in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.169.0.1",
            "2606:4700::1111",
            "64:ff9b::808:808",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(reach(text.parse().expect("an address"), &Networks::default()), Reach::Public, "{text}");
        }
    }

    #[test]
    fn what_is_allowed_is_so_however_it_is_written() {
        let allowed: Networks = "127.0.0.0/8,fd00::/16".parse().expect("networks");
        for (text, expected) in [
            ("127.0.0.1", Reach::Allowed),
            ("::ffff:127.0.0.1", Reach::Allowed),
            ("fd00::1", Reach::Allowed),
            ("10.0.0.1", Reach::Refused),
            ("::1", Reach::Refused),
        ] {
            assert_eq!(reach(text.parse().expect("an address"), &allowed), expected, "{text}");
        }
    }
}
