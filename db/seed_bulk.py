"""Very many tickets, for measuring: COPY, with the skew of a company that has been at it for three years.

Old tickets are closed, new ones open, with a few stragglers; some technicians and customers have far more than
others; and the subjects' words go from nearly everywhere to once in the whole table, so that a search of any
frequency can be tried.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Final

import asyncpg

from db.limits import REFERENCE_ALPHABET, REFERENCE_LENGTH, REFERENCE_PREFIX

Progress = Callable[[str, int, int], None]

YEARS: Final = 3
BATCH: Final = 10_000

FIRST = [
    "Aaron",
    "Abigail",
    "Adam",
    "Aisha",
    "Alan",
    "Alejandra",
    "Alice",
    "Amelia",
    "Amir",
    "Andrea",
    "Andrew",
    "Angela",
    "Anika",
    "Anthony",
    "Arthur",
    "Ava",
    "Beatrice",
    "Benjamin",
    "Bianca",
    "Brandon",
    "Bridget",
    "Caleb",
    "Camille",
    "Carlos",
    "Carmen",
    "Catherine",
    "Chandra",
    "Charles",
    "Chloe",
    "Claire",
    "Colin",
    "Cynthia",
    "Daniel",
    "Daphne",
    "David",
    "Deborah",
    "Dennis",
    "Diana",
    "Dmitri",
    "Dominic",
    "Dorothy",
    "Douglas",
    "Edith",
    "Eduardo",
    "Eleanor",
    "Elijah",
    "Emily",
    "Emma",
    "Eric",
    "Esther",
    "Ethan",
    "Eva",
    "Evelyn",
    "Fatima",
    "Felix",
    "Fiona",
    "Florence",
    "Francis",
    "Gabriel",
    "George",
    "Gerald",
    "Giulia",
    "Gloria",
    "Gordon",
    "Grace",
    "Graham",
    "Hannah",
    "Harold",
    "Hassan",
    "Hazel",
    "Heather",
    "Helen",
    "Henry",
    "Hugo",
    "Ian",
    "Ibrahim",
    "Imogen",
    "Ingrid",
    "Irene",
    "Isaac",
    "Isabel",
    "Ivan",
    "Jack",
    "Jacqueline",
    "James",
    "Jasmine",
    "Jean",
    "Jennifer",
    "Jérôme",
    "Joanna",
    "John",
    "Jonas",
    "Joseph",
    "Joyce",
    "Judith",
    "Julia",
    "Kareem",
    "Karen",
    "Katherine",
    "Keith",
    "Kenneth",
    "Kevin",
    "Khalid",
    "Kimberly",
    "Kwame",
    "Laura",
    "Lawrence",
    "Leah",
    "Leon",
    "Lily",
    "Linda",
    "Lorenzo",
    "Louis",
    "Lucy",
    "Luis",
    "Magnus",
    "Marcus",
    "Margaret",
    "Maria",
    "Marie",
    "Mark",
    "Martha",
    "Mary",
    "Matthew",
    "Maya",
    "Mei",
    "Michael",
    "Miriam",
    "Mohammed",
    "Monica",
    "Nadia",
    "Naomi",
    "Natalie",
    "Nathan",
    "Neil",
    "Nicholas",
    "Nina",
    "Noah",
    "Nora",
    "Olga",
    "Oliver",
    "Olivia",
    "Omar",
    "Oscar",
    "Pamela",
    "Patricia",
    "Paul",
    "Peter",
    "Philip",
    "Priya",
    "Quentin",
    "Rachel",
    "Rafael",
    "Raj",
    "Rebecca",
    "René",
    "Richard",
    "Robert",
    "Rosa",
    "Ruth",
    "Samuel",
    "Sandra",
    "Sarah",
    "Scott",
    "Sean",
    "Sergei",
    "Sharon",
    "Sofia",
    "Stella",
    "Stephen",
    "Susan",
    "Sven",
    "Sylvia",
    "Tanya",
    "Teresa",
    "Thomas",
    "Timothy",
    "Tomas",
    "Ursula",
    "Valerie",
    "Vanessa",
    "Victor",
    "Vincent",
    "Virginia",
    "Walter",
    "Wei",
    "William",
    "Winston",
    "Xavier",
    "Yasmin",
    "Yusuf",
    "Yvonne",
    "Zachary",
    "Zoe",
]
LAST = [
    "Abbott",
    "Adeyemi",
    "Ahmed",
    "Allen",
    "Alvarez",
    "Anderson",
    "Andrews",
    "Archer",
    "Armstrong",
    "Ashworth",
    "Bailey",
    "Baker",
    "Banerjee",
    "Barnes",
    "Bauer",
    "Beaulieu",
    "Becker",
    "Bennett",
    "Bergeron",
    "Bernard",
    "Blackwood",
    "Bouchard",
    "Boucher",
    "Bradley",
    "Brooks",
    "Brown",
    "Burke",
    "Butler",
    "Campbell",
    "Carter",
    "Castillo",
    "Chan",
    "Chapman",
    "Chen",
    "Clark",
    "Cohen",
    "Coleman",
    "Collins",
    "Cooper",
    "Côté",
    "Crawford",
    "Cruz",
    "Cunningham",
    "Dalton",
    "Davidson",
    "Davies",
    "Delgado",
    "Desjardins",
    "Diaz",
    "Dixon",
    "Dubois",
    "Duncan",
    "Dupont",
    "Edwards",
    "Elliott",
    "Ellis",
    "Evans",
    "Farrell",
    "Ferguson",
    "Fernandez",
    "Fischer",
    "Fitzgerald",
    "Fletcher",
    "Foster",
    "Fournier",
    "Fraser",
    "Gagnon",
    "Garcia",
    "Gauthier",
    "Gibson",
    "Girard",
    "Gonzalez",
    "Graham",
    "Grant",
    "Green",
    "Griffin",
    "Gupta",
    "Haddad",
    "Hall",
    "Hamilton",
    "Hansen",
    "Harper",
    "Harris",
    "Harvey",
    "Hayes",
    "Henderson",
    "Hernandez",
    "Hill",
    "Hoffman",
    "Holland",
    "Howard",
    "Hughes",
    "Hunter",
    "Hussain",
    "Ibrahim",
    "Iqbal",
    "Jackson",
    "Jansen",
    "Jenkins",
    "Jensen",
    "Johansson",
    "Johnson",
    "Johnston",
    "Jones",
    "Kapoor",
    "Kaur",
    "Keller",
    "Kelly",
    "Kennedy",
    "Khan",
    "Kim",
    "King",
    "Knight",
    "Kowalski",
    "Kumar",
    "Lacroix",
    "Lambert",
    "Lapointe",
    "Larsen",
    "Lavoie",
    "Lee",
    "Leblanc",
    "Lefebvre",
    "Levesque",
    "Lewis",
    "Li",
    "Lindqvist",
    "Liu",
    "Lopez",
    "MacDonald",
    "Mackenzie",
    "Malik",
    "Marshall",
    "Martin",
    "Martinez",
    "Mason",
    "Matthews",
    "McCarthy",
    "McGregor",
    "McIntyre",
    "Meyer",
    "Miller",
    "Mitchell",
    "Mohammed",
    "Moore",
    "Morgan",
    "Moreau",
    "Morin",
    "Morris",
    "Morrison",
    "Müller",
    "Murphy",
    "Murray",
    "Nakamura",
    "Nguyen",
    "Nielsen",
    "Novak",
    "Oconnor",
    "Okafor",
    "Olsen",
    "Ortiz",
    "Osei",
    "Owens",
    "Palmer",
    "Papadopoulos",
    "Parker",
    "Patel",
    "Pelletier",
    "Perez",
    "Perry",
    "Petrov",
    "Phillips",
    "Poirier",
    "Popescu",
    "Porter",
    "Powell",
    "Price",
    "Qureshi",
    "Rahman",
    "Ramirez",
    "Reid",
    "Reyes",
    "Reynolds",
    "Richardson",
    "Rivera",
    "Roberts",
    "Robertson",
    "Robinson",
    "Rodriguez",
    "Rossi",
    "Roy",
    "Russell",
    "Ryan",
    "Sanchez",
    "Santos",
    "Schmidt",
    "Scott",
    "Sharma",
    "Shaw",
    "Silva",
    "Simmons",
    "Simpson",
    "Singh",
    "Sinclair",
    "Smith",
    "Stewart",
    "Stone",
    "Sullivan",
    "Suzuki",
    "Tanaka",
    "Taylor",
    "Thapa",
    "Thomas",
    "Thompson",
    "Tran",
    "Tremblay",
    "Turner",
    "Vasquez",
    "Volkov",
    "Wagner",
    "Walker",
    "Wallace",
    "Walsh",
    "Wang",
    "Ward",
    "Watson",
    "Weber",
    "Webster",
    "White",
    "Wilkinson",
    "Williams",
    "Wilson",
    "Wong",
    "Wood",
    "Wright",
    "Yamamoto",
    "Yilmaz",
    "Young",
    "Zhang",
    "Zhou",
    "Zimmermann",
]
TRADE = [
    "Dental",
    "Logistics",
    "Bakery",
    "Pharmacy",
    "Motors",
    "Jewellers",
    "Law",
    "Storage",
    "Fitness",
    "Veterinary",
    "Foods",
    "Electronics",
    "Property",
    "Housing",
    "Warehousing",
    "Brewery",
    "Optical",
    "Printing",
    "Nursery",
    "Textiles",
    "Marine",
    "Catering",
]
STREET = [
    "Albert",
    "Bank",
    "Bay",
    "Birch",
    "Bridge",
    "Bronson",
    "Carling",
    "Cedar",
    "Church",
    "College",
    "Dalhousie",
    "Elgin",
    "Elm",
    "Fisher",
    "Gladstone",
    "Hawthorne",
    "Hunt",
    "Innes",
    "Isabella",
    "King",
    "Kirkwood",
    "Laurier",
    "Lisgar",
    "Maple",
    "Mann",
    "Merivale",
    "Metcalfe",
    "Montreal",
    "Nepean",
    "Oak",
    "Pine",
    "Preston",
    "Queen",
    "Rideau",
    "Riverside",
    "Russell",
    "Slater",
    "Somerset",
    "Sparks",
    "Spruce",
    "Sussex",
    "Walkley",
    "Wellington",
    "Willow",
    "York",
]
TOWN = [
    "Ottawa",
    "Nepean",
    "Kanata",
    "Gatineau",
    "Orleans",
    "Barrhaven",
    "Stittsville",
    "Gloucester",
    "Manotick",
    "Rockland",
]

# What a ticket is about: (category, weight, devices, faults). Later entries of a list are drawn less often than
# earlier ones, down to a few in a hundred thousand.
SYSTEMS: Final = (
    (
        "ALARM",
        35,
        [
            "Alarm panel",
            "Keypad",
            "Motion sensor",
            "Door contact",
            "Siren",
            "Smoke detector",
            "Glass break detector",
            "Heat detector",
            "Panic button",
            "Wireless receiver",
            "Backup battery",
            "Cellular communicator",
            "Zone expander",
            "Water leak sensor",
            "Carbon monoxide detector",
            "Bell box",
            "Tamper switch",
            "Seismic detector",
            "Fog generator",
        ],
        "beeping after power outage|shows low battery|reports a false alarm|does not arm|lost contact with the "
        "monitoring station|shows trouble light|zone stays open|code forgotten|needs a new user code|siren will not "
        "stop|sends no test signal|clock is wrong|display is blank|enclosure tampered|ground fault|supervisory "
        "failure|jammed by interference|chirps at night|corroded terminals|lightning damage",
    ),
    (
        "CCTV",
        25,
        [
            "Camera",
            "Recorder",
            "Dome camera",
            "Parking lot camera",
            "Monitor",
            "PTZ camera",
            "NVR",
            "Doorbell camera",
            "Licence plate camera",
            "Video encoder",
            "Thermal camera",
            "Body camera dock",
        ],
        "offline|picture is blurred|no night vision|recording stopped|hard disk full|remote viewing fails|image "
        "flickers|wrong time stamp|needs footage exported|points the wrong way|vandalised|condensation in the "
        "housing|spider webs on the lens|firmware mismatch|PoE injector burnt",
    ),
    (
        "ACCESS_CONTROL",
        20,
        [
            "Door reader",
            "Maglock",
            "Fob",
            "Electric strike",
            "Door controller",
            "Exit button",
            "Access card",
            "Turnstile",
            "Gate operator",
            "Biometric reader",
            "Elevator reader",
        ],
        "does not unlock|stays unlocked|rejects valid cards|schedule is wrong|needs new fobs|lost card to be "
        "cancelled|door held open alarm|door forced alarm|beeps continuously|not communicating|reads twice|"
        "antipassback lockout|relay welded shut",
    ),
    (
        "INTERCOM",
        8,
        ["Intercom", "Door station", "Indoor monitor", "Entry panel", "Video intercom", "Lobby directory", "Handset"],
        "no sound|echo on the line|cannot open the door|does not ring|display is cracked|directory out of date|"
        "button stuck|crackles in the rain|picture upside down",
    ),
    (
        "GENERAL",
        12,
        [
            "Account",
            "Invoice",
            "Service contract",
            "Site visit",
            "Mobile app",
            "Monitoring contact list",
            "Insurance certificate",
        ],
        "needs updating|question about charges|login fails|to be rescheduled|password reset|renewal due|moving to a new "
        "address|asks for a quote|certificate requested|complaint about a technician",
    ),
)
MODELS = [
    "DSC 1832",
    "DSC 1864",
    "Honeywell Vista 20P",
    "Hikvision DS-2CD",
    "Axis P3245",
    "HID R10",
    "Kantech KT-400",
    "Paradox EVO192",
    "2N Helios",
    "Aiphone GT",
    "Bosch B5512",
    "Dahua IPC",
    "Lenel 2220",
    "Qolsys IQ4",
    "Ubiquiti G4",
    "Texecom Premier",
    "Ajax Hub 2",
    "Inner Range",
    "Quorum Q-77",
    "Zwipe Zx1",
]
PLACE = [
    "front door",
    "back door",
    "lobby",
    "warehouse",
    "garage",
    "office",
    "loading dock",
    "basement",
    "server room",
    "stairwell",
    "roof",
    "parking lot",
    "reception",
    "kitchen",
    "vault",
    "boiler room",
    "laundry",
    "pool house",
    "elevator",
    "greenhouse",
    "chapel",
    "observatory",
    "quarry hut",
]
DETAIL = (
    "The customer has restarted the equipment without success.",
    "It began after the power outage last night.",
    "The display shows an error that was not there yesterday.",
    "The site is open from 8 to 17; please call ahead.",
    "Nobody is on site at the weekend.",
    "The same thing was repaired some months ago.",
    "Monitoring has put the account on test.",
    "A ladder of four metres is needed.",
    "The customer asks for a visit this week.",
    "Access is by the rear entrance; the key is in the lock box.",
)
DONE = (
    "Replaced the backup battery and tested all zones; system operating normally.",
    "Updated the firmware and restarted; picture is back.",
    "Realigned the contact and tested with the monitoring station.",
    "Issued new credentials and cancelled the lost ones.",
    "Replaced the power supply; voltage stable at 13.7 V.",
    "Explained the schedule to the customer over the phone; no fault found.",
    "Re-terminated the cable at the panel and at the device.",
)
NOTES = (
    "Called customer, scheduled site visit for Thursday 10am.",
    "Left a voicemail; will try again tomorrow.",
    "Part ordered from the supplier, expected within three days.",
    "Checked remotely: the device answers but reports a fault.",
    "On site, found loose wiring in the enclosure.",
    "Customer confirms that it works now.",
    "Waiting for access to the building.",
    "Put the account on test with the monitoring station for two hours.",
    "Photographs are in the job folder.",
    "Second visit needed; the lift was out of service.",
)
RARE: Final = "abcdefghijklmnopqrstuvwxyz"


def falling(items: Iterable[str], rate: float) -> tuple[list[str], list[float]]:
    """The items with cumulative weights of which each is `rate` times the one before."""
    listed = list(items)
    return listed, list(accumulate(rate**i for i in range(len(listed))))


def uuid7(random: Random, at: float) -> str:
    """A UUIDv7 of a time in seconds since 1970."""
    bits = random.getrandbits(74)
    digits = f"{int(at * 1000):012x}7{bits >> 62:03x}{0x8000000000000000 | bits & 0x3FFFFFFFFFFFFFFF:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


class Company:
    """The people and places that tickets refer to, numbered on from what the database already holds."""

    def __init__(self, random: Random, *, now: float, tickets: int, customers_from: int, properties_from: int) -> None:
        start = now - YEARS * 365 * 86_400
        self.customers: list[tuple[str, str, str, str]] = []  # id, name, email, phone
        self.customer_lines: list[str] = []
        self.properties: list[list[str]] = []  # of each customer, by position
        self.property_lines: list[str] = []
        self.technicians: list[str] = []
        self.technician_lines: list[str] = []

        for number in range(customers_from, customers_from + max(1, tickets // 10)):
            at = random.uniform(start, now)
            first, last = random.choice(FIRST), random.choice(LAST)
            name = f"{first} {last}" if random.random() < 0.8 else f"{last} {random.choice(TRADE)}"
            email = f"{first}.{last}.{number}@example.com".lower()
            phone = f"613-555-{number % 10_000:04d}"
            row = (uuid7(random, at), name, email, phone)
            self.customers.append(row)
            self.properties.append([])
            self.customer_lines.append(f"{row[0]}\tAC{number:08d}\t{name}\t{email}\t{phone}\t{stamp(at)}\n")

        for number in range(properties_from, properties_from + max(1, tickets * 3 // 20)):
            owner = random.randrange(len(self.customers))
            identity = uuid7(random, at := random.uniform(start, now))
            address = f"{random.randint(1, 2999)} {random.choice(STREET)} Street, {random.choice(TOWN)}"
            self.properties[owner].append(identity)
            self.property_lines.append(
                f"{identity}\t{self.customers[owner][0]}\t{address}\tPR{number:08d}\t{stamp(at)}\n"
            )

        for _ in range(min(200, max(50, tickets // 20_000))):
            identity = uuid7(random, start)
            name = f"{random.choice(FIRST)} {random.choice(LAST)}"
            email = f"{name.replace(' ', '.')}.{identity[-6:]}@callout.example".lower()
            self.technicians.append(identity)
            self.technician_lines.append(f"{identity}\t{name}\t{email}\t613-555-0100\t{stamp(start)}\n")


class Tickets:
    """Draws tickets in the order of their creation, with their notes."""

    COLUMNS = [
        "id",
        "reference",
        "version",
        "subject",
        "description",
        "status",
        "priority",
        "category",
        "source",
        "creator_kind",
        "creator_id",
        "contact_name",
        "contact_email",
        "contact_phone",
        "customer_id",
        "property_id",
        "technician_id",
        "resolution",
        "created_at",
        "updated_at",
        "public_updated_at",
        "resolved_at",
        "closed_at",
        "search_text",
    ]
    NOTE_COLUMNS = ["id", "ticket_id", "customer_id", "body", "internal_only", "author_kind", "author_id", "author_name", "created_at"]

    def __init__(self, random: Random, company: Company, *, now: float, tickets: int, references: set[str]) -> None:
        self.random = random
        self.company = company
        self.now = now
        self.tickets = tickets
        self.references = references
        self.systems = [
            (category, falling(devices, 0.75), falling(faults.split("|"), 0.6))
            for category, _, devices, faults in SYSTEMS
        ]
        self.system_weights = list(accumulate(weight for _, weight, _, _ in SYSTEMS))
        self.models = falling(MODELS, 0.65)
        self.places = falling(PLACE, 0.7)
        self.technicians = falling(company.technicians, 0.97)

    def reference(self) -> str:
        while True:
            drawn = REFERENCE_PREFIX + "".join(self.random.choices(REFERENCE_ALPHABET, k=REFERENCE_LENGTH))
            if drawn not in self.references:
                self.references.add(drawn)
                return drawn

    def draw(self, first: int, last: int) -> tuple[list[str], list[str]]:
        """COPY lines of the tickets numbered `first` to `last` - 1 (0 is the oldest), and of their notes."""
        random, company = self.random, self.company
        tickets: list[str] = []
        notes: list[str] = []
        span = YEARS * 365 * 86_400
        for number in range(first, last):
            # Business grows: half of the tickets are of the last year and a bit.
            age = 1 - ((number + random.random()) / self.tickets) ** 0.7
            created = self.now - 60 - span * age
            identity, reference = uuid7(random, created), self.reference()

            (system,) = random.choices(self.systems, cum_weights=self.system_weights)
            category, (devices, device_weights), (faults, fault_weights) = system
            (device,) = random.choices(devices, cum_weights=device_weights)
            (fault,) = random.choices(faults, cum_weights=fault_weights)
            subject = f"{device} {fault}"
            dice = random.random()
            if dice < 0.5:
                subject += f", {random.choices(self.places[0], cum_weights=self.places[1])[0]}"
            if dice > 0.3:
                subject += f" ({random.choices(self.models[0], cum_weights=self.models[1])[0]})"
            if dice < 0.05:
                subject += f" SN {''.join(random.choices(RARE, k=4))}{random.randrange(10_000):04d}"
            description = f"Customer reports: {subject}.\\n{' '.join(random.choices(DETAIL, k=3))}"

            owner = int(len(company.customers) * random.random() ** 1.5)
            customer_id, name, email, phone = company.customers[owner]
            owned = company.properties[owner]
            property_id = random.choice(owned) if owned and random.random() < 0.8 else "\\N"
            if random.random() < 0.1:
                customer_id = property_id = "\\N"
                name = f"{random.choice(FIRST)} {random.choice(LAST)}"
                email = f"{name.replace(' ', '.')}@example.org".lower()

            status, updated, resolved, closed = self.fate(number, created)
            resolution = random.choice(DONE) if resolved else "\\N"
            unassigned = random.random() < (0.4 if status == "OPEN" else 0.03)
            technician = (
                "\\N" if unassigned else random.choices(self.technicians[0], cum_weights=self.technicians[1])[0]
            )
            priority = random.choices(("LOW", "MEDIUM", "HIGH", "URGENT"), cum_weights=(20, 75, 96, 100))[0]
            source, creator_kind, creator = self.creator(technician, customer_id)

            at_created, at_updated = stamp(created), stamp(updated)
            tickets.append(
                f"{identity}\t{reference}\t{1 + (updated > created) * random.randint(1, 5)}\t{subject}\t{description}\t"
                f"{status}\t{priority}\t{category}\t{source}\t{creator_kind}\t{creator}\t{name}\t{email}\t{phone}\t"
                f"{customer_id}\t{property_id}\t{technician}\t{resolution}\t{at_created}\t{at_updated}\t{at_updated}\t"
                f"{stamp(resolved) if resolved else NULL}\t{stamp(closed) if closed else NULL}\t"
                f"{reference.lower()}\\n{subject.lower()}\\n{name.lower()}\n"
            )
            for _ in range(random.choices((0, 1, 2, 3, 4, 5, 8), cum_weights=(10, 30, 56, 78, 90, 97, 100))[0]):
                at = random.uniform(created, updated)
                internal = "t" if random.random() < 0.6 else "f"
                notes.append(
                    f"{uuid7(random, at)}\t{identity}\t{customer_id}\t{random.choice(NOTES)}\t{internal}\tADMIN\tdispatch\tDispatch\t{stamp(at)}\n"
                )
        return tickets, notes

    def fate(self, number: int, created: float) -> tuple[str, float, float | None, float | None]:
        """Status, and when the ticket was last updated, resolved and closed."""
        random = self.random
        recent = number > self.tickets * 0.95
        dice = random.random()
        span = self.now - created
        updated = created + min(span, random.expovariate(1 / (4 * 86_400)))
        if dice < (0.45 if recent else 0.004):
            return "OPEN", updated if random.random() < 0.5 else created, None, None
        if dice < (0.75 if recent else 0.007):
            return "IN_PROGRESS", updated, None, None
        if dice < (0.90 if recent else 0.04):
            return "RESOLVED", updated, updated, None
        return "CLOSED", updated, None if dice > 0.97 else random.uniform(created, updated), updated

    def creator(self, technician: str, customer: str) -> tuple[str, str, str]:
        """Source of the ticket, and kind and id of who made it."""
        dice = self.random.random()
        if dice < 0.2 and technician != NULL:
            return "TECHNICIAN", "TECHNICIAN", technician
        if dice < 0.4 and customer != NULL:
            return "CUSTOMER", "CUSTOMER", customer
        if dice < 0.6:
            return "CHATBOT", "SERVICE", "chatbot"
        if dice < 0.7:
            return "EMAIL", "SERVICE", "mail"
        return "ADMIN", "ADMIN", "dispatch"


NULL: Final = "\\N"


async def copy(connection: asyncpg.Connection, table: str, columns: list[str], lines: list[str]) -> None:
    """COPY lines already in PostgreSQL's text format."""

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(lines), 1_000):
            yield "".join(lines[start : start + 1_000]).encode()

    await connection.copy_to_table(table, source=blocks(), columns=columns)


