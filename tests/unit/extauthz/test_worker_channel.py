from __future__ import annotations

import asyncio
import socket

import pytest

from extauthz.workers.channel import Asking, Channel, Gone, Message


async def pair() -> tuple[Asking, Channel]:
    ours, theirs = socket.socketpair()
    return Asking(await Channel.over(ours)), await Channel.over(theirs)


async def test_each_question_gets_its_answer_in_whichever_order() -> None:
    asking, worker = await pair()
    asked = [asyncio.create_task(asking.ask("prepare", {"more": n}, bytes([n]) * 100_000)) for n in range(3)]
    questions = [await worker.receive() for _ in asked]
    for question in reversed(questions):
        head = {"number": question.head["number"], "of": question.head["more"]}
        worker.send(Message(head, question.body))
    answers = await asyncio.gather(*asked)
    await worker.close()
    await asking.close()

    assert [answer.head["of"] for answer in answers] == [0, 1, 2]
    assert [answer.body for answer in answers] == [bytes([n]) * 100_000 for n in range(3)]


async def test_who_waits_for_an_answer_hears_of_the_others_end() -> None:
    asking, worker = await pair()
    waiting = asyncio.create_task(asking.ask("ping", {}, b""))
    await worker.receive()
    await worker.close()

    with pytest.raises(Gone):
        await waiting
    with pytest.raises(Gone):
        await asking.ask("ping", {}, b"")
    await asking.close()


async def test_an_answer_that_nobody_waits_for_any_more_disturbs_no_other() -> None:
    asking, worker = await pair()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asking.ask("ping", {}, b""), 0.01)
    late = await worker.receive()
    worker.send(Message({"number": late.head["number"], "late": True}))
    again = asyncio.create_task(asking.ask("ping", {}, b""))
    worker.send(Message({"number": (await worker.receive()).head["number"], "late": False}))

    assert (await again).head["late"] is False
    await worker.close()
    await asking.close()


async def test_what_is_sent_after_the_end_is_no_error_of_another_kind() -> None:
    asking, worker = await pair()
    await worker.close()
    # What was seen first, the end or the question, is a matter of the loop: both are told alike.
    for _ in range(50):
        with pytest.raises(Gone):
            await asking.ask("ping", {}, b"")
        await asyncio.sleep(0)
    await asking.close()
