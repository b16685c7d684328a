//! Networks, as `10.0.0.0/8` or `fd00::/8`; an address alone is a network of one.

use std::net::IpAddr;
use std::str::FromStr;

/// Networks; empty where the variable is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    prefix: u32,
    is_v4: bool,
}

/// An address as a number, left-aligned.
fn bits_of(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

impl Networks {
    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits_of(address);
        // An empty prefix would shift by the whole width.
        let is_within =
            |network: &Network| network.is_v4 == is_v4 && (bits ^ network.bits).checked_shr(128 - network.prefix).unwrap_or_default() == 0;
        self.0.iter().any(is_within)
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let (address, prefix) = part.split_once('/').map_or((part, None), |(address, prefix)| (address, Some(prefix)));
            let (bits, is_v4) = bits_of(address.parse().ok()?);
            let prefix_max = if is_v4 { 32 } else { 128 };
            let prefix = prefix.map_or(Some(prefix_max), |prefix| prefix.parse().ok().filter(|prefix| *prefix <= prefix_max))?;
            let is_whole = prefix == 128 || bits << prefix == 0;
            is_whole.then_some(Network { bits, prefix, is_v4 })
        };
        let told = |part: &str| network(part).ok_or_else(|| format!("`{part}` is no network; write them as 10.0.0.0/8,fd00::/8,127.0.0.1"));
        parts.map(told).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::Networks;

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        let networks: Networks = "10.0.0.0/8, 192.168.1.7,fd00::/8".parse().expect("networks");
        for (address, is_in) in [
            ("10.255.0.1", true),
            ("11.0.0.0", false),
            ("192.168.1.7", true),
            ("192.168.1.6", false),
            ("fd12::1", true),
            ("fe00::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(networks.contain(address.parse().expect("an address")), is_in, "{address}");
        }
        let all: Networks = "0.0.0.0/0".parse().expect("a network");
        assert!(all.contain("8.8.8.8".parse().expect("an address")) && !all.contain("::1".parse().expect("an address")));
        assert_eq!("".parse(), Ok(Networks::default()));
        for wrong in ["10.0.0.0/33", "10.0.0.1/8", "10.0.0", "fd00::/129", "x"] {
            assert!(wrong.parse::<Networks>().is_err_and(|problem| problem.starts_with(&format!("`{wrong}` is no network"))), "{wrong}");
        }
    }
}
