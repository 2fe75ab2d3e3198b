"""Hosts of their own, as far as the network goes: namespaces joined by a bridge."""

import os
import subprocess


def ip(*args, check=True):
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True)


def missing():
    """Why network namespaces can't be had; "" if they can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    name = f"lhtry{os.getpid()}"
    try:
        done = ip("netns", "add", name, check=False)
        if done.returncode != 0:
            return "no network namespace can be made: " + done.stderr.strip()
        done = ip("-n", name, "link", "add", "lht0", "type", "veth", "peer", "name", "lht1", check=False)
        return "" if done.returncode == 0 else "no veth pair can be made: " + done.stderr.strip()
    except FileNotFoundError:
        return "needs iproute2"
    finally:
        if os.path.exists(f"/run/netns/{name}"):
            ip("netns", "del", name, check=False)


class Network:
    """A bridge in a namespace of its own, with one address here and one in each host."""

    def __init__(self, hosts):
        tag = f"lh{os.getpid() % 100000}"
        self.switch = f"{tag}sw"
        self.net = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self.here = f"{tag}h"
        self.hosts = [f"{tag}n{n}" for n in range(1, hosts + 1)]
        try:
            self._make()
        except Exception:
            self.close()
            raise

    @property
    def address(self):
        return f"{self.net}.1"

    def _make(self):
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self.switch, "link", "set", "br0", "up")
        ip("link", "add", self.here, "type", "veth", "peer", "name", "p0", "netns", self.switch)
        ip("addr", "add", f"{self.address}/24", "dev", self.here)
        ip("link", "set", self.here, "up")
        self._plug("p0")
        for n, host in enumerate(self.hosts, 1):
            ip("netns", "add", host)
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{n}", "netns", self.switch)
            ip("-n", host, "addr", "add", f"{self.net}.{n + 1}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")
            self._plug(f"p{n}")

    def _plug(self, port):
        ip("-n", self.switch, "link", "set", port, "master", "br0")
        ip("-n", self.switch, "link", "set", port, "up")

    def enter(self, n, argv):
        """The command line that runs a program on host n (from 0), under the same pid."""
        return ["ip", "netns", "exec", self.hosts[n], *argv]

    def unplug(self, n):
        """As if the cable of host n were pulled: it sees its link go down."""
        ip("-n", self.switch, "link", "set", f"p{n + 1}", "down")

    def plug(self, n):
        ip("-n", self.switch, "link", "set", f"p{n + 1}", "up")

    def swallow(self, n):
        """Somewhere on the way packets of host n are dropped, in both directions; nobody is told."""
        ip("-n", self.switch, "link", "set", f"p{n + 1}", "nomaster")

    def pass_on(self, n):
        self._plug(f"p{n + 1}")

    def close(self):
        for name in [*self.hosts, self.switch]:
            ip("netns", "del", name, check=False)
        ip("link", "del", self.here, check=False)
