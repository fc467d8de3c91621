"""The vocabulary of `db/seed/bulk.py`. Each list is ordered from frequent to rare."""

from __future__ import annotations

from typing import Final


def words(text: str) -> list[str]:
    return text.split()


def phrases(text: str) -> list[str]:
    return text.split("|")


FIRST: Final = words(
    "Aaron Abigail Adam Aisha Alan Alejandra Alice Amelia Amir Andrea Andrew Angela Anika Anthony Arthur Ava "
    "Beatrice Benjamin Bianca Brandon Bridget Caleb Camille Carlos Carmen Catherine Chandra Charles Chloe Claire "
    "Colin Cynthia Daniel Daphne David Deborah Dennis Diana Dmitri Dominic Dorothy Douglas Edith Eduardo Eleanor "
    "Elijah Emily Emma Eric Esther Ethan Eva Evelyn Fatima Felix Fiona Florence Francis Gabriel George Gerald Giulia "
    "Gloria Gordon Grace Graham Hannah Harold Hassan Hazel Heather Helen Henry Hugo Ian Ibrahim Imogen Ingrid Irene "
    "Isaac Isabel Ivan Jack Jacqueline James Jasmine Jean Jennifer Jérôme Joanna John Jonas Joseph Joyce Judith "
    "Julia Kareem Karen Katherine Keith Kenneth Kevin Khalid Kimberly Kwame Laura Lawrence Leah Leon Lily Linda "
    "Lorenzo Louis Lucy Luis Magnus Marcus Margaret Maria Marie Mark Martha Mary Matthew Maya Mei Michael Miriam "
    "Mohammed Monica Nadia Naomi Natalie Nathan Neil Nicholas Nina Noah Nora Olga Oliver Olivia Omar Oscar Pamela "
    "Patricia Paul Peter Philip Priya Quentin Rachel Rafael Raj Rebecca René Richard Robert Rosa Ruth Samuel Sandra "
    "Sarah Scott Sean Sergei Sharon Sofia Stella Stephen Susan Sven Sylvia Tanya Teresa Thomas Timothy Tomas Ursula "
    "Valerie Vanessa Victor Vincent Virginia Walter Wei William Winston Xavier Yasmin Yusuf Yvonne Zachary Zoe"
)

LAST: Final = words(
    "Abbott Adeyemi Ahmed Allen Alvarez Anderson Andrews Archer Armstrong Ashworth Bailey Baker Banerjee Barnes "
    "Bauer Beaulieu Becker Bennett Bergeron Bernard Blackwood Bouchard Boucher Bradley Brooks Brown Burke Butler "
    "Campbell Carter Castillo Chan Chapman Chen Clark Cohen Coleman Collins Cooper Côté Crawford Cruz Cunningham "
    "Dalton Davidson Davies Delgado Desjardins Diaz Dixon Dubois Duncan Dupont Edwards Elliott Ellis Evans Farrell "
    "Ferguson Fernandez Fischer Fitzgerald Fletcher Foster Fournier Fraser Gagnon Garcia Gauthier Gibson Girard "
    "Gonzalez Graham Grant Green Griffin Gupta Haddad Hall Hamilton Hansen Harper Harris Harvey Hayes Henderson "
    "Hernandez Hill Hoffman Holland Howard Hughes Hunter Hussain Ibrahim Iqbal Jackson Jansen Jenkins Jensen "
    "Johansson Johnson Johnston Jones Kapoor Kaur Keller Kelly Kennedy Khan Kim King Knight Kowalski Kumar Lacroix "
    "Lambert Lapointe Larsen Lavoie Lee Leblanc Lefebvre Levesque Lewis Li Lindqvist Liu Lopez MacDonald Mackenzie "
    "Malik Marshall Martin Martinez Mason Matthews McCarthy McGregor McIntyre Meyer Miller Mitchell Mohammed Moore "
    "Morgan Moreau Morin Morris Morrison Müller Murphy Murray Nakamura Nguyen Nielsen Novak Oconnor Okafor Olsen "
    "Ortiz Osei Owens Palmer Papadopoulos Parker Patel Pelletier Perez Perry Petrov Phillips Poirier Popescu Porter "
    "Powell Price Qureshi Rahman Ramirez Reid Reyes Reynolds Richardson Rivera Roberts Robertson Robinson Rodriguez "
    "Rossi Roy Russell Ryan Sanchez Santos Schmidt Scott Sharma Shaw Silva Simmons Simpson Singh Sinclair Smith "
    "Stewart Stone Sullivan Suzuki Tanaka Taylor Thapa Thomas Thompson Tran Tremblay Turner Vasquez Volkov Wagner "
    "Walker Wallace Walsh Wang Ward Watson Weber Webster White Wilkinson Williams Wilson Wong Wood Wright Yamamoto "
    "Yilmaz Young Zhang Zhou Zimmermann"
)

TRADE: Final = words(
    "Dental Logistics Bakery Pharmacy Motors Jewellers Law Storage Fitness Veterinary Foods Electronics Property "
    "Housing Warehousing Brewery Optical Printing Nursery Textiles Marine Catering"
)

