"""News is state: the newest of each kind and picture, for readers that come and go."""

import threading

import numpy as np

from denoisert.runtime.events import Admitted, Preview, Stepped
from denoisert.runtime.threads.bell import Bell
from denoisert.runtime.threads.mailbox import Mailbox


def preview(image, step):
    return Preview(image, step, np.full(3, step, np.float32), lambda latent: None)


def read(box, serial=0):
    found = []
    while (entry := box.after(serial)) is not None:
        serial, news = entry
        found.append(news)
    return serial, found


def test_a_reader_that_keeps_up_sees_everything_in_order():
    box, serial, seen = Mailbox(), 0, []
    for news in (Admitted(), Stepped(0, 1, 3), Stepped(1, 1, 3), Stepped(0, 2, 3)):
        box.put(news)
        serial, found = read(box, serial)
        seen += found
    assert seen == [Admitted(), Stepped(0, 1, 3), Stepped(1, 1, 3), Stepped(0, 2, 3)]
    assert box.after(serial) is None


def test_a_slow_reader_sees_the_newest_of_each_picture():
    box = Mailbox()
    box.put(Admitted())
    for step in range(1, 6):
        for image in (0, 1):
            box.put(Stepped(image, step, 5))
            box.put(preview(image, step))
    _, found = read(box)
    assert found[0] == Admitted()
    kinds = [(type(news), news.image, news.step) for news in found[1:]]
    assert kinds == [(Stepped, 0, 5), (Preview, 0, 5), (Stepped, 1, 5), (Preview, 1, 5)]


def test_news_is_read_in_the_order_of_its_last_change():
    box = Mailbox()
    for image in (0, 1, 2):
        box.put(Stepped(image, 1, 9))
    serial, _ = read(box)
    for image in (2, 0, 1):
        box.put(Stepped(image, 2, 9))
    _, found = read(box, serial)
    assert [news.image for news in found] == [2, 0, 1]


def test_two_readers_do_not_take_each_other_anything_away():
    box = Mailbox()
    for step in range(1, 4):
        box.put(Stepped(0, step, 3))
    assert read(box) == read(box)


def test_it_does_not_grow():
    box = Mailbox()
    for step in range(10_000):
        box.put(Stepped(step % 3, step, 10_000))
        box.put(preview(step % 3, step))
    assert len(box._news) == 6


def test_reading_beside_a_writing_thread_loses_no_last_news():
    box, last = Mailbox(), 20_000
    writer = threading.Thread(
        target=lambda: [box.put(Stepped(step % 5, step, last)) for step in range(last + 1)]
    )
    writer.start()
    serial, steps = 0, []
    while not steps or steps[-1] < last:
        entry = box.after(serial)
        if entry is not None:
            serial, news = entry
            steps.append(news.step)
    writer.join(10)
    assert steps == sorted(set(steps))


def test_a_bell_may_be_shared():
    bell = Bell()
    assert Mailbox(bell).bell is bell
    assert Mailbox().bell is not Mailbox().bell
