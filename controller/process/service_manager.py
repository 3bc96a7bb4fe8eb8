"""What systemd is told of this process, by the protocol of sd_notify(3): that it is ready, alive, and stopping."""

import os
import socket
from collections.abc import Mapping

from controller.process.counted_warning import CountedWarning
from controller.process.periodic import every


class ServiceManager:
    """The service manager that started this process, if one did."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        """`address` is the path of its datagram socket; one in the abstract namespace begins with `@`. Without an
        address nobody is told anything. It kills a process that is silent for `watchdog` seconds, if that is given."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog
        self._lost = CountedWarning("service_manager_lost")

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> "ServiceManager":
        """As the variables of sd_notify(3) and sd_watchdog_enabled(3) say. What they say of another process is
        ignored."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() and is_meant else None
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog or None)

    def ready(self) -> None:
        """Every port is open, and proxies are served."""
        self._send("READY=1\nSTATUS=serving")

    def stopping(self) -> None:
        """The process drains, and then ends."""
        self._send("STOPPING=1\nSTATUS=draining")

    async def run(self) -> None:
        """Report from the event loop that it turns, twice in each watchdog interval, until cancelled."""
        if self._address and self._watchdog:
            await every(self._watchdog / 2, self._report_alive)

    async def _report_alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        """A datagram that cannot be sent is logged: the service manager decides what its absence means."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(state.encode(), self._address)
            except OSError as error:
                self._lost.count(error=str(error))
