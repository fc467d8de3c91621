"""The demo company, as data: its customers and technicians, and the story of each ticket.

It is a security-systems company in Ottawa. Times are relative: a story began some days ago, and each of its steps
happened some hours after the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

OFFICE: Final = "office"
"""The actor of steps that no technician takes: the demo's admin."""


@dataclass(frozen=True)
class DemoCustomer:
    account: str
    name: str
    email: str
    phone: str | None
    properties: tuple[tuple[str, str], ...]  # address, account number


@dataclass(frozen=True)
class DemoTechnician:
    name: str
    email: str
    phone: str | None
    active: bool = True


@dataclass(frozen=True)
class Step:
    """Something that `by` did, `hours` after the ticket was created: it set columns of the ticket (`changes`), or added
    a `note`."""

    hours: float
    by: str
    kind: str
    changes: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    public: bool = True


@dataclass(frozen=True)
class Story:
    """A ticket, created `days` ago. `customer` is an account number; or a contact without a customer, as (name, e-mail,
    phone). `property_index` is the index of the customer's property."""

    days: float
    source: str
    category: str
    priority: str
    subject: str
    description: str
    customer: str | tuple[str, str, str | None]
    steps: tuple[Step, ...] = ()
    property_index: int | None = 0
    by: str = OFFICE
    chat: tuple[tuple[str, str], ...] = ()
    article: bool | None = None  # whether the article made from it is published; None if there is no article


def assigned(hours: float, technician: str, by: str = OFFICE) -> Step:
    return Step(hours, by, "ASSIGNED", {"technician": technician})


def unassigned(hours: float) -> Step:
    return Step(hours, OFFICE, "UNASSIGNED", {"technician": None})


def raised(hours: float, priority: str) -> Step:
    return Step(hours, OFFICE, "UPDATED", {"priority": priority})


def started(hours: float, by: str) -> Step:
    return Step(hours, by, "STATUS_CHANGED", {"status": "IN_PROGRESS"})


def noted(hours: float, by: str, body: str) -> Step:
    """An internal note."""
    return Step(hours, by, "NOTE_ADDED", note=body, public=False)


def public_note(hours: float, by: str, body: str) -> Step:
    """A public note, which the customer sees."""
    return Step(hours, by, "NOTE_ADDED", note=body)


def resolved(hours: float, by: str, resolution: str) -> Step:
    return Step(hours, by, "RESOLVED", {"status": "RESOLVED", "resolution": resolution})


def closed(hours: float, by: str = OFFICE) -> Step:
    return Step(hours, by, "CLOSED", {"status": "CLOSED"})


def reopened(hours: float, by: str = OFFICE) -> Step:
    return Step(hours, by, "REOPENED", {"status": "IN_PROGRESS", "resolution": None})


MARTA, DEV, LUC, AMINA, PETER = (
    "Marta Kowalska",
    "Dev Patel",
    "Luc Tremblay",
    "Amina Hassan",
    "Peter Novak",
)

TECHNICIANS: Final = (
    DemoTechnician(MARTA, "marta.kowalska@callout.example", "613-555-0111"),
    DemoTechnician(DEV, "dev.patel@callout.example", "613-555-0112"),
    DemoTechnician(LUC, "luc.tremblay@callout.example", "613-555-0113"),
    DemoTechnician(AMINA, "amina.hassan@callout.example", None),
    DemoTechnician(PETER, "peter.novak@callout.example", "613-555-0115", active=False),
)

