"""The guide's sentences that are about several people, or pages, at once; the tests of each page have the others.

An admin sits at a desk, a technician has a phone, and a customer has the portal.
"""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from callout.http.console import DIRECTORY, MANIFEST
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.console import PHONE, admin_at, person_at
from tests.helpers.database_checks import key
from tests.helpers.inbound_mail import SERVER, Pipe, environment, message, received

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds")

PRIORITIES = {
    "Low": "Minor issue, no rush",
    "Medium": "Standard priority",
    "High": "Needs prompt attention",
    "Urgent": "Critical: system down or security breach",
}


def notified(page: Page, what: str, whom: str) -> Locator:
    """The notification about this, to this person, in the list on a ticket's page."""
    return page.get_by_role("listitem").filter(has_text=what).filter(has_text=whom)


async def test_a_ticket_from_its_creation_to_the_knowledge_base(browser: Browser, server: Server, api: Api) -> None:
    customer = await api.new_customer(name="John Smith", email="john@guide.example", phone="613-555-1234")
    await api.new_property(customer, address="12 Elm Street, Ottawa", accountNumber="G-2001")
    technician = await api.new_technician(name="Tess Tremblay", email="tess@guide.example")
    await api.done(
        "supportSettingsUpdate",
        "__typename",
        adminRecipients=["desk@guide.example"],
        googleChatWebhookUrl="https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t",
        googleChatEnabled=True,
    )
    async with (
        admin_at(browser, server, "Ann Admin") as ann,
        person_at(browser, server, Role.TECHNICIAN, key(technician), **PHONE) as tess,
        person_at(browser, server, Role.CUSTOMER, key(customer)) as john,
    ):
        await tess.goto("/tech")
        await expect(tess.get_by_text("Nothing to do at the moment")).to_be_visible()
        await john.goto("/portal")

        # Click the New Ticket button in the ticket list to open the ticket creation form.
        await ann.goto("/customers")
        await ann.get_by_role("navigation", name="Main").get_by_role("link", name="Tickets").click()
        await ann.get_by_role("link", name="New Ticket").click()
        await ann.get_by_role("combobox", name="Customer Search").fill("john smith")
        await ann.get_by_role("option", name="John Smith").click()
        await ann.get_by_label("Property").select_option("12 Elm Street, Ottawa (G-2001)")
        await ann.get_by_label("Subject").fill("Alarm panel beeping after power outage")
        await ann.get_by_label("Description").fill("The display shows a low battery warning.")
        for priority, meaning in PRIORITIES.items():
            await ann.get_by_label("Priority").select_option(priority)
            await expect(ann.get_by_label("Priority")).to_have_accessible_description(meaning)
        await ann.get_by_label("Priority").select_option("Medium")
        await ann.get_by_role("button", name="Create Ticket").click()

        # Every ticket has a unique reference number that customers can use to track their issue.
        await expect(ann.get_by_role("heading", level=1)).to_have_text("Alarm panel beeping after power outage")
        reference = ann.url.rpartition("/")[2]
        assert re.fullmatch(r"TKT-[A-Z0-9]{6}", reference)
        await expect(ann.locator("dd").filter(has_text="by an admin")).to_be_visible()
        await expect(john.get_by_role("link", name="Alarm panel beeping")).to_contain_text(reference)
        await john.goto(f"/portal/tickets/{reference}")
        await expect(john.get_by_text("We have your request")).to_be_visible()

        # The system sends email notifications to the admin and the customer, and a Google Chat notification.
        await ann.get_by_text("Notifications", exact=True).click()
        for whom in ("desk@guide.example", "john@guide.example", "Google Chat"):
            await expect(notified(ann, "Ticket created", whom)).to_be_visible()

        # Triaged: the admin sets the priority and category, and assigns it; "Unassigned" removes the assignment.
        await ann.get_by_label("Priority").select_option("High")
        await ann.get_by_label("Category").select_option("Alarm")
        await ann.get_by_label("Assign To").select_option("Tess Tremblay")
        await expect(notified(ann, "Assigned", "tess@guide.example")).to_be_visible()
        await expect(notified(ann, "Assigned", "Google Chat")).to_be_visible()
        await expect(tess.get_by_role("link", name="Alarm panel beeping")).to_be_visible()
        await ann.get_by_label("Assign To").select_option("Unassigned")
        await expect(tess.get_by_text("Nothing to do at the moment")).to_be_visible()
        await ann.get_by_label("Assign To").select_option("Tess Tremblay")

        # The technician can view the ticket in their Tech Portal, and starts working on it.
        await tess.get_by_role("link", name="Alarm panel beeping").tap()
        await tess.get_by_role("button", name="Accept").tap()
        await tess.get_by_role("button", name="I am on my way").tap()
        await tess.get_by_role("button", name="I am on site").tap()
        await expect(ann.get_by_text("On site")).to_be_visible()
        await ann.get_by_label("Status", exact=True).select_option("In Progress")
        await expect(john.get_by_text("Somebody is working on it.")).to_be_visible()

        # Internal notes are for admins and technicians only; others are visible in the Customer Portal. Each has its
        # author and its time, and cannot be edited or deleted.
        await tess.get_by_label("New note").fill("The battery is flat.")
        await tess.get_by_role("button", name="Add Note").tap()
        note = ann.get_by_role("listitem").filter(has_text="The battery is flat.")
        await expect(note).to_contain_text("Tess Tremblay")
        await expect(note.locator("time")).to_be_visible()
        await expect(note.get_by_role("button")).to_have_count(0)
        notes = ann.get_by_role("region", name="Notes")
        await notes.get_by_label("Internal Only").uncheck()
        await notes.get_by_label("Note Text").fill("We are with you.")
        await notes.get_by_role("button", name="Add Note").click()
        await expect(john.get_by_text("We are with you.")).to_be_visible()
        await expect(tess.get_by_text("We are with you.")).to_be_visible()
        await expect(john.get_by_text("The battery is flat.")).to_have_count(0)

        # Resolved: a resolution is written, and the customer is notified, and can view it in the Customer Portal.
        await tess.get_by_label("What was done?").fill("Replaced backup battery in DSC 1832 panel.")
        await tess.get_by_role("button", name="Mark Resolved").tap()
        await expect(john.get_by_text("Replaced backup battery in DSC 1832 panel.")).to_be_visible()
        await expect(notified(ann, "Resolved", "john@guide.example")).to_be_visible()

        # Closed, after confirmation. Optionally converted to an article, which can then be edited.
        await john.get_by_role("button", name="It works: close the request").click()
        await expect(ann.get_by_label("Status", exact=True).locator("option:checked")).to_have_text("Closed")
        await ann.get_by_role("button", name="Add to Knowledge Base").click()
        await ann.get_by_role("link", name="Edit in the Knowledge Base").click()
        await expect(ann.get_by_label("Problem")).to_have_value("Alarm panel beeping after power outage")
        await expect(ann.get_by_label("Solution")).to_have_value("Replaced backup battery in DSC 1832 panel.")
        await ann.get_by_label("Solution").fill("Replace the backup battery.")
        await ann.get_by_role("button", name="Save").click()
        await expect(ann.get_by_role("status").get_by_text("Saved")).to_be_visible()
        await ann.get_by_role("link", name=reference).click()
        await expect(ann.get_by_role("heading", level=1)).to_have_text("Alarm panel beeping after power outage")


async def test_tickets_of_technicians_the_chatbot_mail_and_customers_say_where_they_come_from(
    browser: Browser, server: Server, api: Api
) -> None:
    async with admin_at(browser, server, "Ann Admin") as ann:
        await ann.goto("/tickets")
        customer, technician = await api.new_customer(), await api.new_technician()
        contact = {"name": "Carl", "email": "carl@guide.example"}
        async with api.technician(technician) as tess, api.service() as bot, api.customer(customer) as john:
            await tess.new_ticket(subject="Found on site", contact=contact)
            await bot.new_ticket(subject="Told the chatbot", contact=contact)
            await john.new_ticket(subject="Asked in the portal", customerId=customer)
        mail = Pipe(
            environment(
                env="production", database_url=server.database_url, jwt_secret="s" * 48, mail_authserv_id=SERVER
            )
        )
        mail.take(received(message(subject="Written in a mail"), "pass"))
        for subject, source in {
            "Found on site": "by a technician",
            "Told the chatbot": "by the chatbot",
            "Asked in the portal": "by the customer",
            "Written in a mail": "by e-mail",
        }.items():
            await ann.get_by_role("link", name=subject).click()
            await expect(ann.locator("dd").filter(has_text=source)).to_be_visible()
            await ann.go_back()
