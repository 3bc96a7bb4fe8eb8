"""Named tuples without the Python between: the judge makes a few dozen a look, and a plain call takes twice as long."""

made = tuple.__new__
"""`made(Spell, (0.0, 1.5))` is `Spell(0.0, 1.5)`: every field must be there, in order; nobody counts them."""
