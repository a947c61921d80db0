"""A model of calls of keyed actors: their real code between fake links, in every order of what can happen,
beside a history that says what must have come of each call."""
