"""Reach a host through AWS Systems Manager: Session Manager's data channel as an ssh proxy command.

`messages.py` knows the layout of a message, `frames.py` that of websocket frames; `outgoing.py`
and `incoming.py` number, acknowledge and repeat; `channel.py` is one session, without any I/O.
Around it, `link.py` is the websocket, `service.py` the calls to AWS, `pump.py` moves the bytes.
"""

from typing import Final

PREFIX: Final = "runhouse.ssh.ssm: "  # of what the program says when it fails
