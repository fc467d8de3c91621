"""The office's part of the console: mail that was kept aside, deliveries, keys, webhooks and the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Dialog, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.api import Api, Server
from tests.helpers.axe import problems_in_both_themes
from tests.helpers.console import admin_at, with_answers_lost
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.webhook_receiver import WITHIN, receiver

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def server_settings(smtp: MailServer) -> dict[str, str]:
    mail = {"notify": "true", "smtp_url": smtp.url, "mail_from": "Callout <support@callout.test>"}
    return {"webhooks": "true", "webhook_private_hosts": "allow", "webhook_retry_seconds": "0.05"} | mail


@pytest.fixture
async def ann(browser: Browser, server: Server) -> AsyncIterator[Page]:
    async with admin_at(browser, server, "Ann Admin", permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


async def agree(dialog: Dialog) -> None:
    await dialog.accept()


async def new_message(api: Api, subject: str, text: str = "It beeps.") -> str:
    """Receives a message without a usable sender, which is kept aside. Returns its id."""
    raw = f"From: nobody\r\nTo: support@callout.test\r\nSubject: {subject}\r\n\r\n{text}"
    payload = await api.done("inboundEmailIngest", "outcome", message={"text": raw})
    assert payload["outcome"] == "KEPT_ASIDE"
    found = await api("{ inboundMessages(first: 1) { nodes { id subject } } }")
    (message,) = found["inboundMessages"]["nodes"]
    assert message["subject"] == subject
    return str(message["id"])


async def ticket_of(api: Api, message: str) -> Any:
    document = """query($id: ID!) { node(id: $id) { ... on InboundMessage { outcome ticket {
      reference contact { email } notes { nodes { body } } } } } }"""
    return (await api(document, id=message))["node"]["ticket"]


async def test_mail_that_was_kept_aside_becomes_a_ticket_or_a_note_or_is_discarded(ann: Page, api: Api) -> None:
    ticket = await api.new_ticket(subject="Panel at the dentist's")
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket))["ticket"]["reference"]
    spam = await new_message(api, "Ten cameras for the price of one")
    overtaken = await new_message(api, "A colleague is faster")
    note = await new_message(api, "The panel again", "Now it is silent.")
    hostile = await new_message(
        api, "Gate does not open", "<b>Click</b> <img src=x onerror=alert(1)> http://bad.example"
    )

    await ann.goto("/tickets")
    await ann.get_by_role("link", name="Inbox").click()
    await expect(ann.get_by_text("4 messages", exact=True)).to_be_visible()
    await ann.get_by_role("link", name="Gate does not open").click()
    await expect(ann.get_by_text("The From header must contain exactly one address.")).to_be_visible()
    await expect(ann.get_by_text("<b>Click</b> <img src=x onerror=alert(1)> http://bad.example")).to_be_visible()
    await expect(ann.get_by_role("link", name="bad.example")).to_have_count(0)
    await ann.get_by_text("As it arrived").click()
    await expect(ann.get_by_text("From: nobody")).to_be_visible()
    async with ann.expect_download() as download:
        await ann.get_by_role("link", name="Save as text").click()
    assert (await download.value).suggested_filename == f"{hostile}.txt"
    await ann.get_by_role("button", name="Accept").click()
    await expect(ann.get_by_label("Writer's address")).to_have_attribute("aria-invalid", "true")
    await ann.get_by_label("Writer's address").fill("gate@elm.example")
    await ann.reload()
    await expect(ann.get_by_label("Writer's address")).to_have_value("gate@elm.example")
    await ann.get_by_role("button", name="Accept").click()
    await expect(ann.get_by_role("status").get_by_text("The message was accepted.")).to_be_visible()
    made = await ticket_of(api, hostile)
    assert made["contact"]["email"] == "gate@elm.example"
    await expect(ann.get_by_role("link", name=made["reference"])).to_be_visible()
    await expect(ann.get_by_role("button", name="Discard")).to_have_count(0)

    await ann.goto(f"/inbox/{note}")
    await ann.get_by_label("Ticket").fill("TKT-000000")
    await ann.get_by_role("button", name="Accept").click()
    await expect(ann.get_by_text("There is no such ticket.")).to_be_visible()
    await ann.get_by_label("Ticket").fill("dentist")
    await expect(ann.locator("datalist option")).to_have_text("Panel at the dentist's · John Smith")
    await ann.get_by_label("Ticket").fill(reference)
    await ann.get_by_role("button", name="Accept").click()
    await expect(ann.get_by_text("Became a note")).to_be_visible()
    assert [one["body"] for one in (await ticket_of(api, note))["notes"]["nodes"]] == ["Now it is silent."]

    await ann.goto(f"/inbox/{overtaken}")
    await ann.get_by_label("Ticket").fill(reference)
    await api.done("inboundMessageDiscard", "__typename", inboundMessageId=overtaken)
    await ann.get_by_role("button", name="Accept").click()
    await expect(ann.get_by_role("status").get_by_text("A colleague has decided meanwhile")).to_be_visible()
    await expect(ann.get_by_text("Discarded", exact=True)).to_be_visible()

    await ann.goto("/inbox")
    ann.on("dialog", agree)
    await ann.get_by_role("checkbox", name="Select: Ten cameras for the price of one").check()
    await ann.get_by_role("button", name="Discard the selected").click()
    await expect(ann.get_by_text("Done for 1.")).to_be_visible()
    await ann.get_by_role("combobox", name="Outcome").select_option("Discarded")
    await expect(ann).to_have_url(f"{api.server.url}/inbox?outcome=discarded")
    await expect(ann.locator(f'a[href="/inbox/{spam}"]')).to_be_visible()
    await expect(ann.get_by_text("2 messages", exact=True)).to_be_visible()


async def test_deliveries_that_failed_are_found_and_sent_again(ann: Page, api: Api, smtp: MailServer) -> None:
    smtp.replies["RCPT"] = "550 5.1.1 No such mailbox"
    for name in ("one", "two", "three"):
        customer = await api.new_customer(email=f"{name}@office.example")
        await api.new_ticket(customerId=customer, subject=f"Ticket {name}")
    await ann.goto("/deliveries?recipient=three@office.example")
    await expect(ann.locator(".delivery-row")).to_contain_text("Failed")  # the page reads it until it has
    await expect(ann.locator(".delivery-row")).to_contain_text("No such mailbox")
    await ann.get_by_role("link", name="Clear the filters").click()
    await ann.get_by_role("combobox", name="State").select_option("Failed")
    await ann.get_by_role("combobox", name="Channel").select_option("E-mail")
    await expect(ann).to_have_url(f"{api.server.url}/deliveries?state=dead&channel=email")
    await expect(ann.locator(".delivery-row")).to_have_count(3)

    smtp.replies.clear()
    await ann.get_by_role("button", name="Send again: Ticket created to one@office.example").click()
    one = ann.locator(".delivery-row", has_text="one@office.example")
    await expect(one).to_contain_text("Sent")
    await expect(one.get_by_role("link", name="TKT-")).to_be_visible()
    await ann.get_by_role("button", name="Select all (2)").click()
    await expect(ann.get_by_text("2 selected")).to_be_visible()
    await ann.get_by_role("checkbox", name="Select: Ticket created to two@office.example").uncheck()
    await ann.get_by_role("button", name="Send the selected again").click()
    await expect(ann.get_by_text("Done for 1.")).to_be_visible()
    await expect(ann.locator(".delivery-row", has_text="three@office.example")).to_contain_text("Sent")
    await ann.reload()
    await expect(ann.locator(".delivery-row")).to_have_count(1)
    await ann.get_by_role("link", name="Ticket created").click()
    await expect(ann.get_by_text("550 5.1.1 No such mailbox")).to_be_visible()
    await ann.get_by_role("button", name="Send again: Ticket created to two@office.example").click()
    await expect(ann.locator(".facts")).to_contain_text("Sent")
    sent = [mail.recipients[0] for mail in smtp.received if mail.recipients[0].endswith("@office.example")]
    assert sent == ["one@office.example", "three@office.example", "two@office.example"]


async def test_the_audit_trail_is_read_in_words(ann: Page, api: Api) -> None:
    customer = await api.new_customer(name="Elm Dental", email="desk@elm.example")
    for number in range(51):
        await api.done("customerUpdate", "__typename", customerId=customer, email=f"desk{number}@elm.example")
    await ann.goto("/audit")
    newest = ann.get_by_role("article").first
    await expect(newest).to_contain_text("The Boss changed the customer")
    await expect(newest).to_contain_text(
        "Email: from “\u2068desk49@elm.example\u2069” to “\u2068desk50@elm.example\u2069”"
    )
    await newest.get_by_role("link", name="Its changes").click()
    await expect(ann).to_have_url(f"{api.server.url}/audit?object={customer}")
    await expect(ann.get_by_text("52 changes", exact=True)).to_be_visible()
    await expect(ann.get_by_role("article")).to_have_count(50)
    await ann.get_by_role("button", name="Show more").click()
    await expect(ann.get_by_role("article")).to_have_count(52)
    await ann.get_by_role("combobox", name="What was done").select_option("created")
    await expect(ann.get_by_role("article")).to_have_count(1)
    await expect(ann.get_by_role("article")).to_contain_text("The Boss created the customer Elm Dental")
    await ann.get_by_label("To", exact=True).fill("2020-01-01")
    await expect(ann.get_by_text("Choose other filters.")).to_be_visible()
    await expect(ann).to_have_url(f"{api.server.url}/audit?action=created&object={customer}&until=2020-01-01")
    await ann.go_back()
    await expect(ann.get_by_label("To", exact=True)).to_have_value("")
    await ann.get_by_role("link", name="Show it").click()
    await expect(ann.get_by_role("heading", level=1)).to_have_text("Elm Dental")


async def test_an_api_key_is_shown_once_changed_and_revoked(ann: Page, api: Api) -> None:
    await ann.goto("/keys")
    await ann.get_by_role("link", name="New API key").click()
    await ann.get_by_label("Stops working on").fill("2020-01-01")
    await ann.get_by_role("button", name="Create the key").click()
    await expect(ann.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    await expect(ann.get_by_label("Stops working on")).to_have_attribute("aria-invalid", "true")
    await ann.get_by_label("Name").fill("Website")
    await ann.get_by_label("Stops working on").fill("2099-01-01")
    await ann.get_by_role("button", name="Create the key").click()
    await expect(ann.get_by_text("It is shown only this once")).to_be_visible()
    secret = await ann.get_by_label("API key").input_value()
    await ann.get_by_role("button", name="Copy").click()
    await expect(ann.get_by_role("status").get_by_text("Copied")).to_be_visible()
    assert await ann.evaluate("navigator.clipboard.readText()") == secret
    assert await problems_in_both_themes(ann) == []
    async with api.with_token(secret) as website:
        assert (await website("{ me { role } }"))["me"]["role"] == "SERVICE"
        await ann.get_by_role("button", name="I have stored it").click()
        await expect(ann.get_by_label("Stops working on")).to_have_value("2099-01-01")
        await expect(ann.get_by_text(secret)).to_have_count(0)
        await ann.get_by_label("Name").fill("Website and app")
        await ann.get_by_role("button", name="Save").click()
        await expect(ann.get_by_role("heading", level=1)).to_have_text("Website and app")
        ann.on("dialog", agree)
        await ann.get_by_role("button", name="Revoke the key").click()
        await expect(ann.get_by_role("button", name="Revoke the key")).to_have_count(0)
    (key,) = (await api("{ apiKeys(first: 1) { nodes { name revokedAt } } }"))["apiKeys"]["nodes"]
    assert key["name"] == "Website and app"
    assert key["revokedAt"] is not None
    await ann.get_by_role("link", name="Keys").click()
    await expect(ann.get_by_role("link", name="Website and app")).to_contain_text("Revoked")


async def test_a_key_whose_answer_was_lost_is_to_be_revoked(ann: Page) -> None:
    await ann.goto("/keys/new")
    await ann.get_by_label("Name").fill("Lost on its way")
    async with with_answers_lost(ann, "apiKeyCreate"), ann.expect_event("requestfailed"):
        await ann.get_by_role("button", name="Create the key").click()
    await expect(ann.get_by_role("alert")).to_contain_text("Revoke it, and create another.")
    await ann.get_by_role("link", name="To the key").click()
    await expect(ann.get_by_role("button", name="Revoke the key")).to_be_visible()


async def test_a_webhook_is_created_tried_sent_back_resumed_and_deleted(ann: Page, api: Api) -> None:
    ann.on("dialog", agree)
    with receiver() as hook:
        await ann.goto("/keys")
        await ann.get_by_role("link", name="Webhooks").click()
        await ann.get_by_role("link", name="New webhook").click()
        document = await ann.get_by_label("Document").input_value()
        await ann.get_by_label("URL").fill("ftp://hook.example")
        await ann.get_by_label("Document").fill("")
        await ann.get_by_role("button", name="Create the webhook").click()
        await expect(ann.get_by_label("URL")).to_have_attribute("aria-invalid", "true")
        await expect(ann.get_by_label("Document")).to_have_attribute("aria-invalid", "true")
        await ann.get_by_label("URL").fill(hook.url)
        await ann.get_by_label("Document").fill("query { me { role } }")
        await ann.get_by_role("button", name="Create the webhook").click()
        await expect(ann.get_by_label("URL")).not_to_have_attribute("aria-invalid", "true")
        await expect(ann.get_by_label("Document")).to_have_attribute("aria-invalid", "true")
        await expect(ann.locator(".error")).to_contain_text("subscription")
        await ann.get_by_label("Document").fill(document)
        await ann.get_by_role("button", name="Create the webhook").click()
        hook.secret = await ann.get_by_label("Secret that signs the messages").input_value()
        await ann.get_by_role("button", name="I have stored it").click()
        await expect(ann.get_by_role("heading", level=1)).to_have_text(hook.url)

        await ann.get_by_role("button", name="Send a test").click()
        await expect(ann.get_by_role("listitem").filter(has_text="Test · attempt 1")).to_contain_text("Acknowledged")
        for subject in ("First", "Second"):
            await api.new_ticket(subject=subject)
        await asyncio.to_thread(hook.wait, lambda: len(hook.taken) == 3)
        await ann.reload()
        first = ann.get_by_role("listitem").filter(has_text="Event").last
        await first.get_by_role("button", name="Send what came after it again").click()
        await asyncio.to_thread(hook.wait, lambda: len(hook.taken) == 4)
        assert [got.data["ticket"]["subject"] for got in hook.taken[1:]] == ["First", "Second", "Second"]

        hook.answer = lambda got: 410
        await api.new_ticket(subject="Third")
        await asyncio.to_thread(hook.wait, lambda: len(hook.got) == 5)
        await suspended(api)
        await ann.reload()
        await expect(ann.get_by_text("The receiver has answered that it is gone for good.")).to_be_visible()
        hook.answer = lambda got: 204
        await ann.get_by_role("button", name="Resume").click()
        await asyncio.to_thread(hook.wait, lambda: len(hook.taken) == 5)
        await expect(ann.get_by_role("button", name="Resume")).to_have_count(0)
        assert hook.unsigned == []

        old = hook.secret
        await ann.get_by_text("Secret", exact=True).click()
        await ann.get_by_label("The previous one signs too").select_option("no more: it has become known to others")
        await ann.get_by_role("button", name="Give it another secret").click()
        hook.secret = await ann.get_by_label("Secret that signs the messages").input_value()
        assert hook.secret != old
        await ann.get_by_role("button", name="I have stored it").click()
        await ann.get_by_role("button", name="Send a test").click()
        await expect(ann.get_by_role("listitem").filter(has_text="Test")).to_have_count(2)
        assert hook.unsigned == []
        await ann.get_by_role("button", name="Delete the webhook").click()
        await expect(ann.get_by_text("No other system hears of changes yet")).to_be_visible()


async def suspended(api: Api) -> None:
    """Waits until the newest webhook is suspended."""
    async with asyncio.timeout(WITHIN):
        while True:
            (webhook,) = (await api("{ webhooks(first: 1) { nodes { state } } }"))["webhooks"]["nodes"]
            if webhook["state"] == "SUSPENDED":
                return
            await asyncio.sleep(0.05)


async def test_no_page_has_a_barrier(ann: Page, api: Api) -> None:
    message = await new_message(api, "Is this readable?")
    await api.new_ticket(customerId=await api.new_customer())
    key = (await api.done("apiKeyCreate", "apiKey { id }", name="Readable"))["apiKey"]["id"]
    document = "subscription { ticketChanged { __typename } }"
    given = {"url": "https://hook.example", "document": document}
    webhook = (await api.done("webhookCreate", "webhook { id }", **given))["webhook"]["id"]
    delivery = (await api("{ deliveries(first: 1) { nodes { id } } }"))["deliveries"]["nodes"][0]["id"]
    for path, text in (
        ("/inbox", "Is this readable?"),
        (f"/inbox/{message}", "Writer's address"),
        ("/deliveries", "TKT-"),
        (f"/deliveries/{delivery}", "Notified as"),
        ("/audit", "created the customer"),
        ("/keys", "Readable"),
        ("/keys/new", "Create the key"),
        (f"/keys/{key}", "Revoke the key"),
        ("/keys/webhooks", "hook.example"),
        ("/keys/webhooks/new", "Create the webhook"),
        (f"/keys/webhooks/{webhook}", "Nothing has been posted yet"),
    ):
        await ann.goto(path)
        await ann.get_by_text(text).first.wait_for()
        assert await problems_in_both_themes(ann) == []
