//! Which addresses may be called: a receiver's URL is somebody's wish, and must not lead to what our network keeps inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::PrivateNetwork;

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// From everywhere.
    Public,
    /// From this machine or its network.
    Private,
    /// It is no receiver's: link-local, a cloud's metadata, unspecified, multicast, or reserved.
    Never,
}

/// An address that is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenAddress {
    /// The endpoint could allow it.
    #[error("the address {0} is private (it requires allow_private_network)")]
    Private(IpAddr),
    /// Nobody can allow it.
    #[error("the address {0} is never called: it is link-local, unspecified, multicast or reserved")]
    Never(IpAddr),
}

/// A range of IPv4: its first address, how many leading bits count, and what it is.
type Range = (Ipv4Addr, u32, Reach);

const fn range(first: [u8; 4], bits: u32, reach: Reach) -> Range {
    let [a, b, c, d] = first;
    (Ipv4Addr::new(a, b, c, d), bits, reach)
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, and two clouds' own. The first that fits counts.
const RANGES: [Range; 18] = [
    // Alibaba Cloud's metadata, within what carriers share; Azure's, which looks public.
    range([100, 100, 100, 200], 32, Reach::Never),
    range([168, 63, 129, 16], 32, Reach::Never),
    // Linux connects to itself.
    range([0, 0, 0, 0], 8, Reach::Never),
    range([10, 0, 0, 0], 8, Reach::Private),
    range([100, 64, 0, 0], 10, Reach::Private),
    range([127, 0, 0, 0], 8, Reach::Private),
    // Link-local: the metadata of most clouds.
    range([169, 254, 0, 0], 16, Reach::Never),
    range([172, 16, 0, 0], 12, Reach::Private),
    range([192, 0, 0, 0], 24, Reach::Never),
    range([192, 0, 2, 0], 24, Reach::Never),
    range([192, 88, 99, 0], 24, Reach::Never),
    range([192, 168, 0, 0], 16, Reach::Private),
    range([198, 18, 0, 0], 15, Reach::Never),
    range([198, 51, 100, 0], 24, Reach::Never),
    range([203, 0, 113, 0], 24, Reach::Never),
    // Multicast.
    range([224, 0, 0, 0], 4, Reach::Never),
    // Reserved, and broadcast.
    range([240, 0, 0, 0], 4, Reach::Never),
    range([0, 0, 0, 0], 0, Reach::Public),
];

/// Metadata within the addresses of private networks: of Amazon's, Google's and Scaleway's clouds.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

fn reach_v4(address: Ipv4Addr) -> Reach {
    let fits = |(first, bits, _): &&Range| {
        let mask = u32::MAX.checked_shl(u32::BITS - bits).unwrap_or_default();
        (first.to_bits() ^ address.to_bits()) & mask == 0
    };
    RANGES.iter().find(fits).map_or(Reach::Never, |(.., reach)| *reach)
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    // Behind a translator or a tunnel, what an address carries is what is called.
    let carried = carried_v4(address).into_iter().flatten().map(reach_v4).max();
    let own = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // IPv4 in its mapped, compatible and translated forms, and behind NAT64: by what it carries alone.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            Reach::Public
        }
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Reach::Public,
        [0xfc00..=0xfdff, ..] if METADATA_V6.contains(&address) => Reach::Never,
        // Unique local addresses.
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Teredo: by what it carries alone.
        [0x2001, 0, ..] => Reach::Public,
        // The rest of what is assigned to protocols (benchmarks, ORCHID), and documentation.
        [0x2001, 1..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Never,
        // All that is assigned to anybody.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    };
    carried.map_or(own, |carried| own.max(carried))
}

/// The addresses of IPv4 within one of IPv6.
fn carried_v4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let pair = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // Unspecified, and the loopback.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // Compatible (RFC 4291), mapped, translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [pair(high, low), None],
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [pair(high, low), None],
        // Teredo (RFC 4380): the server, and the client with its bits turned over.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            [pair(high, low), pair(!client_high, !client_low)]
        }
        // ISATAP (RFC 5214), below any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [pair(high, low), None],
        _ => [None, None],
    }
}