STREET: Final = words(
    "Albert Bank Bay Birch Bridge Bronson Carling Cedar Church College Dalhousie Elgin Elm Fisher Gladstone "
    "Hawthorne Hunt Innes Isabella King Kirkwood Laurier Lisgar Maple Mann Merivale Metcalfe Montreal Nepean Oak "
    "Pine Preston Queen Rideau Riverside Russell Slater Somerset Sparks Spruce Sussex Walkley Wellington Willow York"
)

TOWN: Final = words("Ottawa Nepean Kanata Gatineau Orleans Barrhaven Stittsville Gloucester Manotick Rockland")

MODELS: Final = phrases(
    "DSC 1832|DSC 1864|Honeywell Vista 20P|Hikvision DS-2CD|Axis P3245|HID R10|Kantech KT-400|Paradox EVO192|"
    "2N Helios|Aiphone GT|Bosch B5512|Dahua IPC|Lenel 2220|Qolsys IQ4|Ubiquiti G4|Texecom Premier|Ajax Hub 2|"
    "Inner Range|Quorum Q-77|Zwipe Zx1"
)

PLACE: Final = phrases(
    "front door|back door|lobby|warehouse|garage|office|loading dock|basement|server room|stairwell|roof|parking lot|"
    "reception|kitchen|vault|boiler room|laundry|pool house|elevator|greenhouse|chapel|observatory|quarry hut"
)

DETAIL: Final = phrases(
    "The customer has restarted the equipment without success.|It began after the power outage last night.|"
    "The display shows an error that was not there yesterday.|The site is open from 8 to 17; please call ahead.|"
    "Nobody is on site at the weekend.|The same thing was repaired some months ago.|"
    "Monitoring has put the account on test.|A ladder of four metres is needed.|"
    "The customer asks for a visit this week.|Access is by the rear entrance; the key is in the lock box."
)

DONE: Final = phrases(
    "Replaced the backup battery and tested all zones; system operating normally.|"
    "Updated the firmware and restarted; picture is back.|"
    "Realigned the contact and tested with the monitoring station.|"
    "Issued new credentials and cancelled the lost ones.|Replaced the power supply; voltage stable at 13.7 V.|"
    "Explained the schedule to the customer over the phone; no fault found.|"
    "Re-terminated the cable at the panel and at the device."
)

NOTES: Final = phrases(
    "Called customer, scheduled site visit for Thursday 10am.|Left a voicemail; will try again tomorrow.|"
    "Part ordered from the supplier, expected within three days.|"
    "Checked remotely: the device answers but reports a fault.|On site, found loose wiring in the enclosure.|"
    "Customer confirms that it works now.|Waiting for access to the building.|"
    "Put the account on test with the monitoring station for two hours.|Photographs are in the job folder.|"
    "Second visit needed; the lift was out of service."
)

SYSTEMS: Final = (
    (
        "ALARM",
        35,
        phrases(
            "Alarm panel|Keypad|Motion sensor|Door contact|Siren|Smoke detector|Glass break detector|Heat detector|"
            "Panic button|Wireless receiver|Backup battery|Cellular communicator|Zone expander|Water leak sensor|"
            "Carbon monoxide detector|Bell box|Tamper switch|Seismic detector|Fog generator"
        ),
        phrases(
            "beeping after power outage|shows low battery|reports a false alarm|does not arm|"
            "lost contact with the monitoring station|shows trouble light|zone stays open|code forgotten|"
            "needs a new user code|siren will not stop|sends no test signal|clock is wrong|display is blank|"
            "enclosure tampered|ground fault|supervisory failure|jammed by interference|chirps at night|"
            "corroded terminals|lightning damage"
        ),
    ),
    (
        "CCTV",
        25,
        phrases(
            "Camera|Recorder|Dome camera|Parking lot camera|Monitor|PTZ camera|NVR|Doorbell camera|"
            "Licence plate camera|Video encoder|Thermal camera|Body camera dock"
        ),
        phrases(
            "offline|picture is blurred|no night vision|recording stopped|hard disk full|remote viewing fails|"
            "image flickers|wrong time stamp|needs footage exported|points the wrong way|vandalised|"
            "condensation in the housing|spider webs on the lens|firmware mismatch|PoE injector burnt"
        ),
    ),
    (
        "ACCESS_CONTROL",
        20,
        phrases(
            "Door reader|Maglock|Fob|Electric strike|Door controller|Exit button|Access card|Turnstile|Gate operator|"
            "Biometric reader|Elevator reader"
        ),
        phrases(
            "does not unlock|stays unlocked|rejects valid cards|schedule is wrong|needs new fobs|"
            "lost card to be cancelled|door held open alarm|door forced alarm|beeps continuously|not communicating|"
            "reads twice|antipassback lockout|relay welded shut"
        ),
    ),
    (
        "INTERCOM",
        8,
        phrases("Intercom|Door station|Indoor monitor|Entry panel|Video intercom|Lobby directory|Handset"),
        phrases(
            "no sound|echo on the line|cannot open the door|does not ring|display is cracked|directory out of date|"
            "button stuck|crackles in the rain|picture upside down"
        ),
    ),
    (
        "GENERAL",
        12,
        phrases("Account|Invoice|Service contract|Site visit|Mobile app|Monitoring contact list|Insurance certificate"),
        phrases(
            "needs updating|question about charges|login fails|to be rescheduled|password reset|renewal due|"
            "moving to a new address|asks for a quote|certificate requested|complaint about a technician"
        ),
    ),
)
"""Each category, with its weight, its devices, and their faults."""