CUSTOMERS: Final = (
    DemoCustomer(
        "A-1042",
        "John Smith",
        "john@example.com",
        "613-555-1234",
        (("14 Birch Street, Ottawa", "P-1042-1"), ("3 Lakeview Lane, Perth (cottage)", "P-1042-2")),
    ),
    DemoCustomer(
        "A-1051",
        "Rideau Dental Clinic",
        "frontdesk@rideaudental.example",
        "613-555-2210",
        (("220 Rideau Street, Suite 3, Ottawa", "P-1051-1"), ("18 Main Street, Manotick", "P-1051-2")),
    ),
    DemoCustomer(
        "A-1063",
        "Northgate Logistics",
        "facilities@northgate.example",
        "613-555-7700",
        (
            ("2750 Sheffield Road, Warehouse A, Ottawa", "P-1063-1"),
            ("2752 Sheffield Road, Warehouse B, Ottawa", "P-1063-2"),
            ("90 Industrial Avenue, Truck Yard, Ottawa", "P-1063-3"),
        ),
    ),
    DemoCustomer(
        "A-1077",
        "Hélène Gagnon",
        "helene.gagnon@example.com",
        "819-555-4410",
        (("77 rue Laval, Gatineau", "P-1077-1"),),
    ),
    DemoCustomer(
        "A-1088",
        "Maple Court Condominiums",
        "manager@maplecourt.example",
        "613-555-3141",
        (
            ("400 Maple Court, Tower 1, Ottawa", "P-1088-1"),
            ("402 Maple Court, Tower 2, Ottawa", "P-1088-2"),
            ("404 Maple Court, Parking Garage, Ottawa", "P-1088-3"),
        ),
    ),
    DemoCustomer(
        "A-1090",
        "Priya Sharma",
        "priya.sharma@example.com",
        "613-555-9021",
        (("9 Fernbank Crescent, Kanata", "P-1090-1"),),
    ),
    DemoCustomer(
        "A-1104",
        "Byward Jewellers",
        "owner@bywardjewellers.example",
        "613-555-6001",
        (("55 York Street, Ottawa", "P-1104-1"),),
    ),
    DemoCustomer(
        "A-1119",
        "St. Mary's School",
        "office@stmarys.example",
        "613-555-8080",
        (("1200 Prince of Wales Drive, Ottawa", "P-1119-1"), ("1202 Prince of Wales Drive, Gymnasium", "P-1119-2")),
    ),
    DemoCustomer(
        "A-1123", "Omar Haddad", "omar.haddad@example.com", None, (("31 Elgin Street, Apt. 1204, Ottawa", "P-1123-1"),)
    ),
    DemoCustomer(
        "A-1136",
        "Kanata Medical Storage",
        "security@kms.example",
        "613-555-4747",
        (("5 Hearst Way, Kanata", "P-1136-1"), ("7 Hearst Way, Cold Store, Kanata", "P-1136-2")),
    ),
    DemoCustomer(
        "A-1148", "Grace Okafor", "grace.okafor@example.com", "613-555-3308", (("640 Bank Street, Ottawa", "P-1148-1"),)
    ),
    DemoCustomer("A-1150", "Tom MacDonald", "tom.macdonald@example.com", "613-555-2929", ()),
)

