"""A model of the search for connections: its real code between fake links. Connections move, hubs die and
links break in any order, beside somebody who knows where all of them are."""
