"""Files that people attach: what they are, and what is done with them before anybody sees them."""
