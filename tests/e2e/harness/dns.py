"""A DNS server for a handful of names, over UDP, whose answers change from question to question."""

import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28


class Dns:
    """`names` maps a name to lists of addresses: the n-th lookup of that name (an A and an AAAA question
    together) gets the n-th list, all further ones the last. Names that aren't there don't exist. None in place of
    a list: no answer at all. What was asked is in `asked`, as (name, "A" or "AAAA")."""

    def __init__(self, names=None):
        self.names = dict(names or {})
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stop.sendto(b"", ("127.0.0.1", self.port))
        stop.close()
        self.thread.join()
        self.socket.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def lookups(self, name):
        """How many questions of each kind there were."""
        return {kind: self.asked.count((name, kind)) for kind in ("A", "AAAA")}

    def _serve(self):
        while True:
            question, sender = self.socket.recvfrom(2048)
            if not question:
                return
            reply = self._answer(question)
            if reply:
                self.socket.sendto(reply, sender)

    def _answer(self, question):
        number, = struct.unpack("!H", question[:2])
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("ascii").lower())
            at += 1 + question[at]
        kind, = struct.unpack("!H", question[at + 1:at + 3])
        name = ".".join(labels)
        word = {A: "A", AAAA: "AAAA"}.get(kind, str(kind))
        turns = self.names.get(name)
        nth = self.asked.count((name, word))
        self.asked.append((name, word))
        addresses = turns[min(nth, len(turns) - 1)] if turns else []
        if addresses is None:
            return None
        found = [ipaddress.ip_address(a).packed for a in addresses]
        found = [p for p in found if len(p) == {A: 4, AAAA: 16}.get(kind)]
        flags = 0x8180 if turns else 0x8183  # an answer; no such name
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(p)) + p for p in found)
        return struct.pack("!HHHHHH", number, flags, 1, len(found), 0, 0) + question[12:at + 5] + records
