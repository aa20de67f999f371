"""A name server on a port of this machine, and a resolver that asks only it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from dnslib import QTYPE, RCODE, RR, DNSRecord

UNANSWERED = "unanswered"


@dataclass
class Zone(asyncio.DatagramProtocol):
    """Names and their records (``A 127.0.0.1``, ``CNAME inside.example``), or `UNANSWERED`; any other name does not exist."""

    records: dict[str, Sequence[str]] = field(default_factory=dict)
    in_turn: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    """Names whose IPv4 addresses change with each query; the last answer repeats."""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        name, kind = str(question.q.qname).rstrip(".").lower(), QTYPE[question.q.qtype]
        self.asked.append((name, kind))
        answer = question.reply()
        turns = self.in_turn.get(name)
        if turns and kind == "A":
            self.records[name] = turns.pop(0) if len(turns) > 1 else turns[0]
        if self.records.get(name) == UNANSWERED:
            return
        if name not in self.records:
            answer.header.rcode = RCODE.NXDOMAIN
        self._add(answer, name, kind)
        self._transport.sendto(answer.pack(), addr)

    def _add(self, answer: DNSRecord, name: str, kind: str) -> None:
        for record in self.records.get(name, ()):
            type_, _, value = record.partition(" ")
            if type_ in (kind, "CNAME"):
                answer.add_answer(*RR.fromZone(f"{name}. 0 IN {type_} {value}"))
            if type_ == "CNAME":
                self._add(answer, value, kind)


@asynccontextmanager
async def name_server(**records: Sequence[str]) -> AsyncIterator[tuple[Zone, aiohttp.AsyncResolver]]:
    """Serve names (``_`` for a dot); yield the zone, and the product's resolver configured to use it."""
    zone = Zone({name.replace("_", "."): list(kept) for name, kept in records.items()})
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: zone, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    # Several tries: on a busy machine a datagram on the loopback may be late. No `lookups` and no `domains`: pycares (5.2) hands
    # c-ares strings that may already be freed, and then one name in a hundred resolvers does not resolve.
    resolver = aiohttp.AsyncResolver(nameservers=[f"127.0.0.1:{port}"], timeout=0.5, tries=4)
    try:
        yield zone, resolver
    finally:
        await resolver.close()
        transport.close()
