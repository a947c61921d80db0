"""Other actor libraries, each in a program that makes so many calls and prints what they took, as JSON."""