async def bulk(connection: asyncpg.Connection, *, tickets: int, progress: Progress, drop: bool = True) -> None:
    now = time.time()
    random = Random(now)
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL maintenance_work_mem = '1GB'")
        await connection.execute(
            "LOCK TABLE technicians, customers, properties, tickets, notes, ticket_events IN SHARE ROW EXCLUSIVE MODE"
        )
        redo = []
        t0 = time.time()
        if drop:
            for r in await connection.fetch(
                """select conrelid::regclass::text t, conname, pg_get_constraintdef(oid) d from pg_constraint where contype='f' and conrelid in ('properties'::regclass,'tickets'::regclass,'notes'::regclass,'ticket_events'::regclass)"""
            ):
                redo.append(f"alter table {r['t']} add constraint {r['conname']} {r['d']}")
                await connection.execute(f"alter table {r['t']} drop constraint {r['conname']}")
            for r in await connection.fetch(
                """select indexrelid::regclass::text i, pg_get_indexdef(indexrelid) d from pg_index x where indrelid in ('customers'::regclass,'properties'::regclass,'tickets'::regclass,'notes'::regclass,'ticket_events'::regclass) and not exists (select from pg_constraint where conindid=indexrelid)"""
            ):
                redo.append(r["d"])
                await connection.execute(f"drop index {r['i']}")
        await connection.execute("ALTER TABLE tickets DISABLE TRIGGER tickets_search_text")
        company = Company(
            random,
            now=now,
            tickets=tickets,
            customers_from=await connection.fetchval(NEXT_NUMBER.format(table="customers", prefix="AC")),
            properties_from=await connection.fetchval(NEXT_NUMBER.format(table="properties", prefix="PR")),
        )
        print("company", time.time() - t0)
        await copy(connection, "technicians", ["id", "name", "email", "phone", "created_at"], company.technician_lines)
        await copy(
            connection,
            "customers",
            ["id", "account_number", "name", "email", "phone", "created_at"],
            company.customer_lines,
        )
        await copy(
            connection,
            "properties",
            ["id", "customer_id", "address", "account_number", "created_at"],
            company.property_lines,
        )
        references = {r["reference"] for r in await connection.fetch("SELECT reference FROM tickets")}
        drawn = Tickets(random, company, now=now, tickets=tickets, references=references)
        print("people", time.time() - t0)
        g = 0.0
        for first in range(0, tickets, BATCH):
            last = min(first + BATCH, tickets)
            t = time.time()
            ticket_lines, note_lines = drawn.draw(first, last)
            g += time.time() - t
            await copy(connection, "tickets", Tickets.COLUMNS, ticket_lines)
            await copy(connection, "notes", Tickets.NOTE_COLUMNS, note_lines)
            progress("tickets", last, tickets)
        print("tickets", time.time() - t0, "gen", g)
        await connection.execute("ALTER TABLE tickets ENABLE TRIGGER tickets_search_text")
        await connection.execute("""INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, after)
          SELECT id, 'CREATED', creator_kind, creator_id, creator_id, created_at, to_jsonb(tickets) FROM tickets where not exists (select from ticket_events e where e.ticket_id=tickets.id) ORDER BY created_at""")
        print("events", time.time() - t0)
        for s in redo:
            t = time.time()
            await connection.execute(s)
            print("   %.1f" % (time.time() - t), s)
        print("redo", time.time() - t0)
    print("commit", time.time() - t0)
    await connection.execute("VACUUM ANALYZE")
    print("vacuum", time.time() - t0)


NEXT_NUMBER: Final = """
SELECT coalesce(max(substr(account_number, 3)::bigint), 0) + 1 FROM {table} WHERE account_number ~ '^{prefix}[0-9]{{8}}$'"""
