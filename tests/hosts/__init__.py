"""Hosts for tests, made of namespaces of this machine: each has its own processes, network, home, /tmp and sshd.

`network(folder)` is a network of hosts at 10.77.0.10 and up with a client at 10.77.0.1; `loopback(folder)` is one host
at 127.0.0.1 that shares the client's network. Whatever runs in them cannot see, and so cannot end, any process outside.
All of it goes when the block ends or the test process dies, by SIGKILL too; nothing has a name outside, so any number
of test sessions go on side by side. `unavailable()` says why this machine cannot do it.
"""

from __future__ import annotations

from tests.hosts.available import unavailable
from tests.hosts.namespaces import Host, Hosts, loopback, network

__all__ = ["Host", "Hosts", "loopback", "network", "unavailable"]
