"""Rules for nftables that keep strangers off the ports which cannot be bound to loopback. Text from values; pure.

Owns one table of its own, `inet tickserve`, and touches no other: what else the machine's firewall says stays in force.
Source of the syntax: nft(8) 1.0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, IPv6Network

from server.edge.listeners import Listener

TABLE = "inet tickserve"

Network = IPv4Network | IPv6Network


def rules(
    rows: Collection[Listener],
    *,
    system_ports: tuple[int, int],
    allowed_ports: Iterable[int] = (),
    peers: Iterable[Network] = (),
) -> str:
    """Returns the rules, as `nft -f` takes them; they replace those of before as a whole.

    Args:
        rows: What the service listens on.
        system_ports: The lowest and highest port that the system chooses from; some of our listeners are there.
        allowed_ports: Ports within that range which others of this machine serve to the public.
        peers: Networks of the cluster's other machines, which need what strangers must not have.
    """
    guarded = sorted({_span(row, system_ports) for row in rows if row.needs_firewall})
    public = sorted({row.first for row in rows if row.opener == "edge"} | set(allowed_ports))
    networks = sorted(peers, key=str)
    lines = [
        # Named first, so that there is something to delete; all of it happens at once, or not at all.
        f"table {TABLE}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        "    set guarded {",
        "        type inet_service",
        "        flags interval",
        "        auto-merge",
        f"        elements = {{ {', '.join(guarded)} }}",
        "    }",
        "    chain input {",
        "        type filter hook input priority filter; policy accept;",
        '        iifname "lo" accept',
        # Ports that the system chooses are those of this machine's own outgoing connections, too.
        "        ct state established,related accept",
    ]
    if public:
        lines.append(f"        tcp dport {{ {', '.join(map(str, public))} }} accept")
    for family, version in (("ip", 4), ("ip6", 6)):
        of_family = [str(network) for network in networks if network.version == version]
        if of_family:
            lines.append(f"        {family} saddr {{ {', '.join(of_family)} }} accept")
    # As if nobody listened: strangers learn nothing, and who errs is told at once.
    lines += ["        tcp dport @guarded counter reject with tcp reset", "    }", "}", ""]
    return "\n".join(lines)


def removal() -> str:
    """Returns what takes the rules away again, whether or not they are there."""
    return f"table {TABLE}\ndelete table {TABLE}\n"


def _span(row: Listener, system_ports: tuple[int, int]) -> str:
    first, last = (row.first, row.last) if row.first else system_ports
    return f"{first}-{last}" if first != last else str(first)
