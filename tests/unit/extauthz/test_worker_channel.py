from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

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


def test_what_is_asked_at_the_end_is_told_as_the_end() -> None:
    """On the loop that extauthz runs on: it refuses in its own words what is written after the other's end."""

    async def end_at(turns: int) -> None:
        ours, theirs = socket.socketpair()
        asking = Asking(await Channel.over(ours))
        unread = asyncio.create_task(asking.ask("ping", {}, b""))
        await asyncio.sleep(0)
        theirs.close()
        # Whichever is seen first: the end, the error of the unread question, or the next one.
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(4):
            with pytest.raises(Gone):
                await asking.ask("ping", {}, b"")
        with pytest.raises(Gone):
            await unread
        await asking.close()

    for turns in range(8):
        uvloop.run(end_at(turns))