impl PrivateNetwork {
    /// Whether `address` may be called.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let reach = match address {
            IpAddr::V4(address) => reach_v4(address),
            IpAddr::V6(address) => reach_v6(address),
        };
        match reach {
            Reach::Public => Ok(()),
            Reach::Private if self.is_allowed() => Ok(()),
            Reach::Private => Err(ForbiddenAddress::Private(address)),
            Reach::Never => Err(ForbiddenAddress::Never(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it may be called without a private network, and with one.
    fn check(address: &str) -> (bool, bool) {
        let address = address.parse().unwrap();
        let [refused, allowed] =
            [PrivateNetwork::Refused, PrivateNetwork::Allowed].map(|network| network.check(address).is_ok());
        (refused, allowed)
    }

    const PUBLIC: (bool, bool) = (true, true);
    const PRIVATE: (bool, bool) = (false, true);
    const NEVER: (bool, bool) = (false, false);

    /// Both ends of each range, and their neighbours.
    #[test]
    fn each_range_of_ipv4_ends_where_it_ends() {
        for (address, expected) in [
            ("0.0.0.0", NEVER),
            ("0.255.255.255", NEVER),
            ("1.0.0.0", PUBLIC),
            ("9.255.255.255", PUBLIC),
            ("10.0.0.0", PRIVATE),
            ("10.255.255.255", PRIVATE),
            ("11.0.0.0", PUBLIC),
            ("100.63.255.255", PUBLIC),
            ("100.64.0.0", PRIVATE),
            ("100.100.100.199", PRIVATE),
            ("100.100.100.200", NEVER),
            ("100.100.100.201", PRIVATE),
            ("100.127.255.255", PRIVATE),
            ("100.128.0.0", PUBLIC),
            ("126.255.255.255", PUBLIC),
            ("127.0.0.0", PRIVATE),
            ("127.255.255.255", PRIVATE),
            ("128.0.0.0", PUBLIC),
            ("168.63.129.15", PUBLIC),
            ("168.63.129.16", NEVER),
            ("168.63.129.17", PUBLIC),
            ("169.253.255.255", PUBLIC),
            ("169.254.0.0", NEVER),
            ("169.254.169.254", NEVER),
            ("169.254.255.255", NEVER),
            ("169.255.0.0", PUBLIC),
            ("172.15.255.255", PUBLIC),
            ("172.16.0.0", PRIVATE),
            ("172.31.255.255", PRIVATE),
            ("172.32.0.0", PUBLIC),
            ("191.255.255.255", PUBLIC),
            ("192.0.0.0", NEVER),
            ("192.0.0.255", NEVER),
            ("192.0.1.0", PUBLIC),
            ("192.0.2.0", NEVER),
            ("192.0.2.255", NEVER),
            ("192.0.3.0", PUBLIC),
            ("192.88.98.255", PUBLIC),
            ("192.88.99.0", NEVER),
            ("192.88.99.255", NEVER),
            ("192.88.100.0", PUBLIC),
            ("192.167.255.255", PUBLIC),
            ("192.168.0.0", PRIVATE),
            ("192.168.255.255", PRIVATE),
            ("192.169.0.0", PUBLIC),
            ("198.17.255.255", PUBLIC),
            ("198.18.0.0", NEVER),
            ("198.19.255.255", NEVER),
            ("198.20.0.0", PUBLIC),
            ("198.51.99.255", PUBLIC),
            ("198.51.100.0", NEVER),
            ("198.51.100.255", NEVER),
            ("198.51.101.0", PUBLIC),
            ("203.0.112.255", PUBLIC),
            ("203.0.113.0", NEVER),
            ("203.0.113.255", NEVER),
            ("203.0.114.0", PUBLIC),
            ("223.255.255.255", PUBLIC),
            ("224.0.0.0", NEVER),
            ("239.255.255.255", NEVER),
            ("240.0.0.0", NEVER),
            ("255.255.255.255", NEVER),
            ("8.8.8.8", PUBLIC),
        ] {
            assert_eq!(check(address), expected, "{address}");
        }
    }

    #[test]
    fn of_ipv6_only_what_is_assigned_to_somebody_is_public() {
        for (address, expected) in [
            ("::", NEVER),
            ("::1", PRIVATE),
            ("::2", NEVER),
            ("100::1", NEVER),
            ("64:ff9b:1::a00:1", NEVER),
            ("1fff:ffff::1", NEVER),
            ("2000::1", PUBLIC),
            ("2001:1::1", NEVER),
            ("2001:2::1", NEVER),
            ("2001:20::1", NEVER),
            ("2001:1ff:ffff::1", NEVER),
            ("2001:200::1", PUBLIC),
            ("2001:db7::1", PUBLIC),
            ("2001:db8::1", NEVER),
            ("2001:db8:ffff::1", NEVER),
            ("2001:db9::1", PUBLIC),
            ("2606:4700:4700::1111", PUBLIC),
            ("3fff::1", NEVER),
            ("3fff:fff::1", NEVER),
            ("3fff:1000::1", PUBLIC),
            ("4000::1", NEVER),
            ("5f00::1", NEVER),
            ("fbff::1", NEVER),
            ("fc00::1", PRIVATE),
            ("fdff:ffff::1", PRIVATE),
            ("fd00:ec2::253", PRIVATE),
            ("fd00:ec2::254", NEVER),
            ("fd20:ce::254", NEVER),
            ("fd00:42::42", NEVER),
            ("fe00::1", NEVER),
            ("fe80::1", NEVER),
            ("febf::1", NEVER),
            ("fec0::1", NEVER),
            ("ff02::1", NEVER),
        ] {
            assert_eq!(check(address), expected, "{address}");
        }
    }

    #[test]
    fn an_address_that_carries_another_is_judged_by_that() {
        for (carried, expected) in
            [("8.8.8.8", PUBLIC), ("10.0.0.1", PRIVATE), ("169.254.169.254", NEVER), ("127.0.0.1", PRIVATE)]
        {
            let bits = carried.parse::<Ipv4Addr>().unwrap().to_bits();
            let (high, low) = (bits >> 16, bits & 0xffff);
            let (turned_high, turned_low) = (!high & 0xffff, !low & 0xffff);
            for address in [
                format!("::ffff:{carried}"),
                format!("::{carried}"),
                format!("::ffff:0:{carried}"),
                format!("64:ff9b::{carried}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2001:0:{high:x}:{low:x}:0:0:{:x}:{:x}", !0x0808_u16, !0x0808_u16),
                format!("2001:0:808:808:0:0:{turned_high:x}:{turned_low:x}"),
                format!("2606:4700::5efe:{carried}"),
                format!("2606:4700::200:5efe:{carried}"),
            ] {
                assert_eq!(check(&address), expected, "{address}");
            }
            // A network of ours keeps its own reach.
            let local = if expected == PUBLIC { PRIVATE } else { expected };
            assert_eq!(check(&format!("fd00::5efe:{carried}")), local);
        }
        assert_eq!(check("::ffff:0.0.0.0"), NEVER);
        assert_eq!(check("64:ff9b::"), NEVER);
    }

    #[test]
    fn it_is_said_what_is_wrong() {
        let said =
            |address: &str| PrivateNetwork::Refused.check(address.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(said("10.0.0.1"), "the address 10.0.0.1 is private (it requires allow_private_network)");
        assert!(said("fe80::1").starts_with("the address fe80::1 is never called"), "{}", said("fe80::1"));
    }
}
