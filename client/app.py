"""The device's Flower app: one message type, one way out.

Whatever goes wrong on a device stays on it: Flower would send an exception's text to the server, so none gets that far.
"""

from __future__ import annotations

import logging
from typing import Final

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from client.device import device_of
from fedrec.aggregation.wire import (
    ACTION,
    ARRAYS,
    FAILED,
    FIELDS,
    REFUSED,
    Envelope,
    Part,
    answer_fields,
    answer_parts,
)
from fedrec.errors import ProtocolError

_log = logging.getLogger(__name__)
_RAW: Final = "fedrec.raw"

app = ClientApp()


@app.query(ACTION)
def private_sum(message: Message, context: Context) -> Message:
    """Answer a question with this device's share, or with one of two fixed refusals."""
    try:
        share = device_of(context.run_config, context.node_config).answer(_asked(message), str(context.run_id))
    except Exception as error:
        _log.warning("no answer to a question: %s", error)
        code, reason = REFUSED if isinstance(error, ProtocolError) else FAILED
        return Message(Error(code, reason), reply_to=message)
    arrays = {name: Array(part.dtype, part.shape, _RAW, part.data) for name, part in answer_parts(share).items()}
    content = RecordDict({FIELDS: ConfigRecord({**answer_fields()}), ARRAYS: ArrayRecord(arrays)})
    return Message(content, reply_to=message)


def _asked(message: Message) -> Envelope:
    content = message.content
    fields, arrays = content.get(FIELDS), content.get(ARRAYS)
    if set(content) != {FIELDS, ARRAYS} or not isinstance(fields, ConfigRecord) or not isinstance(arrays, ArrayRecord):
        raise ProtocolError("a question's records are not the agreed ones", value=sorted(content))
    parts = {name: Part(array.dtype, tuple(array.shape), array.data) for name, array in arrays.items()}
    return Envelope.read(fields, parts)
