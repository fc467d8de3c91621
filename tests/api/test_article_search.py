"""The search of articles by whole questions: it weighs words, tolerates typing mistakes, and finds nothing rather than
nonsense."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.helpers.api import Api, Server

ARTICLES = (
    ("Intercom door does not open", "Check the strike. If it takes some time, open the cover and oil the bolt."),
    ("Alarm panel beeping after power outage", "Replace the backup battery and test all zones."),
    ("Camera image is dark at night", "Clean the lens, and check the infrared light."),
    ("Camera shows no picture", "Restart the recorder, and check the network cable."),
    ("Keypad does not accept the code", "Reset it with the master code. Your installer has it."),
    ("Doorbell dead", "Replace it."),
    ("Card reader shows red light", "Enrol the card again."),
    ("How to set the time of the recorder", "Open the menu, then date and time. It takes a minute."),
    ("Gate remote control lost", "Delete the remote, so that nobody else opens the gate."),
    ("Motion detector triggers false alarms", "Lower the sensitivity."),
)

SEARCH = """query($search: String!) { articles(search: $search, first: 50) {
    edges { match score node { problem } } totalCount } }"""


@pytest.fixture(scope="module")
async def chatbot(server: Server) -> AsyncIterator[Api]:
    """A chatbot's client, for which all of the articles are published."""
    async with Api(server) as admin, admin.service() as chatbot:
        for problem, solution in ARTICLES:
            await admin.done("articleCreate", "__typename", problem=problem, solution=solution, published=True)
        yield chatbot


async def edges(viewer: Api, search: str) -> list[dict[str, Any]]:
    found = (await viewer(SEARCH, search=search))["articles"]
    assert found["totalCount"] == len(found["edges"])
    scores = [edge["score"] for edge in found["edges"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    return list(found["edges"])


async def problems(viewer: Api, search: str) -> list[str]:
    return [edge["node"]["problem"] for edge in await edges(viewer, search)]


@pytest.mark.parametrize(
    "question",
    [
        "what time do you open?",
        "What time do you open",
        "When are you open?",
        "what time do you close on sunday",
        "are you open today",
        "what are your opening hours?",
        "when does the office open tomorrow",
        "Where is your office?",
        "where are you located",
        "how much does it cost?",
        "how much does a camera cost",
        "can I pay by card",
        "do you have parking",
        "I want to buy a camera",
        "do you sell remote controls for garages",
        "could you send me an invoice",
        "what's your phone number",
        "can I speak to a human",
        "who won the match yesterday?",
        "what is the weather like today",
        "do you know a good pizza place that is still open at night",
        "hello",
        "thank you very much!",
        "please help me, I have a question",
        "I need help now",
        "tme opne",
        "what tme do you opne",
        "?!",
        "the and of",
        "x",
    ],
)
async def test_a_question_about_something_else_finds_nothing(chatbot: Api, question: str) -> None:
    assert await problems(chatbot, question) == []


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("my intercmo dor does not open", 0),
        ("the door of my garage does not open, please help", 0),
        ("does not open", 0),
        ("open", 0),
        ("my intercom is broken and I really need help please", 0),
        ("can you fix my intercom", 0),
        ("do you know why the intercom buzzes", 0),
        ("could you please tell me why the alarm panel beeps", 1),
        ("alram beepng", 1),
        ("is the battery low?", 1),
        ("batery", 1),
        (
            "Hello, since yesterday evening our alarm panel in the kitchen keeps beeping every minute and the kids "
            "cannot sleep, what should I do?",
            1,
        ),
        ("camrea dark", 2),
        ("the camera is dark in the evening", 2),
        ("cameras without a picture", 3),
        ("how do I change the code of the keypad", 4),
        ("keypda code", 4),
        ("dorbell dead", 5),
        ("reader light is red", 6),
        ("recorder time", 7),
        ("I have lost my remote, what now?", 8),
        ("detector triggres alarms", 9),
    ],
)
async def test_a_question_finds_the_article_that_answers_it(chatbot: Api, question: str, best: int) -> None:
    assert (await problems(chatbot, question))[0] == ARTICLES[best][0]


async def test_what_is_found_by_correct_words_comes_before_what_is_found_by_corrected_ones(api: Api) -> None:
    for problem in ("Turnstile jammed", "Bollard trembles loudly"):
        await api.done("articleCreate", "__typename", problem=problem, solution="Call us.")
    for term in ("turnstile jammed bolard trembels", "bolard trembels jammed turnstile"):
        correct, corrected = await edges(api, term)
        assert correct["node"]["problem"] == "Turnstile jammed"
        assert corrected["node"]["problem"] == "Bollard trembles loudly"
        assert correct["score"] > 0.25 > corrected["score"] > 0
    (only,) = await edges(api, "bolard trembels lowdly")
    assert (only["node"]["problem"], only["match"]) == ("Bollard trembles loudly", "SOME_WORDS")


async def test_the_score_says_how_much_of_the_question_an_article_has(api: Api) -> None:
    for problem in ("Sauna heater trips the fuse", "Sauna heater trips", "Sauna heater"):
        await api.done("articleCreate", "__typename", problem=problem, solution="Call us.")
    (everything,) = await edges(api, "sauna heater trips the fuse")
    assert everything["match"] == "ALL_WORDS"
    assert everything["score"] > 0.5
    most, less, *_ = await edges(api, "sauna heater trips the fuse quarterly")
    assert [edge["node"]["problem"] for edge in (most, less)] == ["Sauna heater trips the fuse", "Sauna heater trips"]
    assert everything["score"] > 0.5 > most["score"] > less["score"] > 0.25
    document = "{ articles(first: 1) { edges { score match } } }"
    assert (await api(document))["articles"]["edges"] == [{"score": None, "match": None}]


async def test_a_rare_word_counts_more_than_a_frequent_one(api: Api) -> None:
    for n in range(8):
        await api.done("articleCreate", "__typename", problem=f"Lift no. {n} rattles", solution="Call us.")
    await api.done("articleCreate", "__typename", problem="Escalator squeaks", solution="Call us.")
    assert await problems(api, "lift escalator") == ["Escalator squeaks"]


async def test_unpublished_articles_change_neither_weights_nor_corrections(api: Api) -> None:
    await api.done("articleCreate", "__typename", problem="Hydrant leaks", solution="Call us.", published=True)
    async with api.service() as chatbot:
        terms = ("hydrant valve", "hydrant leeks", "hydrnat", "hydrants valve gasket")
        before = [await edges(chatbot, term) for term in terms]
        assert [len(found) for found in before] == [1, 1, 1, 0]
        for n in range(5):
            problem = f"Hydrant hydrnat valve leeks gasket {n}"
            await api.done("articleCreate", "__typename", problem=problem, solution="Secret.", published=False)
        assert [await edges(chatbot, term) for term in terms] == before
        assert len(await edges(api, "hydrant valve")) == 5


HOSTILE = ("'; DROP TABLE articles; --", "a & b | !c :* <-> (d", "\\m(", "%_", "é" * 200, "a-b " * 50, "' ':A \\")


@pytest.mark.parametrize("term", HOSTILE)
async def test_a_hostile_term_is_only_text(chatbot: Api, term: str) -> None:
    assert await problems(chatbot, term) == []


async def test_a_long_term_of_many_known_words_is_answered(chatbot: Api) -> None:
    words = " ".join(f"{problem} {solution}" for problem, solution in ARTICLES)
    assert await problems(chatbot, words[:200])
