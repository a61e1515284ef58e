"""Talks to a D-Bus message bus: one call at a time, each with a deadline.

Only imported when there is a bus, because the import would make every cold start slower.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Any, Self

from jeepney import HeaderFields, MessageType, Parser
from jeepney.bus import get_bus
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import prep_socket
from jeepney.low_level import SizeLimitError
from jeepney.wrappers import DBusAddress, new_method_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

SECONDS = 10.0
"""How long a bus or a service may take for one answer."""


class RefusedError(Exception):
    """A service refused a call: `name` of the error, and its text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})" if text else name)
        self.name = name
        self.text = text


class Bus:
    """A connection to the bus at `address` ("unix:path=/run/dbus/system_bus_socket").

    Raises OSError if none answers.
    """

    def __init__(self, address: str) -> None:
        try:
            self._socket = prep_socket(get_bus(address), timeout=SECONDS)
        except OSError:
            raise
        except (
            Exception
        ) as wrong:  # a wrong address, a refused authentication: the library has no common class for them
            raise OSError(f"{wrong}") from wrong
        self._parser, self._serial = Parser(), 0
        try:
            self._ask(message_bus.Hello())
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Closing twice is allowed."""
        self._socket.close()

    def is_owned(self, name: str) -> bool:
        """Return whether a service owns the bus name `name`."""
        return bool(self._ask(message_bus.NameHasOwner(name))[0])

    def call(self, service: tuple[str, str, str], method: str, *words: str) -> tuple[Any, ...]:
        """Call `method` with strings at `service` (bus name, object, interface).

        Raises RefusedError, and OSError when no answer comes.
        """
        name, path, interface = service
        address = DBusAddress(path, bus_name=name, interface=interface)
        return self._ask(new_method_call(address, method, "s" * len(words), words))

    def listen(self, rule: str) -> None:
        """Ask the bus to send the signals that a match rule describes. Raises RefusedError and OSError."""
        self._ask(message_bus.AddMatch(rule))

    def fileno(self) -> int:
        """Return the file descriptor to wait on for signals."""
        return int(self._socket.fileno())

    def signals(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the signals that have arrived, each with its name and content, without waiting.

        Raises OSError when the bus has closed the connection.
        """
        self._socket.setblocking(False)
        ended = False
        while not ended:
            try:
                received = self._socket.recv(4096)
            except BlockingIOError:
                break
            self._parser.add_data(received)
            ended = not received
        heard = []
        while (message := self._parser.get_next_message()) is not None:
            if message.header.message_type is MessageType.signal:
                heard.append((str(message.header.fields[HeaderFields.member]), tuple(message.body)))
        if ended and not heard:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return heard

    def _ask(self, question: Any) -> tuple[Any, ...]:
        deadline = time.monotonic() + SECONDS
        self._serial += 1
        self._socket.settimeout(SECONDS)
        self._socket.sendall(question.serialise(serial=self._serial))
        while True:
            answer = self._next(deadline)
            if answer.header.fields.get(HeaderFields.reply_serial) != self._serial:
                continue
            if answer.header.message_type is MessageType.error:
                text = str(answer.body[0]) if answer.body else ""
                raise RefusedError(str(answer.header.fields[HeaderFields.error_name]), text)
            return tuple(answer.body)

    def _next(self, deadline: float) -> Any:
        """Return the next message of any kind."""
        try:
            while (message := self._parser.get_next_message()) is None:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                received = self._socket.recv(4096)
                if not received:
                    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                self._parser.add_data(received)
        except TimeoutError as late:
            raise TimeoutError(f"no answer within {SECONDS:g} s") from late
        except (SizeLimitError, ValueError) as wrong:
            raise OSError(f"what answers does not speak D-Bus: {wrong}") from wrong
        return message
