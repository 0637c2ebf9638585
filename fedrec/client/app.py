"""The device's Flower app: a request and an answer, or six exchanges of secure aggregation; one way out for both.

Whatever goes wrong on a device stays on it: Flower would send an exception's text to the server, so none gets that far.
Every answer, refusals too, waits for its time (`fedrec.client.answer_time`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from fedrec.client.answer_time import DEFAULT, AnswerSchedule
from fedrec.client.device import Device, device_of
from fedrec.client.installed_code import refuse_sent_code
from fedrec.client.secure_device import answer_exchange
from fedrec.errors import BudgetExceededError, ConfigError, ProtocolError
from fedrec.message_records import from_records, to_records
from fedrec.queries.secure_wire import Exchange, Invitation, message_fields, message_parts, read_message
from fedrec.queries.wire import (
    ACTION,
    FAILED,
    REFUSED,
    Envelope,
    Part,
    answer_fields,
    answer_parts,
)

_log = logging.getLogger(__name__)
_Fields = Mapping[str, str | int]
_Answer = Callable[[Device, str], tuple[_Fields, Mapping[str, Part]]]

app = ClientApp()


@app.query(ACTION)
def private_sum(message: Message, context: Context) -> Message:
    """Answer a request with this device's share, or with one of two fixed refusals."""

    def share(device: Device, run: str) -> tuple[_Fields, Mapping[str, Part]]:
        return answer_fields(), answer_parts(device.answer(Envelope.read(*from_records(message.content)), run))

    return _reply(message, context, share)


@app.query(Exchange.ADVERTISE.value)
def advertise(message: Message, context: Context) -> Message:
    """Exchange 1 of a secure sum: a request, answered with fresh keys."""
    return _exchange(message, context, Exchange.ADVERTISE)


@app.query(Exchange.SHARE.value)
def share(message: Message, context: Context) -> Message:
    """Exchange 2: the cohort's keys, answered with sealed shares of secrets."""
    return _exchange(message, context, Exchange.SHARE)


@app.query(Exchange.CHECK.value)
def check(message: Message, context: Context) -> Message:
    """Exchange 3: sealed shares, answered with which of them do not open."""
    return _exchange(message, context, Exchange.CHECK)


@app.query(Exchange.MASK.value)
def mask(message: Message, context: Context) -> Message:
    """Exchange 4: who goes on, answered with the masked contribution."""
    return _exchange(message, context, Exchange.MASK)


@app.query(Exchange.CONFIRM.value)
def confirm(message: Message, context: Context) -> Message:
    """Exchange 5, of a few devices: the survivors, answered with a signature of their list."""
    return _exchange(message, context, Exchange.CONFIRM)


@app.query(Exchange.UNMASK.value)
def unmask(message: Message, context: Context) -> Message:
    """Exchange 6: the survivors, signed for, answered with shares that take the masks off their sum."""
    return _exchange(message, context, Exchange.UNMASK)


def _exchange(message: Message, context: Context, exchange: Exchange) -> Message:
    def said(device: Device, run: str) -> tuple[_Fields, Mapping[str, Part]]:
        found = from_records(message.content)
        asked = Invitation.read(*found) if exchange is Exchange.ADVERTISE else read_message(*found)
        return message_fields(), message_parts(answer_exchange(device, exchange, run, asked))

    return _reply(message, context, said)


def _reply(message: Message, context: Context, answer: _Answer) -> Message:
    schedule = _schedule(context)
    arrived = schedule.clock()
    reply = _answered(message, context, answer)
    schedule.wait(arrived)
    return reply


def _schedule(context: Context) -> AnswerSchedule:
    try:
        return AnswerSchedule.of(context.node_config)
    except ConfigError as error:
        _log.error("%s; it answers after %g", error, DEFAULT)
        return AnswerSchedule(DEFAULT)


def _answered(message: Message, context: Context, answer: _Answer) -> Message:
    try:
        refuse_sent_code(context.node_config)
        device = device_of(context.run_config, context.node_config)
        fields, parts = answer(device, device.device_context.run_name(context.run_id))
    except Exception as error:
        _log.warning("no answer to a request: %s", error)
        code, reason = REFUSED if isinstance(error, ProtocolError | BudgetExceededError) else FAILED
        return Message(Error(code, reason), reply_to=message)
    content = to_records(fields, parts)
    return Message(content, reply_to=message)
