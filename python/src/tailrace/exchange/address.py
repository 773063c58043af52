"""Address: where somebody listens, as people write it: `host:port`, or `[host]:port` with an address of IPv6."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from .._generated.errors import ArgumentError

_WRITTEN: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\s]+)):([0-9]{1,5})")
_PORT_MAX: Final = 0xFFFF


class Address(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str, what: str) -> Address:
        """Reads an address; `what` is what it is called in the error."""
        found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
        if found is None or int(found[3]) > _PORT_MAX:
            raise ArgumentError(f"{what} is {text!r}; give an address, such as 127.0.0.1:7001")
        return cls(found[1] or found[2], int(found[3]))

    @property
    def is_multicast(self) -> bool:
        """Whether datagrams to this address reach a group."""
        try:
            return ipaddress.ip_address(self.host).is_multicast
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