STORIES: Final = (
    Story(
        0.08,
        "CUSTOMER",
        "ALARM",
        "HIGH",
        "Alarm panel beeping after power outage",
        "Our DSC alarm panel has been beeping now and then since the power outage last night. The display shows a low"
        " battery warning. Panel model: DSC 1832. I have tried to silence it at the keypad; it starts again after an"
        " hour.",
        "A-1042",
    ),
    Story(
        0.2,
        "CHATBOT",
        "CCTV",
        "MEDIUM",
        "Front entrance camera offline since this morning",
        'The camera over the front entrance shows "No signal" in the app since about 7:30. The other five are fine. '
        "Unplugging the injector did not help.",
        "A-1051",
        chat=(
            ("CUSTOMER", "Hi, one of our cameras is gone."),
            ("BOT", "I'm sorry to hear that. Which camera is it, and what do you see instead of the picture?"),
            ("CUSTOMER", "Front entrance, just says No signal. Since half past seven or so."),
            ("BOT", "Are the other cameras working, and have you been able to restart this one?"),
            ("CUSTOMER", "The other five work. I pulled the little power box for a minute, no change."),
            ("BOT", "Thank you. I have opened a ticket; a technician will get in touch with you today."),
        ),
    ),
    Story(
        0.35,
        "ADMIN",
        "ACCESS_CONTROL",
        "URGENT",
        "Warehouse B: loading dock door will not lock",
        "The maglock on dock door 4 has had no hold since the shift change at 6:00. A guard is standing at the door. "
        "The controller is a Kantech KT-400; the power supply's light is amber.",
        "A-1063",
        (
            assigned(0.1, MARTA),
            noted(0.2, OFFICE, "Guard on site until 18:00, call Rob at the gatehouse on arrival."),
            started(1.5, MARTA),
            public_note(1.6, MARTA, "On site. The lock's power supply gives 9 V instead of 24 V; fetching a new one."),
        ),
        property_index=1,
    ),
    Story(
        0.6,
        "EMAIL",
        "GENERAL",
        "LOW",
        "New person on the monitoring call list",
        "Please replace Dr. Bell by Dr. Anita Rao, 613-555-2214, on the monitoring station's call list for both"
        " clinics.",
        "A-1051",
        property_index=None,
    ),
    Story(
        0.9,
        "TECHNICIAN",
        "INTERCOM",
        "MEDIUM",
        "Tower 2 lobby panel: display flickers",
        "Noticed while on site for the garage door: the display of the lobby directory flickers and goes dark for some "
        "seconds. Calls still go through.",
        "A-1088",
        (assigned(2, LUC),),
        property_index=1,
        by=LUC,
    ),
    Story(
        1.2,
        "CUSTOMER",
        "ALARM",
        "MEDIUM",
        "Motion sensor sets off the alarm at night",
        'Twice this week the alarm went off at about 3 in the morning, both times "Zone 6 living room". Nobody was'
        " there. We have had a new cat for two weeks.",
        "A-1090",
        (
            assigned(3, AMINA),
            public_note(
                5, AMINA, "That sensor is not made for homes with pets. I can fit one that is, Thursday at 10:00?"
            ),
            public_note(7, "customer", "Thursday at 10 is good, thank you."),
            started(20, AMINA),
        ),
    ),
    Story(
        1.4,
        "ADMIN",
        "CCTV",
        "HIGH",
        "Footage of the break-in attempt needed by the police",
        "Constable Reid of Ottawa Police asks for the recordings of all outside cameras of last Sunday, 02:00 to 04:30,"
        " incident 26-118842.",
        "A-1104",
        (
            assigned(1, DEV),
            started(2, DEV),
            noted(4, DEV, "Recorder's clock is 7 minutes fast: export 02:00 to 04:40 and say so in the letter."),
            noted(
                22,
                DEV,
                "Camera 3 has no recording between 03:12 and 03:20. Disk errors in the log, see the next visit.",
            ),
        ),
    ),
    Story(
        1.8,
        "CUSTOMER",
        "ACCESS_CONTROL",
        "MEDIUM",
        "Two fobs lost, please cancel them",
        "Fobs 10442 and 10443 were lost with a handbag on the bus. Please cancel them and send two new ones.",
        "A-1088",
        property_index=0,
    ),
    Story(
        2.1,
        "CHATBOT",
        "ALARM",
        "HIGH",
        "Panic button at the counter sends nothing",
        "The panic button under the counter was pressed in the weekly test and the monitoring station received nothing."
        " Second week in a row.",
        "A-1104",
        (
            raised(0.3, "URGENT"),
            assigned(0.4, MARTA),
            started(2, MARTA),
            noted(
                3, MARTA, "Transmitter battery reads 2.1 V. The receiver hears the spare button, so the zone is fine."
            ),
        ),
        chat=(
            ("CUSTOMER", "The panic button test failed again."),
            ("BOT", "Did the panel itself show the alarm, or did nothing happen at all?"),
            ("CUSTOMER", "Nothing at all, and the station says they got no signal."),
            ("BOT", "This is urgent. I have opened a ticket and informed the office."),
        ),
    ),
    Story(
        2.5,
        "EMAIL",
        "CCTV",
        "LOW",
        "Question about keeping recordings for 60 days",
        "Our insurer asks for 60 days of recordings instead of 30. Is that a setting, or do we need larger disks?",
        "A-1063",
        (assigned(20, DEV),),
        property_index=None,
    ),
    Story(
        3,
        "CUSTOMER",
        "INTERCOM",
        "HIGH",
        "Intercom in apartment 1204 does not ring",
        "Visitors dial 1204 at the door and it rings out there, but my handset stays silent. I can open the door if I"
        " see somebody on the screen by chance.",
        "A-1123",
        (
            assigned(4, LUC),
            started(26, LUC),
            noted(27, LUC, "Handset is fine on the bench. Riser terminal block is corroded."),
        ),
    ),
    Story(
        3.4,
        "ADMIN",
        "ALARM",
        "MEDIUM",
        "Annual inspection of the fire alarm",
        "Inspection after CAN/ULC-S536 is due this month for school and gymnasium. The office wants it on a PA day.",
        "A-1119",
        (
            assigned(1, PETER),
            unassigned(30),
            noted(30.1, OFFICE, "Peter has left; next PA day is the 4th, find somebody for it."),
        ),
    ),
    Story(
        4,
        "CUSTOMER",
        "GENERAL",
        "LOW",
        "Invoice 88213 shows the wrong address",
        "Invoice 88213 is made out to 7 Hearst Way but the work was done at number 5. Accounting needs a corrected"
        " one.",
        "A-1136",
        property_index=None,
    ),
    Story(
        4.5,
        "TECHNICIAN",
        "ACCESS_CONTROL",
        "HIGH",
        "Cold store: reader freezes over",
        "The HID R10 at the cold store's inner door stops reading below -20 °C. Wants the heated model or a new place"
        " outside.",
        "A-1136",
        (
            assigned(0.1, AMINA, by=AMINA),
            started(1, AMINA),
            public_note(
                2,
                AMINA,
                "Until the new reader is here the outer door alone is locked by card; the inner one is on the key.",
            ),
            noted(50, AMINA, "Heated reader ordered, delivery in about five days."),
        ),
        property_index=1,
        by=AMINA,
    ),
    Story(
        5,
        "EMAIL",
        "CCTV",
        "MEDIUM",
        "No picture from the truck yard at night",
        "The two yard cameras are black from dusk on. By day the picture is good.",
        "A-1063",
        (
            assigned(3, DEV),
            started(28, DEV),
            resolved(
                30,
                DEV,
                "Infrared was switched off by the last firmware. Switched on again on cameras 11 and 12, checked after"
                " dark.",
            ),
        ),
        property_index=2,
        article=True,
    ),
    Story(
        6,
        "CUSTOMER",
        "ALARM",
        "HIGH",
        'Keypad says "Trouble, communication"',
        'The keypad shows a yellow triangle and "Trouble, communication" since our internet provider changed the'
        " modem.",
        "A-1148",
        (
            assigned(2, MARTA),
            public_note(
                3, MARTA, "The panel still reports by cellular, so you are protected. I will come by tomorrow morning."
            ),
            started(20, MARTA),
            resolved(
                21, MARTA, "Gave the communicator a fixed address in the new modem and sent test signals by both paths."
            ),
        ),
        article=True,
    ),
    Story(
        7,
        "CHATBOT",
        "GENERAL",
        "MEDIUM",
        "Cannot log in to the mobile app",
        'The app says "Account locked" after the new phone was set up. E-mail address is unchanged.',
        "A-1077",
        (
            assigned(1, AMINA),
            resolved(
                4,
                AMINA,
                "Unlocked the account and sent a new password by e-mail. The old phone was still trying the old one.",
            ),
        ),
        chat=(
            ("CUSTOMER", "Bonjour, je ne peux plus entrer dans l'application."),
            ("BOT", "Bonjour! Quel message voyez-vous?"),
            ("CUSTOMER", "Account locked. J'ai un nouveau téléphone."),
            ("AGENT", "Bonjour Madame Gagnon, je débloque votre compte et vous écris tout de suite."),
        ),
        article=False,
    ),
    Story(
        8,
        "CUSTOMER",
        "ACCESS_CONTROL",
        "MEDIUM",
        "Garage door opens by itself",
        "The garage door opened three times last night with nobody there. The log shows no card.",
        "A-1088",
        (
            assigned(2, LUC),
            started(24, LUC),
            noted(25, LUC, "Exit loop detector triggers by itself, water in the slot."),
            resolved(
                31, LUC, "Sealed the induction loop's slot and lowered its sensitivity; no false opening in six hours."
            ),
            public_note(60, "customer", "It opened again this morning at 5:40."),
            reopened(61),
            noted(62, OFFICE, "Take the spare loop detector along, the old one may be drifting."),
        ),
        property_index=2,
    ),
    Story(
        9,
        "ADMIN",
        "ALARM",
        "LOW",
        "Add three user codes for the new staff",
        "Three new hygienists start on the first. Codes for doors and alarm, weekdays 7:00 to 19:00 only.",
        "A-1051",
        (
            assigned(2, AMINA),
            resolved(26, AMINA, "Codes 11 to 13 added with the weekday schedule; handed over in sealed envelopes."),
        ),
    ),
    Story(
        10,
        "CUSTOMER",
        "CCTV",
        "MEDIUM",
        "Doorbell camera misses the postman",
        "The doorbell camera records cars on the street but not people at the door.",
        "A-1090",
        (
            assigned(5, DEV),
            resolved(29, DEV, "Turned the camera 15° down and drew the motion zone around the porch."),
            closed(80),
        ),
        article=True,
    ),
    Story(
        11,
        "EMAIL",
        "GENERAL",
        "MEDIUM",
        "Quote for cameras in the gymnasium",
        "Please send us a quote for four cameras in the gymnasium and its corridor, recorded on the school's system.",
        "A-1119",
        (
            assigned(8, DEV),
            noted(50, DEV, "Measured on site: 3 domes and 1 corridor camera are enough, 110 m of cable."),
            closed(120, DEV),
        ),
        property_index=1,
    ),
    Story(
        12,
        "CHATBOT",
        "ALARM",
        "MEDIUM",
        "How do I change the code of the cleaner?",
        "The cleaner has changed and her old code must not work any more.",
        "A-1148",
        (
            public_note(
                0.5,
                OFFICE,
                "Press *5, the master code, the two digits of the user, then the new code twice. The old one is gone at"
                " once.",
            ),
            resolved(
                0.6,
                OFFICE,
                "Explained how to change a user code at the keypad: *5, master code, user number, new code.",
            ),
            closed(48),
        ),
        chat=(
            ("CUSTOMER", "How can I change one user code on a PowerSeries keypad?"),
            ("BOT", "I found nothing certain for your model. Shall I ask a technician?"),
            ("CUSTOMER", "Yes please."),
        ),
        article=True,
    ),
    Story(
        13,
        "TECHNICIAN",
        "CCTV",
        "HIGH",
        "Recorder in Warehouse A: disk 2 failing",
        "The NVR reports reallocated sectors on disk 2, rising daily. Recordings are still complete.",
        "A-1063",
        (
            assigned(0.2, DEV, by=DEV),
            started(1, DEV),
            noted(2, DEV, "Same batch as the disk that died in March."),
            resolved(52, DEV, "Replaced disk 2 by a surveillance-grade one and rebuilt the array; nothing lost."),
            closed(150),
        ),
        by=DEV,
    ),
    Story(
        14,
        "CUSTOMER",
        "INTERCOM",
        "LOW",
        "Names on the directory are out of date",
        "Apartments 305, 711 and 902 have new tenants. List attached in the portal.",
        "A-1088",
        (
            assigned(20, LUC),
            resolved(70, LUC, "Directory of both towers updated from the manager's list."),
            closed(140),
        ),
        property_index=0,
    ),
    Story(
        15,
        "ADMIN",
        "ACCESS_CONTROL",
        "HIGH",
        "Card readers on floor 3 reject every card",
        "All four readers of floor 3 flash red since 8:10. Doors open by key.",
        ("Sandra Lee", "sandra.lee@capitaloffices.example", "613-555-7171"),
        (
            assigned(0.3, MARTA),
            started(1, MARTA),
            resolved(
                2.5, MARTA, "Controller had lost its database after a brown-out. Reloaded it and fitted a UPS battery."
            ),
            closed(50),
        ),
        property_index=None,
        article=True,
    ),
    Story(
        17,
        "CUSTOMER",
        "ALARM",
        "MEDIUM",
        "Smoke detector chirps every minute",
        "The detector in the upstairs hall chirps once a minute, day and night.",
        "A-1042",
        (
            assigned(4, AMINA),
            resolved(28, AMINA, "Detector was eleven years old: replaced it and its battery, tested with smoke."),
            closed(100),
        ),
        article=True,
    ),
    Story(
        19,
        "EMAIL",
        "ALARM",
        "HIGH",
        "Low temperature alarm at the cottage",
        "The station called: low temperature at the cottage, and the heating there cannot be reached.",
        "A-1042",
        (
            raised(0.2, "URGENT"),
            assigned(0.3, MARTA),
            public_note(0.5, MARTA, "I can be there in 90 minutes. Is there somebody with a key nearby?"),
            public_note(0.8, "customer", "The neighbour, Bill, at number 5."),
            started(2, MARTA),
            resolved(3, MARTA, "Breaker of the heating had tripped; reset, 14 °C and rising. Sensor is correct."),
            closed(60),
        ),
        property_index=1,
    ),
    Story(
        21,
        "CUSTOMER",
        "GENERAL",
        "LOW",
        "Moving in spring, can the system move too?",
        "We move to Barrhaven in April. Can panel and sensors be taken along, and what would it cost?",
        "A-1090",
        (
            assigned(10, AMINA),
            public_note(30, AMINA, "Yes: panel and sensors move, door contacts are new. The quote is in your mail."),
            closed(200),
        ),
    ),
    Story(
        23,
        "CHATBOT",
        "ACCESS_CONTROL",
        "MEDIUM",
        "Door held open alarm all day",
        'The staff door reports "held open" although it is shut.',
        "A-1136",
        (
            assigned(3, LUC),
            started(25, LUC),
            resolved(
                26, LUC, "Door contact had slipped by 8 mm; realigned it and set the held-open time to 30 seconds."
            ),
            closed(90),
        ),
        chat=(
            ("CUSTOMER", "We get a held open message every few minutes."),
            ("BOT", "Which door does the message name, and is it really shut?"),
            ("CUSTOMER", "Staff door, and yes it is."),
        ),
    ),
    Story(
        26,
        "ADMIN",
        "CCTV",
        "MEDIUM",
        "Camera over the till points at the ceiling",
        "Somebody hung decorations on it. Wants realigning before the weekend.",
        "A-1104",
        (assigned(2, DEV), resolved(25, DEV, "Realigned and fixed the joint with a locking screw."), closed(75)),
    ),
    Story(
        30,
        "CUSTOMER",
        "ALARM",
        "MEDIUM",
        "Panel clock is an hour off",
        "Since the clocks changed, the alarm arms itself an hour late.",
        "A-1148",
        (
            public_note(
                1,
                OFFICE,
                "Press *6, the master code, then 1, and enter time and date. Daylight saving can be switched on there,"
                " too.",
            ),
            resolved(1.1, OFFICE, "Told the customer how to set the clock and daylight saving at the keypad."),
            closed(40),
        ),
        article=False,
    ),
    Story(
        34,
        "TECHNICIAN",
        "ALARM",
        "LOW",
        "Label the zones in the panel of the gymnasium",
        "Zone 14 to 22 have no names in the panel, the station only gets numbers.",
        "A-1119",
        (
            assigned(1, PETER, by=PETER),
            resolved(3, PETER, "Zones named after the door numbers, list left in the panel."),
            closed(60),
        ),
        property_index=1,
        by=PETER,
    ),
    Story(
        38,
        "EMAIL",
        "INTERCOM",
        "MEDIUM",
        "Echo on the video intercom",
        "We hear ourselves with a delay of a second when talking to the door.",
        "A-1077",
        (
            assigned(6, LUC),
            resolved(54, LUC, "Lowered the loudspeaker of the door station and updated its firmware."),
            closed(130),
        ),
    ),
    Story(
        45,
        "CUSTOMER",
        "ACCESS_CONTROL",
        "HIGH",
        "Front door stays unlocked after hours",
        "The front door should lock at 18:00 and does not. It did before the holiday.",
        "A-1051",
        (
            assigned(1, MARTA),
            resolved(
                3, MARTA, "The holiday schedule had no end date. Ended it; the door locked at 18:00 under my eyes."
            ),
            closed(50),
        ),
        article=True,
    ),
    Story(
        52,
        "ADMIN",
        "GENERAL",
        "MEDIUM",
        "Certificate for the insurance",
        "Needs the ULC certificate of the burglar alarm for the renewal of the policy.",
        "A-1104",
        (resolved(20, OFFICE, "Certificate 2026-3391 sent by e-mail."), closed(70)),
    ),
    Story(
        60,
        "CHATBOT",
        "CCTV",
        "LOW",
        "Spider webs in front of the garage camera",
        "The camera sends a motion alert every few minutes at night. There is a spider web on it.",
        "A-1148",
        (
            assigned(10, DEV),
            resolved(
                60, DEV, "Cleaned the lens, sprayed the housing and moved the infrared lamp away from the camera."
            ),
            closed(160),
        ),
        chat=(
            ("CUSTOMER", "Motion alert every five minutes, it's a spider!"),
            ("BOT", "I have opened a ticket to have it cleaned."),
        ),
    ),
    Story(
        75,
        "CUSTOMER",
        "ALARM",
        "URGENT",
        "Siren will not stop",
        "The outdoor siren has been sounding for ten minutes and the keypad does not react.",
        "A-1077",
        (
            assigned(0.1, MARTA),
            public_note(0.2, MARTA, "Please open the small breaker marked ALARM. I am on my way."),
            started(0.3, MARTA),
            resolved(
                1.5,
                MARTA,
                "Keypad cable was pinched by the new wardrobe. Replaced it, tested all zones, system operating"
                " normally.",
            ),
            closed(48),
        ),
    ),
    Story(
        90,
        "EMAIL",
        "ACCESS_CONTROL",
        "LOW",
        "Fifty cards for the new school year",
        "We need fifty cards with the new logo, numbers 2001 to 2050.",
        "A-1119",
        (
            assigned(24, AMINA),
            resolved(200, AMINA, "Cards 2001 to 2050 printed, enrolled and delivered to the office."),
            closed(260),
        ),
    ),
    Story(
        110,
        "TECHNICIAN",
        "CCTV",
        "MEDIUM",
        "Replace the lobby camera under warranty",
        "Condensation inside the dome. Bought in January, so under warranty.",
        "A-1088",
        (
            assigned(1, PETER, by=PETER),
            noted(2, PETER, "RMA 77120 opened with the maker."),
            resolved(190, PETER, "New dome fitted, old one sent back."),
            closed(240),
        ),
        by=PETER,
    ),
    Story(
        130,
        "ADMIN",
        "ALARM",
        "MEDIUM",
        "Replace backup battery in DSC 1832 panel",
        "Battery is five years old; replace it at the next visit.",
        "A-1150",
        (
            assigned(5, MARTA),
            resolved(
                100, MARTA, "Replaced backup battery in DSC 1832 panel. Tested all zones — system operating normally."
            ),
            closed(150),
        ),
        property_index=None,
        article=True,
    ),
)

ARTICLES: Final = (
    (
        "Which doors lock in a power cut?",
        (
            "Maglocks open when the power fails, electric strikes stay locked, unless the door is on an escape route. A"
            " controller's battery holds both for about four hours."
        ),
        True,
    ),
    (
        "Test the alarm with the monitoring station",
        (
            "Call the station, give the account number and the password, and ask for the account to be put on test."
            " Arm, set off one zone, wait for the siren, disarm. Ask which signals arrived, and have the test ended."
        ),
        True,
    ),
    (
        "Draft: firmware 4.2 and night vision",
        "Version 4.2 switches infrared off. To be confirmed by the maker.",
        False,
    ),
)
